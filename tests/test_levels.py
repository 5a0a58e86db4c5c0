"""Levels of intensity: per channel, unmoved by outliers, and nothing beyond them is lost."""

from __future__ import annotations

import tracemalloc
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import data

from esc_plugin import ImageError, Upscaler
from esc_plugin.arrays import statistics
from esc_plugin.arrays.bicubic import imresize
from esc_plugin.arrays.consistency import check_agreement
from esc_plugin.arrays.interpolate import interpolated
from esc_plugin.arrays.layout import layout_of
from esc_plugin.arrays.levels import Levels, measure_levels
from esc_plugin.network.grid import Region

from .small import nearest_upscaler, random_upscaler

NEAREST, RANDOM = nearest_upscaler(), random_upscaler()


@cache
def bundled() -> Upscaler:
    return Upscaler("esc-nano-x2", device="cpu")


def photo() -> tuple[np.ndarray, np.ndarray]:
    """Return what `camera` does, four times as large."""
    large = (data.camera() * 4.0 + 100).astype(np.uint16)
    return large, imresize(large, (256, 256))


@cache
def camera() -> tuple[np.ndarray, np.ndarray]:
    """Return a part of a photo as a camera of 12 bits sees it, and its reduction by two."""
    large = (data.camera()[64:320, 128:384] * 4.0 + 100).astype(np.uint16)
    return large, imresize(large, (128, 128))


@cache
def spots() -> tuple[np.ndarray, np.ndarray]:
    """Return 25 spots on a dark ground, and their reduction by two."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:256, :256]
    large = np.full((256, 256), 200.0)
    for y, x, height in zip(*random.uniform(20, 236, (2, 25)), random.uniform(1500, 3000, 25), strict=True):
        large += height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 2.0**2))
    large = random.poisson(large).astype(np.uint16)
    return large, imresize(large, (128, 128))


def with_hot_pixels(image: np.ndarray, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with pixels at the end of its type, and where the enlarged image is far from them."""
    hot, far = image.copy(), np.ones((2 * image.shape[0], 2 * image.shape[1]), bool)
    for y, x in np.random.default_rng(seed).integers(4, image.shape[0] - 4, (count, 2)):
        hot[y, x] = 65535
        far[max(2 * y - 6, 0) : 2 * y + 8, max(2 * x - 6, 0) : 2 * x + 8] = False
    return hot, far


