"""Resampling by filters: a region is, to the bit, that rectangle of the whole, however it is cut."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import floor
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from esc_plugin.arrays import resample, taps
from esc_plugin.arrays.interpolate import interpolated, interpolated_from
from esc_plugin.arrays.resample import Resampler, needed, resize
from esc_plugin.arrays.taps import LANCZOS, TRIANGLE, Kernel, make_taps
from esc_plugin.network.grid import Region

Size = tuple[int, int]
SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
TARGETS = st.tuples(st.integers(1, 60), st.integers(1, 60))
#: Rows and columns of the pieces in which an image comes, and values of a band and of a block.
CUTS = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 2000), st.integers(1, 2000))


def noise(size: Size) -> np.ndarray:
    return np.random.default_rng(size).random((3, *size), np.float32)


def cut(values: np.ndarray, region: Region) -> np.ndarray:
    return values[:, region.top : region.bottom, region.left : region.right]


def pieces(region: Region, rows: int, columns: int) -> Iterator[Region]:
    for top in range(region.top, region.bottom, rows):
        for left in range(region.left, region.right, columns):
            yield Region(top, left, min(top + rows, region.bottom), min(left + columns, region.right))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Size, Size, Region]:
    """Draw the size of an image, another one, and a region of the latter."""
    target = draw(TARGETS)
    rows, columns = (sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in target)
    return draw(SIZES), target, Region(rows[0], columns[0], rows[1], columns[1])


class Picture:
    """A source that remembers what was read, and a sink that takes every pixel once and in order."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.regions: list[Region] = []

    def read(self, region: Region) -> torch.Tensor:
        self.regions.append(region)
        return torch.from_numpy(cut(self.values, region))[None]

    def write(self, region: Region, tensor: torch.Tensor) -> None:
        assert not self.regions or self.regions[-1].bottom == region.top
        assert np.isnan(cut(self.values, region)).all()
        self.regions.append(region)
        cut(self.values, region)[...] = tensor[0].numpy()


def empty(target: Size) -> Picture:
    return Picture(np.full((3, *target), np.nan, np.float32))


def resized(values: np.ndarray, target: Size, linear: bool = False) -> np.ndarray:
    out = empty(target)
    resize(Picture(values), out, values.shape[1:], target, linear)
    return out.values


def pillow(values: np.ndarray, target: Size, filter_: Image.Resampling, border: int = 0) -> np.ndarray:
    """The oracle; beyond its border the image may go on as it ends."""
    height, width = values.shape[1:]
    padded = np.pad(values, ((0, 0), (border, border), (border, border)), "edge")
    box = (border, border, border + width, border + height)
    return np.stack([np.asarray(Image.fromarray(band).resize(target[::-1], filter_, box)) for band in padded])


@given(SIZES, TARGETS)
def test_the_whole_is_filtered_as_pillow_filters(size: Size, target: Size) -> None:
    values = noise(size)
    np.testing.assert_allclose(resized(values, target), pillow(values, target, Image.Resampling.LANCZOS), atol=1e-5)


@given(cases(), CUTS, st.booleans())
@example(((40, 1), (3, 1), Region(1, 0, 2, 1)), (9, 9, 1, 1), False)
@settings(max_examples=200)
def test_a_region_is_that_rectangle_of_the_whole(
    case: tuple[Size, Size, Region], cuts: tuple[int, int, int, int], linear: bool
) -> None:
    size, target, region = case
    rows, columns, band, block = cuts
    values, out = noise(size) * 3 - 1, empty(target)
    whole = resized(values, target, linear) if size != target else values
    with patch.object(resample, "BAND_VALUES", band), patch.object(taps, "BLOCK_VALUES", block):
        sink = Resampler(out, size, target, linear and size != target, region)
        for piece in pieces(needed(size, target, region), rows, columns):
            sink.write(piece, torch.from_numpy(cut(values, piece))[None])
    np.testing.assert_array_equal(cut(out.values, region), cut(whole, region))
    assert np.isfinite(out.values).sum() == 3 * region.height * region.width


