"""Filters that resample any region of a plane, to the bit as they do the whole: phases come from absolute pixel numbers.

Pixels are areas: pixel i of n covers i/n to (i + 1)/n of its axis. Where an axis shrinks, the kernel is widened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..network.grid import Region

#: Values that are multiplied and added at a time, so that they stay in the cache.
BLOCK_VALUES = 2**15


@dataclass(frozen=True)
class Kernel:
    """What a pixel counts for a pixel of the result.

    Attributes
    ----------
    weight : callable
        Of distances in pixels of the coarser grid; 0 from `reach` on.
    reach : int
        Half its width, in pixels of the coarser grid.
    extends : bool
        Whether the border's pixels go on beyond it. Otherwise nothing is there, and the other weights grow.
    """

    weight: Callable[[np.ndarray], np.ndarray]
    reach: int
    extends: bool


TRIANGLE = Kernel(lambda x: (1 - np.abs(x)).clip(0), reach=1, extends=True)
#: Pillow's.
LANCZOS = Kernel(lambda x: np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0), reach=3, extends=False)


@dataclass(frozen=True)
class Taps:
    """The pixels along an axis that make each of n pixels of the result.

    Attributes
    ----------
    places : numpy.ndarray
        (taps, n) numbers of pixels.
    weights : numpy.ndarray
        (taps, n) float32; their sum over the taps is 1.
    """

    places: np.ndarray
    weights: np.ndarray

    @property
    def first(self) -> int:
        """The first pixel that counts."""
        return int(self.places.min())

    @property
    def end(self) -> int:
        """The one after the last pixel that counts."""
        return int(self.places.max()) + 1

    def part(self, start: int, stop: int) -> Taps:
        """Take those of the pixels from `start` to `stop`."""
        return Taps(self.places[:, start:stop], self.weights[:, start:stop])


@dataclass(frozen=True)
class Filter:
    """How a region of the result is made.

    Attributes
    ----------
    rows, columns : Taps
        Of the region's rows and columns.
    rows_first : bool
        Whether the rows are filtered before the columns. It depends on the whole alone, as rounding depends on it.
    """

    rows: Taps
    columns: Taps
    rows_first: bool

    @property
    def source(self) -> Region:
        """The pixels that the region is made of."""
        return Region(self.rows.first, self.columns.first, self.rows.end, self.columns.end)

    def part(self, top: int, bottom: int) -> Filter:
        """Take some of the region's rows, counted from its top."""
        return Filter(self.rows.part(top, bottom), self.columns, self.rows_first)

    def __call__(self, values: np.ndarray, axis: int = 0) -> np.ndarray:
        """Make the region of the pixels of `source`; rows are `axis` of the values, and columns the next."""
        source = self.source
        steps = [(self.rows, source.top, axis), (self.columns, source.left, axis + 1)]
        for taps, first, along in steps if self.rows_first else reversed(steps):
            values = _filtered(values, taps.places - first, taps.weights, along)
        return values


def make_filter(kernel: Kernel, size: tuple[int, ...], target: tuple[int, ...], region: Region) -> Filter:
    """Return how a region of a plane is made that is resized from `size` to `target` (height, width)."""
    rows = make_taps(kernel, size[0], target[0], region.top, region.bottom)
    columns = make_taps(kernel, size[1], target[1], region.left, region.right)
    # Columns cost more, since memory holds rows: they wait until there are fewer rows.
    return Filter(rows, columns, rows_first=target[0] < size[0])


def make_taps(kernel: Kernel, length: int, target: int, start: int, stop: int) -> Taps:
    """Return what makes the pixels from `start` to `stop` of an axis that is resized from `length` to `target`."""
    if length == target:
        return Taps(np.arange(start, stop)[None], np.ones((1, stop - start), np.float32))
    # A pixel's centre lies at `numerator / unit`, exactly.
    numerator, unit = (2 * np.arange(start, stop, dtype=np.int64) + 1) * length - target, 2 * target
    width = max(length / target, 1.0)
    half = -(-kernel.reach * max(length, target) // target)
    offsets = np.arange(1 - half, half + 1)[:, None]
    places = numerator // unit + offsets
    weights = kernel.weight((offsets - numerator % unit / unit) / width)
    if not kernel.extends:
        weights = np.where((places >= 0) & (places < length), weights, 0)
    # Python's sum adds in one order; NumPy's would depend on how many pixels there are.
    weights = (weights / sum(weights)).astype(np.float32)
    return Taps(_that_count(places.clip(0, length - 1), weights != 0), weights)


def _that_count(places: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Move the places of weights that are 0 to those that count, so that no pixel is read for nothing."""
    first, last = np.where(count, places, places.max()).min(0), np.where(count, places, 0).max(0)
    return places.clip(first, last)


def _filtered(values: np.ndarray, places: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """Add up what the taps take along an axis, one after the other: the same order in any part of a result."""
    lines = np.moveaxis(values, axis, 0)
    flat = np.ascontiguousarray(lines).reshape(len(lines), -1)
    result = np.zeros((places.shape[1], flat.shape[1]), values.dtype)
    step = max(BLOCK_VALUES // flat.shape[1], 1)
    memory = np.empty((min(step, len(result)), flat.shape[1]), values.dtype)
    for start in range(0, len(result), step):
        stop = min(start + step, len(result))
        block = memory[: stop - start]
        for place, weight in zip(places[:, start:stop], weights[:, start:stop, None], strict=True):
            flat.take(place, 0, out=block, mode="clip")  # any other mode would make a copy
            block *= weight
            result[start:stop] += block
    return np.moveaxis(result.reshape(-1, *lines.shape[1:]), 0, axis)
