"""Averages over each input pixel: compared, and restored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin import ImageError
from esc_plugin.arrays.consistency import Part, check_agreement, difference, project
from esc_plugin.arrays.framing import Framing
from esc_plugin.arrays.sizes import target_size

from .small import random_upscaler

RANDOM = random_upscaler()
INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]


def blocks(image: np.ndarray, fy: int, fx: int) -> np.ndarray:
    """Return the pixels of each block: (H, W, S, fy fx)."""
    height, width = image.shape[0] // fy, image.shape[1] // fx
    cut = image.reshape(height, fy, width, fx, -1).transpose(0, 2, 4, 1, 3)
    return cut.reshape(height, width, cut.shape[2], fy * fx)


@given(
    st.sampled_from(INTEGERS), st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99)
)
@settings(max_examples=100)
def test_integers_agree_exactly_over_the_whole_range(dtype: str, h: int, w: int, fy: int, fx: int, seed: int) -> None:
    limits, random = np.iinfo(dtype), np.random.default_rng(seed)
    plane = random.integers(limits.min, limits.max, (h, w), dtype, endpoint=True)
    plane[random.random((h, w)) < 0.3] = random.choice([limits.min, limits.max])  # where clipping leaves one solution
    upscaled = random.integers(limits.min, limits.max, (h * fy, w * fx), dtype, endpoint=True)
    project(upscaled, plane)
    sums = blocks(upscaled.astype(object), fy, fx).sum(-1)[..., 0]
    assert (sums == plane.astype(object) * fy * fx).all()


@given(st.sampled_from(["float16", "float32", "float64"]), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=40)
def test_floating_values_agree_to_rounding(dtype: str, size: int, factor: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    plane = random.normal(size=(size, size + 1, 3)).astype(dtype)
    upscaled = random.normal(size=(size * factor, (size + 1) * factor, 3)).astype(dtype)
    before = upscaled.copy()
    project(upscaled, plane)
    rounding = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(blocks(upscaled.astype(float), factor, factor).mean(-1), plane.astype(float), atol=rounding)
    # One number is added to all pixels of a block: that is the smallest change there is.
    change = blocks(upscaled.astype(float) - before, factor, factor)
    np.testing.assert_allclose(change, change.mean(-1, keepdims=True).repeat(factor**2, -1), atol=rounding)


def test_what_agrees_already_is_not_touched() -> None:
    upscaled = np.random.default_rng(0).integers(0, 60, (8, 8)).astype(np.uint16) * 4
    plane = blocks(upscaled, 2, 2)[..., 0, :].mean(-1).astype(np.uint16)
    project(upscaled, plane)
    np.testing.assert_array_equal(blocks(upscaled, 2, 2).mean(-1)[..., 0], plane)
    again = upscaled.copy()
    project(again, plane)
    np.testing.assert_array_equal(again, upscaled)


def test_rounding_moves_no_pixel_by_more_than_a_level_beyond_the_shift() -> None:
    plane = np.array([[10]], np.uint8)
    upscaled = np.array([[9, 9, 12], [9, 10, 9], [9, 9, 9]], np.uint8)  # sum 85, wanted 90
    before = upscaled.astype(int)
    project(upscaled, plane)
    assert upscaled.sum() == 90
    change = upscaled.astype(int) - before
    assert change.min() == 0  # 5 / 9 of a level each: five pixels gain one, four gain none
    assert change.max() == 1


def test_non_finite_pixels_are_left_alone() -> None:
    plane = np.array([[1.0, np.nan]])
    upscaled = np.array([[2.0, 4.0, np.nan, np.nan]])
    project(upscaled, plane)
    np.testing.assert_array_equal(upscaled, [[0.0, 2.0, np.nan, np.nan]])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("axes", ["YX", "YXS", "SYX", "CYX"])
def test_an_upscaled_image_keeps_its_sums(dtype: str, axes: str) -> None:
    shape = tuple({"Y": 9, "X": 8, "S": 3, "C": 2}[a] for a in axes)
    image = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    plain, kept = RANDOM(image, axes=axes), RANDOM(image, axes=axes, consistency=True)
    assert plain.sum(dtype=float) / 4 != pytest.approx(image.sum(dtype=float), rel=1e-4)  # else this test shows nothing
    for before in check_agreement(image, plain, axes):
        assert before.rms > 0.1
    for after in check_agreement(image, kept, axes):
        assert after.worst <= (1e-5 if dtype == "float32" else 0)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=60)
def test_averages_are_exact_by_area(h: int, w: int, more_y: int, more_x: int) -> None:
    """Against the plain definition: repeat every pixel until the grids share their edges, then average blocks."""
    plane = np.random.default_rng(0).normal(size=(h + more_y, w + more_x))
    fine = plane.repeat(h, 0).repeat(w, 1)
    wanted = blocks(fine, h + more_y, w + more_x).mean(-1)[..., 0]
    _, agreement = difference(wanted, plane, part=Part((0, h), (0, w), (h, w), plane.shape))
    assert agreement.worst < 1e-12


def test_the_report_is_the_definition() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 1000, (2, 5, 6)).astype(np.uint16)
    upscaled = random.integers(0, 1000, (2, 15, 18)).astype(np.uint16)
    for channel, found in enumerate(check_agreement(image, upscaled, "CYX")):
        difference = blocks(upscaled[channel], 3, 3).mean(-1)[..., 0] - image[channel]
        assert found.channel == channel
        assert found.bias == pytest.approx(difference.mean())
        assert found.rms == pytest.approx(np.sqrt((difference**2).mean()))
        assert found.worst == pytest.approx(np.abs(difference).max())
        assert found.mean == pytest.approx(image[channel].mean())


def test_a_brighter_output_has_a_bias_per_channel() -> None:
    image = np.random.default_rng(0).integers(0, 200, (6, 5, 3)).astype(np.uint8)
    upscaled = image.repeat(4, 0).repeat(4, 1)
    upscaled[..., 1] += 7
    found = check_agreement(image, upscaled)
    assert [entry.bias for entry in found] == [0, 7, 0]
    assert [entry.worst for entry in found] == [0, 7, 0]


@pytest.mark.parametrize(
    ("shape", "other"),
    [
        ((4, 4), (8, 8, 3)),
        ((4, 4, 3), (8, 8, 4)),
        ((4, 4), (3, 8)),
        ((4, 4), (8, 3)),
        ((2, 4, 4), (3, 8, 8)),
        ((40, 40), (80, 120)),  # other proportions
        ((40, 60), (120, 80)),  # turned
        ((40, 40), (82, 80)),
    ],
)
def test_what_can_not_be_compared(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(ImageError):
        check_agreement(np.zeros(shape), np.zeros(other))


def test_what_does_not_fit_is_told_with_what_would() -> None:
    with pytest.raises(ImageError, match=r"120 x 80 is no upscaled version of 40 x 40 .* as 80 x 80 would by 2\."):
        check_agreement(np.zeros((40, 40)), np.zeros((80, 120)))


@given(st.integers(1, 70), st.integers(1, 70), st.floats(1, 9))
def test_any_factor_can_be_compared(height: int, width: int, scale: float) -> None:
    large = target_size(height, width, scale)
    assert check_agreement(np.ones((height, width)), np.ones(large))[0].worst < 1e-9
    boxed = Framing(height=large[0], width=large[1]).frame(height, width, 1).enlarged
    if min(boxed[0] - height, boxed[1] - width) >= 0:
        check_agreement(np.ones((height, width)), np.ones(boxed))


def test_a_broken_factor_can_not_be_projected() -> None:
    arrays: Any = np.zeros((7, 8)), np.zeros((4, 4))
    with pytest.raises(ImageError, match="whole factor"):
        project(*arrays)


@pytest.mark.parametrize(
    ("shape", "axes"), [((12, 10), "YX"), ((3, 12, 10), "CYX"), ((10, 2, 12), "XTY"), ((12, 10, 4), "YXS")]
)
@pytest.mark.parametrize("factor", [2, 3])
def test_a_difference_is_input_minus_averages(shape: tuple[int, ...], axes: str, factor: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 1000, shape).astype(np.uint16)
    large = image.repeat(factor, axes.index("Y")).repeat(factor, axes.index("X"))
    large = large + rng.integers(0, 9, large.shape).astype(np.uint16)
    shown, found = difference(image, large, axes)
    blocks = [(length, factor) if letter in "YX" else (length,) for letter, length in zip(axes, shape, strict=True)]
    within = tuple(np.cumsum([len(block) for block in blocks])[[axes.index("Y"), axes.index("X")]] - 1)
    expected = image - large.reshape([n for block in blocks for n in block]).mean(within)
    colours = expected[..., :3].mean(-1) if "S" in axes else expected
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown, colours, rtol=0, atol=1e-4)
    np.testing.assert_allclose([found.bias, found.rms], [-expected.mean(), np.sqrt((expected**2).mean())])
    assert found.mean == pytest.approx(image.mean())


def test_a_difference_where_there_is_no_value_has_none() -> None:
    image = np.ones((4, 4), np.float32)
    image[1, 2] = np.nan
    shown, found = difference(image, image.repeat(2, 0).repeat(2, 1))
    assert np.isnan(shown[1, 2])
    assert np.nansum(np.abs(shown)) == 0
    assert (found.bias, found.rms, found.mean) == (0, 0, 1)


@given(st.data(), st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.integers(1, 6), st.integers(0, 3))
@settings(max_examples=100)
def test_a_part_is_corrected_as_in_the_whole(draw: st.DataObject, height: int, width: int, fy: int, fx: int, s: int) -> None:
    """To the bit, though sums of floating values depend on the order of the additions."""
    rng = np.random.default_rng(0)
    samples = (s,) if s else ()
    plane, upscaled = (rng.random((h, w, *samples)) for h, w in ((height, width), (height * fy, width * fx)))
    top, left = draw.draw(st.integers(0, height - 1)), draw.draw(st.integers(0, width - 1))
    bottom, right = draw.draw(st.integers(top + 1, height)), draw.draw(st.integers(left + 1, width))
    here = slice(top * fy, bottom * fy), slice(left * fx, right * fx)
    part = upscaled[here].copy()
    project(part, plane[top:bottom, left:right])
    project(upscaled, plane)
    np.testing.assert_array_equal(part, upscaled[here])


def test_values_at_the_end_of_their_type_stay_finite() -> None:
    plane = np.full((3, 4), 100, np.float16)
    plane[1, 1] = 60000
    upscaled = np.repeat(np.repeat(plane, 2, 0), 2, 1)
    upscaled[2, 2], upscaled[2, 3] = 65504, 20000  # the block lacks what would bring its first value beyond the type
    project(upscaled, plane)
    assert np.isfinite(upscaled).all()
    np.testing.assert_allclose(blocks(upscaled.astype(float), 2, 2).mean(-1)[..., 0], plane.astype(float), rtol=1e-3)
