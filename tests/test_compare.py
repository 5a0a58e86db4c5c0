"""The same detail in several ways, side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont
from tifffile import imwrite

from esc_plugin import Upscaler
from esc_plugin.arrays.bicubic import imresize
from esc_plugin.errors import ImageError
from esc_plugin.measure.compare import FONT, MARGIN, Comparison, Detail, Panel, compare
from esc_plugin.measure.degradation import CLEAN, Degradation
from esc_plugin.measure.degrade import degrade
from esc_plugin.measure.evaluate import evaluate
from esc_plugin.measure.scores import luma, psnr

from .commands import inside_the_test


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler("esc-nano-x2", device="cpu", precision="float32")


def waves(*shape: int, dtype: type = np.uint8, low: float = 40, high: float = 200) -> np.ndarray:
    phase = sum(np.ogrid[tuple(slice(n) for n in shape)])
    return (low + (high - low) * (0.5 + 0.5 * np.sin(phase / 3))).round().astype(dtype)


def test_without_an_original_there_is_no_figure(upscaler: Upscaler) -> None:
    image = waves(20, 30, 3)
    found = compare(image, upscaler)
    assert [panel.title for panel in found.panels] == ["bicubic", "esc-nano-x2"]
    assert found.bicubic is found.model is None
    assert (found.panels[0].pixels == imresize(image, (40, 60))).all()
    assert (found.panels[1].pixels == upscaler(image)).all()


@pytest.mark.parametrize("shape", [(41, 61, 3), (41, 61)], ids=["colour", "gray"])
def test_an_original_gives_figures(upscaler: Upscaler, shape: tuple[int, ...]) -> None:
    image = waves(*shape)
    found = compare(image, upscaler, degradation=Degradation(noise=3))
    source, bicubic, model, original = found.panels
    truth = image[:40, :60]
    small = degrade(truth, Degradation(noise=3), 2)
    assert (original.pixels == truth).all()
    assert (source.pixels[::2, ::2] == small).all()
    assert (source.pixels[1::2, 1::2] == small).all()
    assert (model.pixels == upscaler(small)).all()
    inner = np.s_[2:-2, 2:-2]  # as `evaluate` has it
    assert found.model == psnr(luma(upscaler(small)[inner]), luma(truth[inner]))
    assert found.bicubic == psnr(luma(imresize(small, (40, 60))[inner]), luma(truth[inner]))
    assert source.note == "1/2, noise=3"
    assert bicubic.note == f"{found.bicubic:.2f} dB"
    assert model.note == f"{found.model:.2f} dB ({found.model - found.bicubic:+.2f})"


def test_all_panels_of_16_bits_have_the_contrast_of_the_original(upscaler: Upscaler) -> None:
    image = waves(40, 60, dtype=np.uint16, low=500, high=2500)
    found = compare(image, upscaler, degradation=Degradation(blur=50))
    source, bicubic, _, original = (panel.pixels.astype(float) for panel in found.panels)
    assert original.min() == 0
    assert original.max() == 255
    assert np.ptp(source) < 60  # what has little contrast is shown with little
    assert np.ptp(bicubic) < 60
    assert compare(image, upscaler, degradation=CLEAN).model > 25  # dB of its own range, where 65535 would give 30 more
    assert compare(image, upscaler, degradation=CLEAN).model < 55


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_figures_are_those_of_evaluate(upscaler: Upscaler, dtype: type, tmp_path: Path) -> None:
    steps = Degradation.parse("bin,photons=200")
    image = waves(41, 61, dtype=dtype)
    imwrite(tmp_path / "image.tif", image)
    (score,) = evaluate(upscaler, tmp_path, degradation=steps)
    found = compare(image, upscaler, degradation=steps)
    assert (found.bicubic, found.model) == (score.bicubic_psnr_y, score.psnr_y)


def test_micrographs_are_compared_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    esc = inside_the_test(monkeypatch, capsys)
    image, sheet = tmp_path / "cells.tif", tmp_path / "sheet.webp"
    imwrite(image, waves(48, 48, dtype=np.uint16, low=100, high=3000))
    said = esc("compare", image, "-m", "esc-nano-x2", "--degrade", "bin,photons=200", "-o", sheet)
    assert " dB" in said
    with Image.open(sheet) as drawn:
        assert drawn.width >= 4 * 48 + 5 * MARGIN
    for wrong, hint in (("jpeg=40", "8 bits"), ("bin=3", "bin=2"), ("jepg=40", "jpeg"), ("noise", "a number")):
        assert hint in esc("compare", image, "-m", "esc-nano-x2", "--degrade", wrong, "-o", tmp_path / "no.png", code=1)
    assert not (tmp_path / "no.png").exists()


def test_another_scale_than_the_model_has(upscaler: Upscaler) -> None:
    image = waves(40, 60)
    found = compare(image, upscaler, degradation=CLEAN, scale=4)
    source, bicubic, model, _ = found.panels
    small = source.pixels[::4, ::4]
    assert small.shape == (10, 15)
    assert (bicubic.pixels == imresize(small, (40, 60))).all()
    assert (model.pixels == upscaler(small, scale=4)).all()
    assert source.note == "1/4, bicubic"


def test_black_pictures_are_shown(upscaler: Upscaler) -> None:
    found = compare(np.zeros((8, 8), np.uint16), upscaler, degradation=CLEAN)
    assert not any(panel.pixels.any() for panel in found.panels)


def test_the_detail_is_cut_out_of_all_panels(upscaler: Upscaler) -> None:
    image = waves(40, 60, 3)
    whole, part = (
        compare(image, upscaler, degradation=CLEAN, detail=detail)
        for detail in (None, Detail(left=7, top=3, width=20, height=10))
    )
    assert part.model == whole.model  # figures are of the whole image
    for all_of_it, panel in zip(whole.panels, part.panels, strict=True):
        assert (panel.pixels == all_of_it.pixels[3:13, 7:27]).all()


@pytest.mark.parametrize(
    ("image", "detail", "said"),
    [
        (np.zeros((9, 9), np.float32), None, "float32"),
        (np.zeros((9, 9, 2), np.uint8), None, r"\(9, 9, 2\)"),
        (np.zeros((9, 1), np.uint8), None, "too small"),
        (np.zeros((9, 9), np.uint8), Detail(0, 0, 9, 9), "outside of the output of 8 x 8"),
    ],
    ids=["floating", "two samples", "one column", "detail"],
)
def test_what_can_not_be_drawn_is_said_before_the_work(
    upscaler: Upscaler, image: np.ndarray, detail: Detail | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Upscaler, "__call__", lambda *_, **__: pytest.fail("the work began"))
    with pytest.raises(ImageError, match=said):
        compare(image, upscaler, degradation=CLEAN, detail=detail)


def test_captions_have_room_and_white_pictures_a_frame() -> None:
    white, name = np.full((30, 20), 255, np.uint8), "a-model-with-quite-a-long-name-x2"
    sheet = Comparison((Panel("bicubic", white), Panel(name, white, "40.00 dB"))).draw(zoom=2)
    assert sheet.width > ImageFont.load_default(FONT).getlength(name) + 40 + 3 * MARGIN
    ink = np.asarray(sheet.convert("L")) < 255
    assert not ink[:, -MARGIN:].any()
    assert ink[33, 12:52].all()  # the frame's upper edge, right above the first picture


def test_pixels_stay_squares() -> None:
    image = np.array([[0, 250], [100, 200]], np.uint8)
    sheet = np.asarray(Comparison((Panel("one", image), Panel("other", image))).draw(zoom=8).convert("L"))
    assert (
        sheet[34:50, MARGIN : MARGIN + 16] == np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.NEAREST))
    ).all()
