"""The whole way, as a user goes it: the page with its engine, ONNX Runtime Web and an exported model, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from esc_plugin import Upscaler, load_model
from esc_plugin.page.models import export_models
from esc_plugin.page.serve import PageServer
from esc_plugin.page.site import MODELS, Part, Site, assemble

from .conftest import PATIENCE, served
from .test_offline import Host
from .test_page import downloaded, png, put, said, state, told

Open = Callable[..., Any]
MODEL = "esc-nano-real-x2"


@pytest.fixture(scope="session")
def site(runtime_files: dict[str, Path]) -> Site:
    """The page with one model."""
    pytest.importorskip("onnxscript", reason="needs the packages of the extra export")
    files, about = export_models([load_model(MODEL)])
    return assemble(runtime_files, files, about | {"offline": True})


@pytest.fixture(scope="session")
def upscaler() -> Upscaler:
    return Upscaler(MODEL, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    with served(PageServer(site)) as server:
        yield server.url


def photo(height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(data.astronaut()).resize((width, height), Image.Resampling.BICUBIC))


def upscaled_there(page: Any, image: np.ndarray, patience: int = PATIENCE) -> np.ndarray:
    put(page, png(image))
    page.wait_for_selector("body[data-state=done], #problem:not([hidden])", timeout=patience)
    assert not page.is_visible("#problem"), page.inner_text("#problem")
    return downloaded(page)[1]


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_the_pixels_are_those_of_esc_sr(address: str, open_page: Open, upscaler: Upscaler) -> None:
    page = open_page(address)
    image = photo(120, 170)
    assert_same(upscaled_there(page, image), upscaler(image))
    page.click("#record summary")
    assert upscaler.model.sha256 in page.inner_text("#record")
    assert "threads" in page.inner_text("#backend-text")


def test_by_regions_they_are_the_same(site: Site, open_page: Open, upscaler: Upscaler) -> None:
    """As large pictures are upscaled; of how many pieces is the engine's matter, which has tests of its own."""
    about = json.loads(site[MODELS].read())
    for model in about["models"]:
        del model["whole"]
    with served(PageServer(site | {MODELS: Part(json.dumps(about | {"offline": False}).encode())})) as server:
        page = open_page(server.url)
        image = photo(70, 90)
        assert_same(upscaled_there(page, image), upscaler(image))
        page.click("#record summary")
        assert "in pieces without seams" in page.inner_text("#record")


@pytest.mark.slow
def test_in_several_pieces_they_are_the_same(address: str, open_page: Open, upscaler: Upscaler) -> None:
    page = open_page(address)
    image = photo(560, 560)
    assert_same(upscaled_there(page, image, 20 * PATIENCE), upscaler(image))


def test_on_a_plain_host_and_then_without_a_connection(
    site: Site, tmp_path: Path, open_page: Open, upscaler: Upscaler
) -> None:
    host, image = Host(tmp_path), photo(40, 50)
    host.write(site)
    with served(host.server):
        page = open_page(host.url)
        told(page, "#backend-text", "Computes on")
        page.context.set_offline(True)
        page.reload()
        assert_same(upscaled_there(page, image), upscaler(image))


def test_without_threads(site: Site, tmp_path: Path, open_page: Open, upscaler: Upscaler) -> None:
    """A host without headers, and a browser without service workers."""
    host, image = Host(tmp_path), photo(40, 50)
    host.write(site)
    with served(host.server):
        page = open_page(host.url, service_workers="block")
        assert_same(upscaled_there(page, image), upscaler(image))
        assert "one thread" in page.inner_text("#backend-text")


def test_a_model_that_came_damaged_is_said(site: Site, open_page: Open) -> None:
    damaged = {name: Part(part.read()[:-1] + b"!") for name, part in site.items() if name.startswith("models/")}
    with served(PageServer(site | damaged)) as server:
        page = open_page(server.url)
        assert said(page) == "The model's file is damaged. Reload the page to load it again."


def test_cancel_at_work(address: str, open_page: Open, upscaler: Upscaler) -> None:
    page = open_page(address)
    put(page, png(photo(700, 700)), "large.png")
    told(page, "#sizes", "→")
    page.click("#cancel")
    state(page, "ready")
    image = photo(30, 40)
    assert_same(upscaled_there(page, image), upscaler(image))


@pytest.mark.large
@pytest.mark.timeout(3600)
def test_twelve_megapixels(address: str, open_page: Open) -> None:
    """Without running out of memory; that pieces are exact is shown above."""
    page = open_page(address)
    image = photo(3000, 4000)
    result = upscaled_there(page, image, 60 * PATIENCE)
    assert result.shape == (6000, 8000, 3)
