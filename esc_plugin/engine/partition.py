"""How a step is cut into chunks, and how many of them are worked on at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

from ..network.grid import Region
from ..network.program import Step

#: Where rows or columns start and stop.
Span = tuple[int, int]
#: A chunk of whole rows is one run of memory, nothing has to be gathered. It is taken while it is this many halos high, so
#: that the neighbours' rows which it reads again stay few.
LEAST_BAND_HALOS = 8
#: What gathering the rows of a chunk costs, as a part of its arithmetic.
GATHERING = 0.1
#: What each further thread adds where threads share the operations of a chunk, and wait for each other at the end of each.
#: Where other programs run, it is far less.
SHARING = 0.6
#: What a chunk takes beside its arithmetic, in multiplications of one thread: 0.1 ms of Python, of one chunk after another.
CHUNK_COST = 8e6
#: So many chunks for each worker, and no other partition would be better by much: the last round is what they may wait.
PLENTY = 16


class Partition(NamedTuple):
    """Rows and columns of chunks, and how many chunks are worked on at once, each on its share of the threads."""

    bands: int
    columns: int
    at_once: int = 1

    @property
    def chunks(self) -> int:
        """How many there are."""
        return self.bands * self.columns


class Extent(NamedTuple):
    """What a step computes, in feature pixels: height and width, its halo, and what chunks start at multiples of."""

    height: int
    width: int
    halo: int
    multiple: int

    @classmethod
    def of(cls, step: Step, area: Region) -> Extent:
        """Return that of a step and its area."""
        return cls(area.height, area.width, max(step.reads.values()), step.multiple)

    def units(self) -> tuple[int, int]:
        """Return the most chunks along each axis."""
        return max(self.height // self.multiple, 1), max(self.width // self.multiple, 1)

    def chunk_pixels(self, bands: int, columns: int) -> int:
        """Return the pixels of the largest chunk, halo included."""
        height, width = (
            min((-(-units // parts)) * self.multiple + 2 * self.halo, length)
            for units, parts, length in zip(self.units(), (bands, columns), (self.height, self.width), strict=True)
        )
        return height * width


def spans(start: int, stop: int, parts: int, multiple: int) -> Iterator[Span]:
    """Cut start..stop, at multiples, into parts as equal as can be.

    A rest below `multiple` joins its neighbour: the last window is filled up by reflection, which reads up to a window to
    its left, so a chunk that holds part of a window also holds the one before.
    """
    units = max((stop - start) // multiple, 1)
    starts = [start + units * i // parts * multiple for i in range(parts)]
    yield from zip(starts, [*starts[1:], stop], strict=True)


@lru_cache(maxsize=4096)
def partition(extent: Extent, pixels: int, workers: int, cost: float) -> Partition:
    """Choose the partition that takes least time.

    Parameters
    ----------
    extent : Extent
        What is cut.
    pixels : int
        About how many pixels a chunk may have, halo included.
    workers : int
        Threads, each of which may have a chunk of its own.
    cost : float
        Multiplications per pixel.
    """
    alone = _for_one(extent, pixels)
    if workers == 1:
        return alone
    if alone.chunks >= PLENTY * workers:
        return alone._replace(at_once=workers)
    return min(_candidates(extent, pixels, workers, alone), key=lambda found: seconds(extent, found, workers, cost))


def seconds(extent: Extent, found: Partition, workers: int, cost: float) -> float:
    """Return how long a step takes on so many threads, in multiplications of one thread."""
    sharing = 1 + SHARING * (workers // found.at_once - 1)
    pixels = extent.chunk_pixels(*found[:2]) * (1 + GATHERING * (found.columns > 1))
    rounds = -(-found.chunks // found.at_once)
    return max(rounds * (pixels * cost / sharing + CHUNK_COST), found.chunks * CHUNK_COST)


def _for_one(extent: Extent, pixels: int) -> Partition:
    height, width = _chunk_shape(pixels, extent)
    return Partition(_parts(extent.height, height, extent.multiple), _parts(extent.width, width, extent.multiple))


def _chunk_shape(pixels: int, extent: Extent) -> tuple[int, int]:
    """Fit a rectangle of about `pixels`, halo included, into an area: whole rows, or a square where those get too flat."""
    halo, multiple = extent.halo, extent.multiple
    rows = pixels // (extent.width + 2 * halo) - 2 * halo
    if rows >= max(multiple, LEAST_BAND_HALOS * halo):
        return rows // multiple * multiple, extent.width
    edge = max((isqrt(pixels) - 2 * halo) // multiple * multiple, multiple)
    return edge, edge


def _parts(length: int, most: int, multiple: int) -> int:
    """Return the fewest parts of up to `most` that a length is cut into at multiples."""
    return -(-max(length // multiple, 1) // max(most // multiple, 1))


def _candidates(extent: Extent, pixels: int, workers: int, alone: Partition) -> Iterator[Partition]:
    """Yield partitions whose chunks are half as large again as planned at most, or as those for one worker."""
    yield alone._replace(at_once=min(alone.chunks, workers))
    rows, columns = extent.units()
    most = max(4 * workers, 2 * alone.chunks)
    for across in range(1, min(columns, most) + 1):
        for down in range(1, min(rows, most // across) + 1):
            if 2 * extent.chunk_pixels(down, across) <= 3 * pixels:
                yield Partition(down, across, min(down * across, workers))
