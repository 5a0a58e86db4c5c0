"""Degradations of figures: what a line of text asks for, what is done to an image, and the command that shows both."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from esc_plugin.arrays.bicubic import imresize
from esc_plugin.arrays.layout import layout_of
from esc_plugin.arrays.levels import measure_levels
from esc_plugin.catalog.menu import list_models
from esc_plugin.errors import EscError, ImageError
from esc_plugin.measure.degradation import STEPS, Degradation
from esc_plugin.measure.degrade import degrade
from esc_plugin.measure.evaluate import evaluate, score

from .commands import inside_the_test, run_commands
from .small import nearest_upscaler, random_upscaler

#: The least and the most of 16-bit images, far from those of the type.
DARK, BRIGHT = 100, 2100


def smooth(edge: int = 96, channels: int = 1, deep: bool = False, seed: int = 0) -> np.ndarray:
    """Return an image without noise, (edge, edge) or (edge, edge, channels), which reaches from dark to bright."""
    coarse = np.random.default_rng(seed).integers(0, 256, (edge // 8, edge // 8, channels), np.uint8)
    image = imresize(coarse, (edge, edge)).astype(np.float64)
    image = (image - image.min()) / np.ptp(image)
    image = DARK + image * (BRIGHT - DARK) if deep else image * 255
    return image.round().astype(np.uint16 if deep else np.uint8).squeeze()


def flat(level: int, edge: int = 400) -> np.ndarray:
    """Return an image of one level, uint8."""
    return np.full((edge, edge), level, np.uint8)


def bands(level: int, edge: int = 600) -> tuple[np.ndarray, float]:
    """Return dark, bright and a level beside each other, uint16, and the distance of the levels that a network sees."""
    image = np.repeat(np.array([DARK, BRIGHT, level], np.uint16), edge // 3)[None].repeat(edge, 0)
    low, high = measure_levels(image, layout_of(image, "YX"))[0].pair
    assert low <= DARK < BRIGHT <= high < BRIGHT + 500
    return image, high - low


def numbers(word: str) -> st.SearchStrategy[Any]:
    step = STEPS[word]
    if step.kind is int:
        return st.integers(int(step.least), int(step.most))
    return st.floats(step.least, step.most, allow_nan=False)


@given(
    values=st.fixed_dictionaries({}, optional={word: numbers(word) for word in STEPS}),
    plain=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_what_is_written_is_read_again(values: dict[str, Any], plain: bool, order: Any) -> None:
    if plain and "bin" in values:
        values["bin"] = 0
    if values.get("read"):
        values.setdefault("photons", 100.0)
    degradation = Degradation(**values)
    assert Degradation.parse(str(degradation)) == degradation
    words = str(degradation).split(",")
    order.shuffle(words)
    assert Degradation.parse(" , ".join(words)) == degradation


def test_words_stand_in_the_order_of_the_steps() -> None:
    assert str(Degradation.parse("jpeg=40,noise=5,read=2,photons=200,bin,blur=1.5")) == (
        "blur=1.5,bin,photons=200,read=2,noise=5,jpeg=40"
    )
    assert str(Degradation()) == "bicubic"
    assert Degradation.parse("bicubic,noise=15.0") == Degradation(noise=15)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' is no step"),
        ("sharpen=3", "'sharpen' is no step of a degradation; known are bicubic, blur=SIGMA"),
        ("bicubic=2", "'bicubic' is no step|known are"),
        ("jpeg", "jpeg must be a whole number from 1 to 100, not ''"),
        ("jpeg=0", "jpeg must be a whole number from 1 to 100, not '0'"),
        ("jpeg=39.5", "not '39.5'"),
        ("jpeg=" + "9" * 5000, "jpeg must be"),
        ("noise=256", "noise must be a number from 0 to 255, not '256'"),
        ("noise=nan", "not 'nan'"),
        ("blur=-1", "blur must be"),
        ("photons=0", "photons must be a number from 1 to"),
        ("photons=inf", "photons must be"),
        ("bin=17", "bin must be a whole number from 1 to 16"),
        ("read=3", "counts in photons"),
        ("noise=1,noise=2", "'noise' is there twice"),
        ("bin,bin=2", "'bin' is there twice"),
        ("bicubic,bin", "two reductions"),
    ],
)
def test_what_can_not_be_is_one_line(text: str, told: str) -> None:
    with pytest.raises(EscError) as error:
        Degradation.parse(text)
    assert any(part in str(error.value) for part in told.split("|"))
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("values", [{"noise": -1}, {"jpeg": 101}, {"blur": float("nan")}, {"bin": 40}, {"read": 1}])
def test_values_from_python_are_checked_too(values: dict[str, Any]) -> None:
    with pytest.raises(EscError):
        Degradation(**values)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_clean_reduction_is_matlabs_bit_for_bit(deep: bool, channels: int, scale: int) -> None:
    truth = smooth(96, channels, deep)
    size = truth.shape[0] // scale, truth.shape[1] // scale
    assert np.array_equal(degrade(truth, Degradation(), scale), imresize(truth, size))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("text", ["bin", "bin=2"])
def test_binning_is_the_mean(text: str, deep: bool) -> None:
    truth = smooth(64, 1, deep)
    mean = truth.reshape(32, 2, 32, 2).mean((1, 3))
    assert np.abs(degrade(truth, Degradation.parse(text), 2) - mean).max() <= 0.51


@pytest.mark.parametrize("sigma", [0.6, 3.0])
@pytest.mark.parametrize("deep", [False, True])
def test_a_blur_is_that_of_scipy_before_the_reduction(sigma: float, deep: bool) -> None:
    truth = smooth(64, 1, deep)
    blurred = ndimage.gaussian_filter(truth.astype(np.float64), sigma, mode="mirror", radius=int(np.ceil(4 * sigma)))
    low = degrade(truth, Degradation(blur=sigma, bin=0), 2)
    assert np.abs(low - blurred.reshape(32, 2, 32, 2).mean((1, 3))).max() <= 0.51
    low = degrade(truth, Degradation(blur=sigma), 2)
    assert np.abs(low - imresize(np.rint(blurred).astype(truth.dtype), (32, 32)).astype(float)).max() <= 1


@pytest.mark.parametrize("levels", [4, 15])
def test_noise_has_the_level_that_it_says(levels: float) -> None:
    low = degrade(flat(127), Degradation(noise=levels), 2).astype(np.float64)
    assert low.std() == pytest.approx((levels**2 + 1 / 12) ** 0.5, rel=0.02)
    assert low.mean() == pytest.approx(127, abs=0.3)
    truth, distance = bands(1100)
    low = degrade(truth, Degradation(noise=levels), 2)[:, 210:].astype(np.float64)
    assert low.std() == pytest.approx(levels / 255 * distance, rel=0.02)
    assert low.mean() == pytest.approx(1100, rel=0.01)


@pytest.mark.parametrize("level", [25, 128, 204])
@pytest.mark.parametrize(("photons", "read"), [(100, 0), (1000, 0), (400, 6)])
def test_photons_have_the_variance_of_poisson(level: int, photons: float, read: float) -> None:
    low = degrade(flat(level), Degradation(bin=0, photons=photons, read=read), 2).astype(np.float64) / 255
    share = level / 255
    expected = share / photons + (read / photons) ** 2 + 1 / 12 / 255**2  # the last by rounding
    assert low.var() == pytest.approx(expected, rel=0.05)
    assert low.mean() == pytest.approx(share, abs=0.002)


def test_deep_images_count_photons_between_their_levels() -> None:
    """White is the top of what a network sees, so a dim 16-bit image isn't a dark one."""
    truth, distance = bands(1100)
    base = measure_levels(truth, layout_of(truth, "YX"))[0].low
    for photons in (100, 10_000):
        low = degrade(truth, Degradation(bin=0, photons=photons), 2)[:, 210:].astype(np.float64)
        share = (1100 - base) / distance
        assert low.std() / distance == pytest.approx((share / photons) ** 0.5, rel=0.03)
        assert low.mean() == pytest.approx(1100, rel=0.01)


