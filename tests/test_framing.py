"""What size a user asks for: sides that are asked for are met exactly, proportions are kept within rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from esc_plugin import ImageError
from esc_plugin.arrays.framing import LARGEST_ANISOTROPY, MODES, PRESETS, Frame, Framing, preset_named
from esc_plugin.arrays.sizes import LARGEST_SCALE, LARGEST_SIDE, Size

SIDES = st.integers(1, 20_000)
IMAGES = st.tuples(SIDES, SIDES)


def keeps_proportions(image: Size, size: Size) -> bool:
    """Whether one factor makes both sides, each rounded to whole pixels, at least one."""
    least = max((n - 0.5) / length for n, length in zip(size, image, strict=True) if n > 1)
    most = min((n + 0.5) / length for n, length in zip(size, image, strict=True))
    return least <= most * (1 + 1e-12)


def framed(image: Size, **asked: Any) -> Frame:
    """Return the frame for an image, unless the image would grow more than it may."""
    try:
        return Framing(**asked).frame(*image, 2)
    except ImageError as error:
        assume("grows at most" not in str(error))
        assume("differ more than" not in str(error))
        raise


@given(IMAGES, SIDES)
def test_a_longest_and_a_shortest_edge_are_met(image: Size, side: int) -> None:
    for edge, name in ((max, "longest"), (min, "shortest")):
        size = framed(image, **{name: side}).size
        assert edge(size) == side
        assert max(size) == 1 or keeps_proportions(image, size)


@given(IMAGES, SIDES, SIDES)
def test_a_shortest_edge_may_have_a_cap_on_the_longest(image: Size, one: int, other: int) -> None:
    shortest, longest = sorted((one, other))
    size = framed(image, shortest=shortest, longest=longest).size
    assert (min(size) == shortest and max(size) <= longest) or (max(size) == longest and min(size) <= shortest)
    assert max(size) == 1 or keeps_proportions(image, size)


@given(IMAGES, SIDES)
def test_a_width_or_a_height_is_met_in_every_mode(image: Size, side: int) -> None:
    for mode in MODES:
        for axis, name in enumerate(("height", "width")):
            frame = framed(image, mode=mode, **{name: side})
            assert frame.size[axis] == side
            assert frame.crop is None
            assert max(frame.size) == 1 or keeps_proportions(image, frame.size)


@given(IMAGES, SIDES, SIDES)
def test_fit_is_the_largest_inside_the_box(image: Size, height: int, width: int) -> None:
    frame = framed(image, height=height, width=width)
    assert frame.size[0] <= height
    assert frame.size[1] <= width
    assert frame.size[0] == height or frame.size[1] == width
    assert frame.crop is None
    assert max(frame.size) == 1 or keeps_proportions(image, frame.size)


@given(IMAGES, SIDES, SIDES)
def test_fill_covers_the_box_and_is_cropped_to_its_middle(image: Size, height: int, width: int) -> None:
    frame = framed(image, height=height, width=width, mode="fill")
    assert frame.size == (height, width)
    assert frame.enlarged[0] >= height
    assert frame.enlarged[1] >= width
    assert frame.enlarged[0] == height or frame.enlarged[1] == width
    assert max(frame.enlarged) == 1 or keeps_proportions(image, frame.enlarged)
    for length, (start, stop) in zip(frame.enlarged, frame.crop or ((0, height), (0, width)), strict=True):
        assert 0 <= start < stop <= length
        assert 0 <= (length - stop) - start <= 1


@given(IMAGES, SIDES, SIDES)
def test_stretch_is_exactly_the_box(image: Size, height: int, width: int) -> None:
    assert framed(image, height=height, width=width, mode="stretch") == Frame((height, width))


@given(IMAGES, st.sampled_from(sorted(PRESETS)), st.sampled_from(MODES))
def test_a_preset_is_a_box_that_turns_with_the_image(image: Size, preset: str, mode: str) -> None:
    width, height = sorted(PRESETS[preset]) if image[0] > image[1] else PRESETS[preset]
    assert framed(image, preset=preset, mode=mode) == framed(image, width=width, height=height, mode=mode)


@given(st.tuples(st.integers(50, 20_000), st.integers(50, 20_000)), st.floats(0.01, 1000))
def test_megapixels_are_met_within_rounding(image: Size, megapixels: float) -> None:
    height, width = framed(image, megapixels=megapixels).size
    assume(min(height, width) > 10)
    assert abs(height * width - megapixels * 1e6) <= (height + width) / 2 + 1
    assert keeps_proportions(image, (height, width))


@given(IMAGES, st.floats(0.01, LARGEST_SCALE))
def test_nothing_is_the_scale_of_the_model(image: Size, scale: float) -> None:
    assert Framing().frame(*image, 3) == Frame((image[0] * 3, image[1] * 3))
    assert Framing(scale=scale).frame(*image, 3) == Frame((max(round(image[0] * scale), 1), max(round(image[1] * scale), 1)))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"width": 32768, "height": 1, "mode": "stretch"}, "32768 x 1 from an image of 160 x 120"),
        ({"width": 160, "height": 4, "mode": "stretch"}, f"differ more than {LARGEST_ANISOTROPY} times"),
        ({"width": 10_241}, "grows at most 64 times, here to 10240 x 7680"),
        ({"megapixels": 79}, "grows at most 64 times"),
        ({"preset": "8K", "mode": "fill", "longest": 5}, "ask for one size, not for longest=5 and preset='8K'"),
        ({"scale": 2, "width": 5}, "ask for one size, not for scale=2 and width=5"),
        ({"scale": 65}, "scale must be above 0 and at most 64"),
        ({"longest": 5, "shortest": 6}, "the shortest edge, 6, can't be more than the longest, 5"),
        ({"preset": "3D"}, "preset must be one of HD, Full HD, 2K, 4K, 8K, not '3D'"),
        ({"width": 9, "mode": "squeeze"}, "mode must be one of fit, fill, stretch, not 'squeeze'"),
    ],
)
def test_what_nobody_can_mean_is_refused(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(ImageError) as caught:
        Framing(**asked).frame(120, 160, 2)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 200


def test_no_file_can_hold_more_than_the_largest_side() -> None:
    with pytest.raises(ImageError, match=r"at most 2,147,483,647 pixels"):
        Framing(scale=64).frame(4, LARGEST_SIDE // 10, 2)


@pytest.mark.parametrize("name", ["longest", "shortest", "width", "height"])
@pytest.mark.parametrize("side", [0, -1, 2.5, True, float("nan"), float("inf"), "a", 10**400, 2**31])
def test_no_side(name: str, side: Any) -> None:
    with pytest.raises(ImageError, match=f"{name} must be a whole number of pixels from 1 to") as caught:
        Framing(**{name: side})
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("megapixels", [0, -1, float("nan"), float("inf"), "12", True])
def test_no_megapixels(megapixels: Any) -> None:
    with pytest.raises(ImageError, match="megapixels must be a number above 0"):
        Framing(megapixels=megapixels)


def test_numbers_of_other_libraries_are_numbers() -> None:
    assert Framing(width=np.int64(12)).frame(4, 6, 2).size == (8, 12)
    assert Framing(scale=np.float32(1.5)).frame(4, 6, 2).size == (6, 9)
    assert Framing(megapixels=np.float32(1)).frame(500, 500, 2).size == (1000, 1000)


@pytest.mark.parametrize(
    ("asked", "label"),
    [
        ({}, "2"),
        ({"scale": 2.7}, "2.7"),
        ({"width": 3000}, "w3000"),
        ({"height": 2000, "mode": "fill"}, "h2000"),
        ({"width": 3840, "height": 2160}, "3840x2160"),
        ({"width": 3840, "height": 2160, "mode": "fill"}, "fill_3840x2160"),
        ({"preset": "4K"}, "fit_4K"),
        ({"preset": "Full HD", "mode": "stretch"}, "stretch_FullHD"),
        ({"longest": 3000}, "longest3000"),
        ({"shortest": 1080, "longest": 3000}, "shortest1080_longest3000"),
        ({"megapixels": 12.5}, "mp12.5"),
    ],
)
def test_labels_for_names_of_files(asked: dict[str, Any], label: str) -> None:
    assert Framing(**asked).label(2) == label


def test_presets_are_found_as_people_write_them() -> None:
    assert [preset_named(text) for text in ("4k", "full-hd", " FullHD", "full hd", "", "4", "5K")] == [
        "4K", "Full HD", "Full HD", "Full HD", None, None, None,
    ]  # fmt: skip