@given(cases(), st.integers(1, 2000))
def test_resizing_reads_what_is_needed_and_once(case: tuple[Size, Size, Region], band: int) -> None:
    size, target, region = case
    source, out = Picture(noise(size)), empty(target)
    with patch.object(resample, "BAND_VALUES", band):
        resize(source, out, size, target, region=region)
    np.testing.assert_array_equal(cut(out.values, region), cut(resized(source.values, target), region))
    read, wanted = source.regions, needed(size, target, region)
    assert {(part.left, part.right) for part in read} == {(wanted.left, wanted.right)}
    edges = [wanted.top, *(part.bottom for part in read)]
    assert [part.top for part in read] == edges[:-1]
    assert edges[-1] == wanted.bottom


@given(cases())
def test_all_that_is_needed_counts(case: tuple[Size, Size, Region]) -> None:
    size, target, region = case
    wanted = needed(size, target, region)
    for row, column in ((wanted.top, wanted.left), (wanted.bottom - 1, wanted.right - 1)):
        values = np.zeros((3, *size), np.float32)
        values[:, row, column] = 1e30  # weights may be as small as 1e-17, along both axes
        assert cut(resized(values, target), region).any()


@given(cases(), st.integers(1, 2000), st.sampled_from([np.float32, np.float64]))
@example(((40, 1), (3, 1), Region(1, 0, 2, 1)), 1, np.float32)
@settings(max_examples=200)
def test_an_interpolated_region_is_that_rectangle_of_the_whole(
    case: tuple[Size, Size, Region], block: int, dtype: type[np.floating]
) -> None:
    size, target, region = case
    planes = np.moveaxis(noise(size), 0, -1).astype(dtype)
    read: list[Region] = []

    def plane(part: Region) -> np.ndarray:
        read.append(part)
        return planes[part.top : part.bottom, part.left : part.right]

    whole = interpolated(plane, size, target, Region(0, 0, *target))
    with patch.object(taps, "BLOCK_VALUES", block):
        made = interpolated(plane, size, target, region)
    assert whole is not None
    assert made is not None
    assert made.dtype == dtype
    np.testing.assert_array_equal(made, whole[region.top : region.bottom, region.left : region.right])
    assert read == [interpolated_from(size, target, Region(0, 0, *target)), interpolated_from(size, target, region)]
    wanted = pillow(noise(size), target, Image.Resampling.BILINEAR, border=80)
    np.testing.assert_allclose(np.moveaxis(whole, -1, 0), wanted, atol=1e-5)


@pytest.mark.parametrize("kernel", [TRIANGLE, LANCZOS], ids=["triangle", "lanczos"])
@pytest.mark.parametrize("target", [2**31 - 3, 2**31 - 1, 2**30 + 1, 2**27])
def test_phases_are_exact_however_large_the_image(kernel: Kernel, target: int) -> None:
    length = 2**31 - 2
    made = make_taps(kernel, length, target, target - 3, target)
    for i in range(3):
        centre = Fraction((2 * (target - 3 + i) + 1) * length, 2 * target) - Fraction(1, 2)
        width = max(Fraction(length, target), Fraction(1))
        near = range(floor(centre - kernel.reach * width), floor(centre + kernel.reach * width) + 2)
        weights = {n: float(kernel.weight(np.float64((n - centre) / width))) for n in near}
        if not kernel.extends:
            weights = {n: w for n, w in weights.items() if n < length}
        found: dict[int, float] = dict.fromkeys(near, 0.0)
        for place, weight in zip(made.places[:, i], made.weights[:, i], strict=True):
            found[int(place)] += float(weight)
        total = sum(weights.values())
        clamped: dict[int, float] = dict.fromkeys(near, 0.0)
        for n, weight in weights.items():
            clamped[min(n, length - 1)] += weight / total
        assert found == pytest.approx(clamped, abs=1e-7)