def test_hot_pixels_are_no_white_and_stay() -> None:
    truth = bands(1100)[0]
    truth[300, 500] = 60_000
    for image in (truth, np.where(truth == 60_000, truth, 7)):
        assert np.array_equal(degrade(image, Degradation(), 2), imresize(image, (300, 300)))
    low = degrade(truth, Degradation(bin=0, photons=10_000), 2)
    assert low[150, 250] == pytest.approx(60_000 / 4 + 1100 * 3 / 4, rel=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_less_quality_is_further_from_the_image(channels: int) -> None:
    truth = smooth(96, channels)
    clean = degrade(truth, Degradation(), 2).astype(np.float64)
    errors = [np.abs(degrade(truth, Degradation(jpeg=q), 2) - clean).mean() for q in (95, 70, 40, 10)]
    assert errors == sorted(errors)
    assert errors[0] < errors[-1] / 2


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_pillow_writes_of_the_reduction(channels: int, tmp_path: Path) -> None:
    truth = smooth(96, channels)
    Image.fromarray(degrade(truth, Degradation(noise=5), 2)).save(tmp_path / "a.jpg", quality=40, subsampling="4:2:0")
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.array_equal(degrade(truth, Degradation(noise=5, jpeg=40), 2), np.array(image))


@given(
    deep=st.booleans(),
    channels=st.sampled_from([1, 3]),
    scale=st.sampled_from([2, 3]),
    seed=st.integers(0, 99),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_what_comes_out_is_an_image_like_the_true_one(deep: bool, channels: int, scale: int, seed: int, data: Any) -> None:
    words = st.sampled_from(["bicubic", "bin", "blur=0.7", "photons=50", "photons=50,read=2", "noise=20", "jpeg=30"])
    text = data.draw(words.filter(lambda word: not (deep and "jpeg" in word)))
    truth = smooth(48, channels, deep, seed)
    before = truth.copy()
    low = degrade(truth, Degradation.parse(text), scale)
    assert np.array_equal(truth, before)
    assert low.dtype == truth.dtype
    assert low.shape == (48 // scale, 48 // scale, *truth.shape[2:])
    assert np.array_equal(low, degrade(truth.copy(order="F"), Degradation.parse(text), scale))


def test_gray_in_three_channels_stays_gray() -> None:
    truth = np.repeat(smooth(64)[..., None], 3, 2)
    for text in ("noise=20", "bin,photons=50", "jpeg=20", "bicubic"):
        low = degrade(truth, Degradation.parse(text), 2)
        assert np.array_equal(low[..., :1].repeat(3, 2), low)
        assert np.array_equal(low[..., 0], degrade(truth[..., 0], Degradation.parse(text), 2))
    coloured = truth.copy()
    coloured[0, 0] = 1, 2, 3
    low = degrade(coloured, Degradation(noise=20), 2).astype(int)
    assert (low[..., 0] != low[..., 1]).mean() > 0.5


def test_an_image_has_its_noise_whatever_stands_beside_it(tmp_path: Path) -> None:
    alone, both = tmp_path / "alone", tmp_path / "both"
    for folder, names in ((alone, {"z": 1}), (both, {"a": 2, "k": 1})):
        folder.mkdir()
        for name, seed in names.items():
            Image.fromarray(smooth(64, 1, seed=seed)).save(folder / f"{name}.png")
    upscaler, noisy = nearest_upscaler(), Degradation(noise=15)
    first, again = (evaluate(upscaler, alone, degradation=noisy)[0] for _ in range(2))
    other, moved = evaluate(upscaler, both, degradation=noisy)
    assert first == again == replace(moved, image="z")
    assert other.psnr_y != moved.psnr_y


def test_constant_images_have_figures(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((40, 40), 7, np.uint16))
    for text in ("bicubic", "bin,photons=100", "noise=15"):
        (found,) = evaluate(nearest_upscaler(), tmp_path, degradation=Degradation.parse(text))
        assert (found.gain, found.bias) == (0, 0)


def test_deep_images_are_measured_by_their_own_range() -> None:
    truth = smooth(64, 1, deep=True)
    found = np.clip(truth.astype(int) + 20, 0, 65535).astype(np.uint16)
    figures = score("a", found, truth, truth, 2)
    extent = float(np.ptp(truth))
    assert figures.psnr_y == figures.psnr_rgb == pytest.approx(20 * np.log10(extent / 20), abs=1e-6)
    assert figures.bias == pytest.approx(20 / extent)
    assert figures.bicubic_bias == 0
    assert figures.ssim_y > 0.99


def test_a_gain_is_the_same_in_any_units() -> None:
    """An image of 8 bits, and the same values in 16."""
    truth, rng = smooth(64), np.random.default_rng(0)
    found, bicubic = (
        (truth.astype(int) + rng.normal(0, sigma, truth.shape).round().astype(int)).clip(0, 255) for sigma in (3, 6)
    )
    small, deep = (score("a", *(a.astype(t) for a in (found, bicubic, truth)), 2) for t in (np.uint8, np.uint16))
    assert small.gain == pytest.approx(deep.gain)
    assert small.gain > 4
    assert small.bias == pytest.approx(deep.bias)


@pytest.mark.parametrize(
    ("image", "text", "told"),
    [
        (smooth(40, 1, deep=True), "jpeg=40", "'a.tif' is uint16, and JPEG has 8 bits"),
        (smooth(40), "bin=4", r"bin=4 doesn't fit 'nearest', which enlarges by 2"),
        (smooth(40)[:14], "bicubic", "is 40 x 14 pixels"),
        (smooth(40).astype(np.float32), "bicubic", "figures are for 8- or 16-bit pictures"),
        (np.stack([smooth(40)] * 7), "bicubic", "figures are for 8- or 16-bit pictures"),
    ],
)
def test_what_does_not_fit_an_image_is_said(image: np.ndarray, text: str, told: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack")
    with pytest.raises(EscError, match=told):
        evaluate(nearest_upscaler(), tmp_path, degradation=Degradation.parse(text))


@pytest.mark.parametrize(
    ("image", "text", "told"),
    [
        (smooth(40, 1, deep=True), "jpeg=40", r"'b\.tif' is uint16"),
        (np.stack([smooth(40)] * 7), "bicubic", r"b\.tif' is uint8 with axes"),
        (None, "bicubic", r"b\.tif"),
    ],
)
def test_all_images_are_looked_at_before_one_is_measured(
    image: np.ndarray | None, text: str, told: str, tmp_path: Path
) -> None:
    Image.fromarray(smooth(40)).save(tmp_path / "a.png")
    (tmp_path / "b.tif").write_bytes(b"II*\0 no image")
    if image is not None:
        tifffile.imwrite(tmp_path / "b.tif", image, photometric="minisblack")
    done = list[tuple[int, int]]()
    with pytest.raises(ImageError, match=told):
        evaluate(
            nearest_upscaler(), tmp_path, progress=lambda *state: done.append(state), degradation=Degradation.parse(text)
        )
    assert not done


def test_a_folder_of_one_file_of_the_other_byte_order(tmp_path: Path) -> None:
    for name, order in (("a", "<"), ("b", ">")):
        tifffile.imwrite(tmp_path / f"{name}.tif", smooth(40, 1, deep=True), byteorder=order)
    first, other = evaluate(nearest_upscaler(), tmp_path, degradation=Degradation(noise=15))
    assert first == replace(other, image="a")


def test_gray_with_transparency_and_reductions_of_another_kind(tmp_path: Path) -> None:
    high, low = tmp_path / "high", tmp_path / "low"
    for folder in (high, low):
        folder.mkdir()
    gray = smooth(40)
    Image.fromarray(np.stack([gray, np.full_like(gray, 255)], 2), "LA").save(high / "a.png")
    (found,) = evaluate(nearest_upscaler(), high)
    assert found.psnr_y == found.psnr_rgb
    Image.fromarray(smooth(40, 3)[:20, :20]).save(low / "a.png")
    with pytest.raises(ImageError, match=r"a\.png' is uint8, in colour, but 'a\.png' is uint8, gray"):
        evaluate(nearest_upscaler(), high, low)


@pytest.fixture
def esc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs ``esc-sr``; all models on offer are a small one of their scale."""
    scales = {entry.name: entry.scale for entry in list_models()}

    def opened(name: str, **_: object) -> Any:
        return replace(random_upscaler(scales[name]).model, name=name)

    monkeypatch.setattr("esc_plugin.cli.evaluate.open_model", opened)
    return inside_the_test(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "images"
    made.mkdir()
    Image.fromarray(smooth(64, 3)).save(made / "colour.png")
    Image.fromarray(smooth(64, 1)).save(made / "gray.png")
    return made


def test_a_row_for_each_model_and_degradation(esc: Callable[..., str], folder: Path) -> None:
    said = esc("evaluate", "esc-nano-x2", "esc-nano-x4", folder, "--degrade", "jpeg=40", "--degrade", "bin,photons=200")
    header, *rows = [line.split() for line in said.splitlines()]
    assert header[:3] == ["model", "degradation", "images"]
    assert [row[:3] for row in rows] == [
        [model, degradation, "2"]
        for model in ("esc-nano-x2", "esc-nano-x4")
        for degradation in ("jpeg=40", "bin,photons=200")
    ]
    for row in rows:
        model, bicubic, gain, bias = map(float, row[3:])
        assert gain == pytest.approx(model - bicubic, abs=0.011)
        assert abs(bias) < 100


def test_one_word_stands_for_all_bundled_models(esc: Callable[..., str], folder: Path) -> None:
    rows = json.loads(esc("evaluate", "bundled", "esc-nano-x2", folder, "--json"))
    bundled = {entry.name for entry in list_models() if entry.bundled}
    assert {row["model"] for row in rows} == bundled
    assert len(rows) == 3 * len(bundled)  # two images and their mean, each model once
    assert {row["degradation"] for row in rows} == {"bicubic"}


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_files_carry_every_image_of_every_row(esc: Callable[..., str], folder: Path, suffix: str) -> None:
    output = folder.parent / f"figures.{suffix}"
    steps = ("bicubic", "noise=15")
    options = [part for step in steps for part in ("--degrade", step)]
    shown = json.loads(esc("evaluate", "esc-nano-x2", folder, *options, "--json", "-o", output))
    written = json.loads(output.read_text()) if suffix == "json" else list(csv.DictReader(output.read_text().splitlines()))
    assert [(row["degradation"], row["image"]) for row in written] == [
        (step, image) for step in steps for image in ("colour", "gray", "mean")
    ]
    for one, other in zip(shown, written, strict=True):
        assert one["model"] == other["model"] == "esc-nano-x2"
        for name in ("psnr_y", "bicubic_psnr_y", "ssim_y", "bias", "bicubic_bias"):
            assert float(other[name]) == pytest.approx(one[name])


def test_one_model_alone_is_shown_image_by_image(esc: Callable[..., str], folder: Path) -> None:
    said = esc("evaluate", "esc-nano-x2", folder, "--degrade", "noise=15")
    assert [line.split()[0] for line in said.splitlines()][1:] == ["colour", "gray", "mean"]


def test_16_bits_by_the_command(esc: Callable[..., str], tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cells.tif", smooth(64, 1, deep=True))
    rows = json.loads(esc("evaluate", "esc-nano-x2", tmp_path, "--degrade", "bin=2,photons=200", "--json"))
    assert [row["image"] for row in rows] == ["cells", "mean"]
    assert rows[0]["psnr_y"] == rows[0]["psnr_rgb"]


def test_errors_come_in_one_line_and_without_torch(folder: Path, tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    tifffile.imwrite(deep / "cells.tif", smooth(40, 1, deep=True))
    cases = {
        ("esc-nano-x2",): "name a model and a folder",
        ("esc-nano-x2", folder, "--degrade", "sharpen=2"): "no step of a degradation",
        ("esc-nano-x2", folder, "--degrade", "jpeg=400"): "from 1 to 100",
        ("esc-nano-x2", "esc-nano-x4", folder, "--degrade", "bin=2"): "bin=2 doesn't fit 'esc-nano-x4'",
        ("bundled", folder, "--degrade", "bin=7"): "bin=7 doesn't fit",
        ("esc-nano-x2", deep, "--degrade", "jpeg=40"): "'cells.tif' is uint16, and JPEG has 8 bits",
        ("esc-nano-x2", folder, "--low", folder, "--degrade", "jpeg=40"): "leave one of them out",
        ("esc-nano-x2", "nothing", folder): "did you mean",
        ("bundled", tmp_path / "none"): "there is no folder",
    }
    results = run_commands(*(["evaluate", *case] for case in cases), missing=["torch"])
    for case, wanted, (code, said) in zip(cases, cases.values(), results, strict=True):
        assert wanted in said, (case, said)
        assert (code, len(said.splitlines())) == (1, 1), (case, said)