def psnr(image: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    error = image.astype(float)[where] - truth[where]
    return float(10 * np.log10(float(np.ptp(truth)) ** 2 / np.mean(error**2)))


@pytest.mark.parametrize(("scene", "count"), [(camera, 1), (camera, 10), (spots, 1), (spots, 10), (photo, 100)])
def test_hot_pixels_do_not_reach_the_rest_of_the_image(scene: Any, count: int) -> None:
    truth, image = scene()
    hot, far = with_hot_pixels(image, count)
    assert psnr(bundled()(hot), truth, far) > psnr(bundled()(image), truth, far) - 0.1


@pytest.mark.parametrize("scene", [camera, spots])
def test_a_clean_image_loses_nothing_to_its_lowest_and_highest_value(scene: Any) -> None:
    truth, image = scene()
    everywhere = np.ones(truth.shape, bool)
    found, plain = (psnr(bundled()(image, intensity=kind), truth, everywhere) for kind in ("auto", "minmax"))
    assert found > plain - 0.1


def test_a_saturated_block_does_not_reach_the_rest_of_the_image() -> None:
    """A cluster of hot pixels, or a burnt-in scale bar: larger than any neighbourhood, but at the end of the type."""
    truth, image = camera()
    burnt = image.copy()
    burnt[60:66, 40:80] = 65535
    far = np.ones(truth.shape, bool)
    far[112:140, 72:168] = False
    assert psnr(bundled()(burnt), truth, far) > psnr(bundled()(image), truth, far) - 0.1
    assert measure_levels(np.full((9, 9), 65535, np.uint16), layout_of(np.zeros((9, 9))))[0].pair == (65535, 65535)


def test_small_bright_things_leave_a_range_to_the_rest() -> None:
    """Dust of 8 x 8 pixels is structure, but sixty times as bright as all else it may not take the whole range."""
    truth, image = photo()
    dusty = image.copy()
    dusty[60:68, 60:68] = 60000
    far = np.ones(truth.shape, bool)
    far[108:148, 108:148] = False
    clean = psnr(bundled()(image), truth, far)
    assert psnr(bundled()(dusty), truth, far) > clean - 0.5
    assert psnr(bundled()(dusty, intensity="minmax"), truth, far) < clean - 0.8


def test_hot_pixels_themselves_are_kept() -> None:
    image = camera()[1].copy()
    image[40, 50] = 65535
    out = bundled()(image, consistency=True)
    assert out[80:82, 100:102].mean() == 65535
    assert out[78:84, 98:104].max() == 65535


def test_a_frame_does_not_depend_on_outliers_of_another() -> None:
    stack = np.stack([camera()[1]] * 3)
    clean = bundled()(stack, axes="TYX")
    stack[2, 30, 30] = 65535
    stack[2, 90, 17] = 0
    stack[2, 0, 0] = stack[2, -1, -1] = stack[2, 0, 50] = stack[2, 1, 1] = 60000
    out = bundled()(stack, axes="TYX")
    np.testing.assert_array_equal(out[:2], clean[:2])


def test_channels_in_one_array_equal_arrays_of_their_own() -> None:
    dim, bright = camera()[1] // 8, spots()[1] * 20
    out = RANDOM(np.stack([dim, bright]), axes="CYX")
    np.testing.assert_array_equal(out[0], RANDOM(dim))
    np.testing.assert_array_equal(out[1], RANDOM(bright))
    time = np.stack([np.stack([dim, bright], -1), np.stack([dim, bright], -1)])
    np.testing.assert_array_equal(RANDOM(time, axes="TYXC")[1, ..., 0], out[0])


@pytest.mark.parametrize("intensity", ["auto", "percentile"])
def test_a_thousand_channels_take_no_more_memory_than_some(intensity: str) -> None:
    """Spectral images have them; what is counted of a channel is half a megabyte."""
    image = np.random.default_rng(5).integers(0, 9000, (1000, 4, 5), np.uint16)
    layout = layout_of(image, "CYX")
    tracemalloc.start()
    found = measure_levels(image, layout, intensity)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 * 2**20
    some = (0, 63, 64, 999)
    assert [found[c].pair for c in some] == [measure_levels(image[c], layout_of(image[c]), intensity)[0].pair for c in some]


def test_colours_share_one_pair() -> None:
    image = np.stack([camera()[1], camera()[1] // 2, camera()[1] // 4], -1)
    (pair,) = measure_levels(image, layout_of(image, "YXS"))
    assert pair.low < 60
    assert pair.high > 1000


def test_a_constant_stays_constant_whatever_pixel_is_hot() -> None:
    image = np.full((24, 20), 300, np.uint16)
    assert (bundled()(image) == 300).all()
    image[11, 7] = 50000
    out = bundled()(image)
    assert (out[:20] == 300).all()
    assert (out[25:] == 300).all()
    assert out[22:24, 14:16].min() > 300


def test_consistency_stays_exact_beyond_the_levels() -> None:
    image, _ = with_hot_pixels(camera()[1], 20)
    assert check_agreement(image, bundled()(image, consistency=True))[0].worst == 0


def test_a_part_with_the_levels_of_the_whole() -> None:
    image = camera()[1]
    found = Upscaler.levels(image)
    part = image[32:64, 32:64]
    low, high = found[0].pair
    np.testing.assert_array_equal(RANDOM(part, intensity=found), RANDOM(part, intensity=(low, high)))
    assert (RANDOM(part, intensity=found) != RANDOM(part)).any()


KINDS = ["uint8", "int16", "uint16", "int32", "float32", "float64"]
NUMBERS = {"min_value": 0, "max_value": 200}


@given(st.sampled_from(KINDS), st.data())
def test_auto_is_what_its_description_says(kind: str, draw: st.DataObject) -> None:
    image = draw.draw(hnp.arrays(kind, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=NUMBERS))
    padded = np.pad(image, [(0, max(3 - n, 0)) for n in image.shape], "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(-1, 9)
    ranks = np.sort(windows, 1).astype(float)
    dark, bright = ranks[:, 4].min(), ranks[:, 4].max()
    ends = []
    for outer, inner, sign in ((ranks[:, 1:3].min(0), dark, -1), (ranks[:, [7, 6]].max(0), bright, 1)):
        believed = [(k, value) for k, value in zip((2, 3), outer, strict=True) if abs(value - inner) <= bright - dark]
        place, value = believed[0] if believed else (None, 0)
        line = inner + (value - inner) * 5 / (5 - place) if place else sign * np.inf
        ends.append(np.clip(line, dark - (bright - dark), bright + (bright - dark)))
    low, high = ends if dark < bright else (ranks[:, 1].min(), ranks[:, 7].max())
    if kind == "uint8":
        image = image.astype(np.uint16)
    (found,) = measure_levels(image, layout_of(image, "YX"))
    slack = 1e-5 * (high - low)
    assert found.low <= low + slack <= high + slack <= found.high + 2 * slack
    assert low - found.low <= (high - low) / 8
    assert found.high - high <= (high - low) / 8


@given(st.sampled_from(KINDS), st.tuples(st.floats(0, 50), st.floats(51, 100)), st.data())
def test_percentiles_are_those_of_numpy(kind: str, share: tuple[float, float], draw: st.DataObject) -> None:
    signed = {"min_value": 0 if kind.startswith("u") else -100, "max_value": 200 if kind != "uint8" else 255}
    image = draw.draw(hnp.arrays(kind, (2, 7, 9), elements=signed))
    (found,) = measure_levels(image, layout_of(image, "TYX"), f"percentile:{share[0]!r},{share[1]!r}")
    ranks = [min(int(p / 100 * image.size), image.size - 1) for p in share]
    wanted = np.sort(image, axis=None)[ranks].astype(np.float32)
    assert found.pair == (wanted[0], wanted[1])


@pytest.mark.parametrize("intensity", ["auto", "minmax", "percentile"])
def test_levels_do_not_depend_on_how_a_plane_is_read(intensity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = with_hot_pixels(camera()[1], 5)[0]
    wanted = measure_levels(image, layout_of(image), intensity)
    for values in (1, 500, 1000):
        monkeypatch.setattr(statistics, "BAND_VALUES", values)
        assert measure_levels(image, layout_of(image), intensity) == wanted


@pytest.mark.parametrize("intensity", ["auto", "minmax", "percentile"])
def test_values_that_are_no_numbers_are_passed_over(intensity: str) -> None:
    image = camera()[1].astype(np.float32)
    image[20:30, 20:30], image[60, 60] = np.nan, np.inf
    low, high = measure_levels(image, layout_of(image), intensity, "keep")[0].pair
    assert 50 < low < high < 1300
    nothing = np.full((5, 5), np.nan)
    assert measure_levels(nothing, layout_of(nothing), intensity, "keep")[0].pair == (0, 0)
    with pytest.raises(ImageError, match="NaN"):
        measure_levels(image, layout_of(image), intensity)


@given(st.integers(0, 40), st.integers(41, 100))
def test_explicit_levels_lose_nothing(low: int, high: int) -> None:
    image = np.random.default_rng(low).integers(0, 100, (9, 8)).astype(np.float32)
    out = NEAREST(image, intensity=(low, high))
    inside = (image >= low) & (image <= high)
    shown = image.clip(low, high).repeat(2, 0).repeat(2, 1)
    beyond = interpolated(
        lambda r: (image - image.clip(low, high))[r.top : r.bottom, r.left : r.right], (9, 8), (18, 16), WHOLE
    )
    np.testing.assert_allclose(out, shown + beyond, atol=1e-3)
    assert inside.all() or (beyond != 0).any()


WHOLE = Region(0, 0, 18, 16)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30), st.data())
@settings(max_examples=50)
def test_interpolation_keeps_means_and_does_not_depend_on_cuts(
    height: int, width: int, tall: int, wide: int, draw: st.DataObject
) -> None:
    values = np.random.default_rng(height * width).random((height, width))

    def read(region: Region) -> np.ndarray:
        return values[region.top : region.bottom, region.left : region.right]

    def part(top: int, left: int, bottom: int, right: int) -> np.ndarray:
        made = interpolated(read, values.shape, (tall, wide), Region(top, left, bottom, right))
        assert made is not None
        return made

    whole = part(0, 0, tall, wide)
    top, left = draw.draw(st.integers(0, tall - 1)), draw.draw(st.integers(0, wide - 1))
    np.testing.assert_array_equal(part(top, left, tall, wide), whole[top:, left:])
    assert values.min() - 1e-6 <= whole.min() <= whole.max() <= values.max() + 1e-6
    if tall % height == wide % width == 0:
        assert whole.mean() == pytest.approx(values.mean(), rel=1e-5)


BAD = ["log", "percentile:", "percentile:5", "percentile:9,1", "percentile:-1,50", "percentile:1,nan", (5, 5), (1, 2, 3)]


@pytest.mark.parametrize("intensity", [*BAD, None, 3, [(0, 1), (0, 1), (0, 1)], ["a", "b"], (np.nan, 1), [[0, 1], [2]]])
def test_what_is_no_intensity_is_an_error_that_shows_it(intensity: Any) -> None:
    with pytest.raises(ImageError, match="intensity"):
        NEAREST(np.zeros((2, 5, 5), np.uint16), axes="CYX", intensity=intensity)


def test_wide_types_far_beyond_their_levels() -> None:
    image = np.zeros((8, 8))
    image[4, 4] = 1e300
    out = NEAREST(image, intensity=(0, 1))
    assert out.max() > 1e299
    assert out[:6].max() == 0
    assert Levels(0, 255, np.dtype(np.uint8)).hold_all
    assert not Levels(0, 254, np.dtype(np.uint8)).hold_all
