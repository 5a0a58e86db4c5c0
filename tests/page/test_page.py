"""The page in a real browser, with a worker in which no network runs: pictures in, states, keys, errors, layouts."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from esc_plugin.page.serve import PageServer
from esc_plugin.page.site import POLICY, STATIC, TYPES, assemble

from .conftest import about_models, served

Open = Callable[..., Any]
PHONE = {"viewport": {"width": 320, "height": 640}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}


def pixels(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def png(array: np.ndarray) -> bytes:
    Image.fromarray(array).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def put(page: Any, content: bytes, name: str = "photo.png") -> None:
    page.set_input_files("#file", files=[{"name": name, "mimeType": "image/png", "buffer": content}])


def state(page: Any, name: str) -> None:
    page.wait_for_selector(f"body[data-state={name}]")


def said(page: Any) -> str:
    page.wait_for_selector("#problem:not([hidden])")
    return page.inner_text("#problem p")


def told(page: Any, place: str, text: str) -> None:
    page.locator(place, has_text=text).wait_for(state="attached")


def downloaded(page: Any) -> tuple[str, np.ndarray]:
    with page.expect_download() as download:
        page.click("#download")
    return download.value.suggested_filename, np.asarray(Image.open(download.value.path()).convert("RGB"))


def repeated(array: np.ndarray, scale: int) -> np.ndarray:
    return array.repeat(scale, 0).repeat(scale, 1)


def transfer(page: Any, event: str, content: bytes, kind: str = "image/png") -> None:
    """Drop or paste a file as the browser would."""
    page.evaluate(
        """([event, content, type]) => {
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
            const data = new DataTransfer();
            if (bytes.length) data.items.add(new File([bytes], "dropped.png", { type }));
            const init = { bubbles: true, cancelable: true };
            document.getElementById("drop").dispatchEvent(event === "paste"
                ? new ClipboardEvent(event, { ...init, clipboardData: data })
                : new DragEvent(event, { ...init, dataTransfer: data }));
        }""",
        [event, base64.b64encode(content).decode(), kind],
    )


def test_a_picture_goes_in_and_comes_out_larger(pretended: str, open_page: Open) -> None:
    page = open_page(pretended)
    put(page, png(pixels()))
    state(page, "done")
    name, result = downloaded(page)
    assert name == "photo_x2.png"
    np.testing.assert_array_equal(result, repeated(pixels(), 2))
    assert page.inner_text("#sizes") == "60 × 40 → 120 × 80"
    assert "The picture has 16 bits per colour; the result has 8." in page.inner_text("#notices")
    page.click("#record summary")
    assert "photo-x2" in page.inner_text("#record")
    assert "120 × 80 pixels" in page.inner_text("#record")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(pretended: str, open_page: Open, event: str) -> None:
    page = open_page(pretended)
    transfer(page, event, png(pixels()))
    state(page, "done")
    assert downloaded(page)[0] == "dropped_x2.png"
    transfer(page, event, b"")
    assert said(page) == "That holds no picture. Drop or paste an image file."


def test_model_and_scale_are_chosen_and_the_picture_started_by_hand(pretended: str, open_page: Open) -> None:
    page = open_page(pretended)
    page.uncheck("#at-once")
    page.check("input[value='4']")
    put(page, png(pixels()))
    state(page, "ready")
    page.click("#start")
    state(page, "done")
    assert downloaded(page)[1].shape == (160, 240, 3)
    page.check("input[value=Cells]")  # which there is for another scale
    state(page, "changed")
    assert page.inner_text("#card h2") == "cells-x2"
    page.click("#start")
    state(page, "done")
    assert downloaded(page)[1].shape == (80, 120, 3)
    page.click("#another")
    state(page, "empty")


def test_all_can_be_done_with_keys(pretended: str, open_page: Open) -> None:
    page = open_page(pretended)
    page.on("filechooser", lambda chooser: None)  # the browser takes a moment to leave dialogs to us
    page.keyboard.press("Tab")
    assert page.inner_text(":focus") == "Skip to the picture"
    page.keyboard.press("Tab")
    page.wait_for_selector("#choose:focus")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([{"name": "photo.png", "mimeType": "image/png", "buffer": png(pixels())}])
    state(page, "done")
    assert page.evaluate("document.activeElement.id") == "download"
    page.focus("#stage")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "pane"
    zooms = [page.inner_text("#scale")]
    for key in ("1", "+", "ArrowLeft", "-", "0"):
        page.keyboard.press(key)
        page.wait_for_timeout(60)
        zooms.append(page.inner_text("#scale"))
    assert zooms[1:4] == ["100 %", "125 %", "125 %"]
    assert (zooms[4], zooms[5]) == ("100 %", zooms[0])
    page.keyboard.press("Tab")
    before = picture_of(page)
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(100)
    assert page.input_value("#slider") == "20"
    assert page.get_attribute("#slider", "aria-valuetext") == "20 % before, the rest after"
    assert (picture_of(page) != before).any()


def picture_of(page: Any) -> np.ndarray:
    """Return the pixels that the viewer shows."""
    address = page.evaluate("document.querySelector('#pane canvas').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


@pytest.mark.parametrize(
    ("edge", "block"), [(60, 1), (70, 10), pytest.param(190, 10, marks=pytest.mark.slow)], ids=["small", "tiles", "blobs"]
)
def test_the_line_divides_before_and_after(pretended: str, open_page: Open, edge: int, block: int) -> None:
    array = repeated(pixels(edge, edge), block)
    page = open_page(pretended, viewport={"width": 1200, "height": 800})
    page.check("input[value='4']")
    put(page, png(array))
    state(page, "done")
    page.click("#pixels")
    page.wait_for_timeout(300 if edge * block < 1000 else 3000)  # blobs are read when they are looked at
    shown, result = picture_of(page), repeated(array, 4)
    height, width = (min(a, b) for a, b in zip(shown.shape, result.shape[:2], strict=False))
    parts = [a[(a.shape[0] - height) // 2 :][:height, (a.shape[1] - width) // 2 :][:, :width] for a in (shown, result)]
    middle = width // 2
    same = np.abs(parts[0].astype(int) - parts[1]).max(2) <= 1
    assert same[:, middle + 2 :].mean() > 0.99
    assert same[:, : middle - 2].mean() < 0.95


def test_mouse_and_wheel_move_zoom_and_compare(pretended: str, open_page: Open) -> None:
    page = open_page(pretended)
    put(page, png(pixels(200, 300)))
    state(page, "done")
    box = page.locator("#pane").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 80, middle[1])
    page.mouse.up()
    assert int(page.input_value("#slider")) > 55
    page.mouse.move(middle[0] - 200, middle[1])
    page.mouse.wheel(0, -900)
    page.wait_for_timeout(100)
    zoomed, line = picture_of(page), page.input_value("#slider")
    page.mouse.down()
    page.mouse.move(middle[0] - 150, middle[1] + 40)
    page.mouse.up()
    page.wait_for_timeout(100)
    assert page.input_value("#slider") == line
    assert (picture_of(page) != zoomed).any()


def test_what_is_no_picture_is_said(pretended: str, open_page: Open) -> None:
    page = open_page(pretended)
    put(page, b"Dear Sir or Madam", "letter.txt")
    assert said(page).startswith("“letter.txt” can't be opened: it is no picture")
    state(page, "empty")
    put(page, png(pixels())[:80], "half.png")
    assert said(page).startswith("“half.png” can't be opened")
    put(page, png(pixels()))
    state(page, "done")
    assert not page.is_visible("#problem")


@pytest.mark.parametrize(
    ("name", "text"), [("broken.png", "“broken.png” can't be read"), ("memory.png", "There is not enough memory")]
)
def test_what_the_engine_refuses_is_said_and_the_page_goes_on(pretended: str, open_page: Open, name: str, text: str) -> None:
    page = open_page(pretended)
    put(page, png(pixels()), name)
    assert said(page).startswith(text)
    state(page, "ready")
    put(page, png(pixels()))
    state(page, "done")


def test_a_damaged_model_is_said(pretended: str, open_page: Open) -> None:
    page = open_page(pretended)
    page.check("input[value=Damaged]")
    put(page, png(pixels()))
    assert said(page) == "The model's file is damaged. Reload the page to load it again."


@pytest.mark.parametrize("name", ["slow.png", "stuck.png"])
def test_cancel_stops_and_the_next_picture_works(pretended: str, open_page: Open, name: str) -> None:
    page = open_page(pretended)
    put(page, png(pixels()), name)
    page.wait_for_selector("#progress:not([hidden])")
    told(page, "#sizes", "→")
    page.click("#cancel")
    state(page, "ready")
    assert page.inner_text("#status") == "Cancelled."
    put(page, png(pixels()))
    state(page, "done")


def test_another_picture_takes_the_place_of_one_in_work(pretended: str, open_page: Open) -> None:
    page = open_page(pretended)
    put(page, png(pixels()), "slow.png")
    told(page, "#left", "left")
    put(page, png(pixels(10, 20)), "second.png")
    state(page, "done")
    name, result = downloaded(page)
    assert (name, result.shape) == ("second_x2.png", (20, 40, 3))
    assert page.inner_text("#sizes") == "20 × 10 → 40 × 20"


def test_what_is_chosen_during_the_work_is_for_the_next_time(pretended: str, open_page: Open) -> None:
    page = open_page(pretended)
    put(page, png(pixels()), "slow.png")
    told(page, "#left", "left")
    page.check("input[value='4']")
    state(page, "changed")
    assert page.inner_text("#start") == "Enlarge again"
    name, result = downloaded(page)
    assert (name, result.shape) == ("slow_x2.png", (80, 120, 3))


HOLD = """
const load = window.fetch;
window.fetch = (...all) => new Promise((go) => { window.go = go; }).then(() => load(...all));
"""


def test_cancel_works_before_there_are_models(pretended: str, browser: Any) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.add_init_script(HOLD)
        page.goto(pretended)
        put(page, png(pixels()))
        page.click("#cancel")
        state(page, "ready")
        page.evaluate("go()")
        page.wait_for_selector("body[data-ready]")
        assert page.get_attribute("body", "data-state") == "ready"
        page.click("#start")
        state(page, "done")


def test_a_picture_on_a_page_without_models_is_answered(pretended: str, browser: Any) -> None:
    with browser.new_context() as context:
        page, wrong = context.new_page(), list[str]()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.route("**/models.json", lambda route: route.fulfill(status=500, body=""))
        page.goto(pretended)
        assert "The list of models can't be loaded (500)" in said(page)
        transfer(page, "drop", png(pixels()))
        state(page, "ready")
        assert "The list of models can't be loaded (500)" in said(page)
        assert wrong == []


def test_progress_is_told_to_eyes_and_ears(pretended: str, open_page: Open) -> None:
    page = open_page(pretended)
    put(page, png(pixels()), "slow.png")
    told(page, "#stage-text", "Drawing details")
    assert re.fullmatch(r"\d+ s left", page.inner_text("#left"))
    assert 0 < page.evaluate("document.querySelector('progress').value") < 1
    assert re.fullmatch(r"Drawing details, (0|25) % done", page.inner_text("#status"))
    assert page.get_attribute("#status", "aria-live") == "polite"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(pretended: str, open_page: Open, scheme: str) -> None:
    page = open_page(pretended, color_scheme=scheme, reduced_motion="reduce", **PHONE)
    assert page.is_visible("#photograph")
    put(page, png(pixels()), f"{'long' * 30}.png")
    state(page, "done")
    page.click("#record summary")
    put(page, b"no", f"{'long' * 30}.txt")
    said(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 29)"
    assert dark == (scheme == "dark")


def test_a_model_that_is_not_there_is_told_from_a_damaged_one(browser: Any) -> None:
    """The browser refuses what the host says instead of it as damaged, since it has another hash too."""
    site = assemble({}, {}, about_models(**{"photo-x2": ("Photo", 2)}))
    asked = """(name) => import("/engine/download.js")
        .then(({ download }) => download({ url: name, sha256: "00".repeat(32) }))
        .catch(({ code, values }) => [code, values.status ?? null])"""
    with served(PageServer(site)) as server, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{server.url}licences.txt")
        assert page.evaluate(asked, "/gone.onnx") == ["model-missing", 404]
        assert page.evaluate(asked, "/app.js") == ["model-damaged", None]
        page.evaluate("import('/engine/download.js')")
        context.set_offline(True)
        assert page.evaluate(asked, "/gone.onnx") == ["model-missing", 0]


def test_without_webassembly_it_says_so(pretended: str, open_page: Open) -> None:
    page = open_page(pretended, script="delete globalThis.WebAssembly")
    assert said(page).startswith("This browser has no WebAssembly")
    assert page.is_disabled("#choose")


def test_without_its_scripts_the_page_says_what_it_needs(pretended: str, browser: Any) -> None:
    """Such as opened from the folder that it was written to."""
    page = browser.new_page()
    page.goto((STATIC / "index.html").as_uri())
    page.wait_for_timeout(3500)
    assert page.locator("#late").evaluate("(element) => getComputedStyle(element).opacity") == "1"
    page.close()


def test_the_policy_stands_in_the_page_too() -> None:
    """A host that sends no headers must not open what the server's header closes."""
    assert f'content="{POLICY}"' in (STATIC / "index.html").read_text()


def test_every_text_is_in_the_file_of_texts() -> None:
    html = (STATIC / "index.html").read_text()
    texts = (STATIC / "strings.js").read_text()
    named = set(re.findall(r'data-(?:text|label)="(\w+)"', html))
    assert {name for name in named if not re.search(rf"^  {name}:", texts, re.M)} == set()
    body = re.sub(r'<(script|noscript|title|p id="late")[\s>].*?</\w+>', "", html, flags=re.DOTALL)
    assert set("".join(re.sub(r"<[^>]*>", "", body).split())) <= set("−+")
    for name in ("app", "choice", "viewer", "work", "picture"):
        used = re.findall(r'\bsay\("(\w+)"', (STATIC / f"{name}.js").read_text())
        assert {key for key in used if not re.search(rf"^  {key}:", texts, re.M)} == set()


def test_every_file_has_a_type() -> None:
    assert {path.suffix for path in STATIC.rglob("*") if path.is_file()} <= set(TYPES)
