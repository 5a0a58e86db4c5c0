"""The values of a TIFF by region: only the tiles and strips that a region touches are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil, prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import tifffile

from ..errors import ImageError
from .file_array import Bounds, FileArray, reason_of
from .picture import check_lazy_size
from .tiff_codecs import check_piece, values_of
from .tiff_pixels import lies_in_its_file, plain_offset

#: What tifffile makes of the shape of a page: separate samples, depth, rows, columns, samples of a pixel.
Box = tuple[tuple[int, int], ...]


def by_region(path: Path, series: tifffile.TiffPageSeries, inverted: bool) -> FileArray | None:
    """Return the values of a series; ``None`` if they can't be read by region, or it wouldn't help.

    Parameters
    ----------
    inverted : bool
        Whether zero is white.

    Raises
    ------
    ImageError
        If a tile or a strip is too large for the memory.
    """
    page, shape, path = series.keyframe, tuple(series.shape), path.absolute()
    if (offset := plain_offset(series)) is not None:
        check_lazy_size("it", shape, (1,), series.dtype.itemsize)
        dtype = series.dtype.newbyteorder(page.parent.byteorder).str
        return MappedTiff(str(path), offset, shape, dtype, inverted)
    grid = Grid.of(page)
    pages = prod(shape[: len(shape) - len(page.shape)])
    if grid is None or shape[-len(page.shape) :] != tuple(page.shape) or pages != len(series):
        return None
    if not lies_in_its_file(series):
        return None
    if pages == prod(grid.counts) == 1:
        return None  # all of it would be decoded for each region
    check_lazy_size("it", shape, (*grid.steps, page.shaped[4]), series.dtype.itemsize)
    return TiledTiff(str(path), shape, series.dtype.str, inverted)


@dataclass(frozen=True)
class Grid:
    """The tiles, or strips, of a page.

    Attributes
    ----------
    axes : tuple of int
        Which axis of a `Box` each axis of the page is.
    steps : tuple of int
        Samples, depth, rows and columns of a tile; of separate samples each has tiles of its own.
    counts : tuple of int
        How many tiles there are along these.
    """

    axes: tuple[int, ...]
    steps: tuple[int, int, int, int]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, page: tifffile.TiffPage) -> Grid | None:
        """Return the tiles of a page, or ``None`` if its axes are unusual."""
        shaped = tuple(page.shaped)
        places = {"S": 0 if shaped[0] > 1 else 4, "Z": 1, "Y": 2, "X": 3}
        if not set(page.axes) <= set(places):
            return None
        axes = tuple(places[letter] for letter in page.axes)
        if tuple(shaped[axis] for axis in axes) != tuple(page.shape) or prod(shaped) != prod(page.shape):
            return None
        tile = (page.tiledepth, page.tilelength, page.tilewidth) if page.is_tiled else (1, page.rowsperstrip, shaped[3])
        # Whatever a file says, a tile without rows or columns would make endless many of them.
        sides = [
            min(max(side, 1), length) if not page.is_tiled else max(side, 1)
            for side, length in zip(tile, shaped[1:4], strict=True)
        ]
        steps = (1, sides[0], sides[1], sides[2])
        return cls(axes, steps, tuple(ceil(length / step) for length, step in zip(shaped, steps, strict=False)))

    def box(self, bounds: Bounds) -> Box:
        """Return bounds of the axes of a page as those that tifffile has."""
        box = [(0, 1)] * 5
        for axis, pair in zip(self.axes, bounds, strict=True):
            box[axis] = pair
        return tuple(box)

    def touched(self, box: Box) -> Iterator[int]:
        """Yield the numbers of the tiles that a box touches."""
        ranges = [range(a // step, ceil(b / step)) for (a, b), step in zip(box, self.steps, strict=False)]
        for cell in product(*ranges):
            yield int(np.ravel_multi_index(cell, self.counts))


@dataclass(frozen=True)
class Pages:
    """What has to be known of a series, without its file being open.

    Attributes
    ----------
    grid : Grid
        Of each page.
    decode : callable
        What tifffile makes of a tile's bytes.
    nodata : float
        What stands where a tile is missing.
    segments : list of tuple
        By page: offsets and lengths of its tiles, and what its decoder needs besides.
    compression, values : int
        By which number the tiles are compressed, and how many values one has.
    """

    grid: Grid
    decode: Any
    nodata: float
    segments: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]]
    compression: int
    values: int

    @classmethod
    def of(cls, series: tifffile.TiffPageSeries) -> Pages:
        """Read them all."""
        keyframe, grid = series.keyframe, Grid.of(series.keyframe)
        assert grid is not None
        is_jpeg = keyframe.compression in (6, 7, 34892, 33007)
        segments = []
        for page in series.pages:
            assert page is not None
            options = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader} if is_jpeg else {}
            segments.append((page.dataoffsets, page.databytecounts, options | {"_fullsize": keyframe.is_tiled}))
        return cls(grid, keyframe.decode, keyframe.nodata, segments, keyframe.compression, values_of(keyframe))


class TiledTiff(FileArray):
    """The one image or stack of a TIFF in tiles or strips.

    Parameters
    ----------
    path : str
        Absolute.
    shape, dtype
        Of the series; axes of length 1 may be more than tifffile tells of.
    inverted : bool
        Whether zero is white.
    level : int
        Of the pyramid; 0 is the finest one.
    """

    def __init__(self, path: str, shape: tuple[int, ...], dtype: str, inverted: bool = False, level: int = 0) -> None:
        super().__init__((path, shape, dtype, inverted, level), shape, dtype)
        self.path, self.inverted, self.level = path, inverted, level

    def open(self) -> Pages:
        """Read the directories."""
        try:
            with tifffile.TiffFile(self.path) as tif:
                series = tif.series[0].levels[self.level]
                if _long(series.shape) == _long(self.shape) and series.dtype.newbyteorder("=") == self.dtype:
                    return Pages.of(series)
        except Exception as error:
            raise ImageError(f"{self.path!r} can't be opened: {reason_of(error)}.") from None
        raise self.changed(self.path)

    def read(self, opened: Pages, bounds: Bounds) -> np.ndarray:
        """See `FileArray.read`."""
        inner = len(opened.grid.axes)
        outer, box = bounds[: self.ndim - inner], opened.grid.box(bounds[self.ndim - inner :])
        out = np.empty([stop - start for start, stop in bounds], self.dtype)
        numbers = np.arange(prod(self.shape[: len(outer)])).reshape(self.shape[: len(outer)])
        wanted = numbers[tuple(slice(start, stop) for start, stop in outer)].ravel().tolist()
        planes = out.reshape(len(wanted), *(stop - start for start, stop in box))
        try:
            with Path(self.path).open("rb") as file:
                for number, plane in zip(wanted, planes, strict=True):
                    self._fill(plane, opened, file, number, box)
        except OSError as error:
            raise ImageError(f"{self.path!r} can't be read: {reason_of(error)}.") from None
        return ~out if self.inverted else out

    def _fill(self, plane: np.ndarray, opened: Pages, file: IO[bytes], number: int, box: Box) -> None:
        """Fill a box of a page, (S, Z, Y, X, S), with what lies in it of the tiles that it touches."""
        for index in opened.grid.touched(box):
            values, start, shape = self.decoded(opened, file, number, index)
            ends = (start[0] + 1, *(a + n for a, n in zip(start[1:], shape, strict=True)))
            shared = [(max(a, low), min(b, high)) for (low, high), a, b in zip(box, start, ends, strict=True)]
            target = plane[tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(shared, box, strict=True))]
            if values is None:
                target[...] = opened.nodata
            else:
                target[0] = values[tuple(slice(a - at, b - at) for (a, b), at in zip(shared[1:], start[1:], strict=True))]

    def decoded(
        self, opened: Pages, file: IO[bytes], number: int, index: int
    ) -> tuple[np.ndarray | None, tuple[int, ...], tuple[int, ...]]:
        """Return the values of a tile (depth, rows, columns, samples), where it starts in its page, and its shape.

        Parameters
        ----------
        file
            Open for reading.
        number, index : int
            Of the page and of the tile in it, from 0.
        """
        offsets, counts, options = opened.segments[number]
        try:
            data = None
            if counts[index] and offsets[index]:  # a tile without an address isn't stored: its values are zeros
                file.seek(offsets[index])
                data = file.read(counts[index])
                check_piece(data, opened.compression, opened.values)
            found: tuple[np.ndarray | None, tuple[int, ...], tuple[int, ...]] = opened.decode(data, index, **options)
        except Exception as error:  # decoders raise almost anything on damaged tiles
            where = f"tile {index + 1} of page {number + 1} of {self.path!r}"
            raise ImageError(f"{where} can't be read: {reason_of(error)}.") from None
        return found


def _long(shape: tuple[int, ...]) -> list[int]:
    """Return a shape without its axes of length 1."""
    return [length for length in shape if length != 1]


class MappedTiff(FileArray):
    """The values of a TIFF that lie in it as they are, one after the other.

    Parameters
    ----------
    path : str
        Absolute.
    offset : int
        Of the first value, in bytes.
    shape, dtype
        Of all; the byte order is that of the file.
    inverted : bool
        Whether zero is white.
    """

    def __init__(self, path: str, offset: int, shape: tuple[int, ...], dtype: str, inverted: bool = False) -> None:
        super().__init__((path, offset, shape, dtype, inverted), shape, dtype)
        self.path, self.offset, self.stored, self.inverted = path, offset, dtype, inverted

    def open(self) -> np.memmap:
        """Map the file."""
        try:
            return np.memmap(self.path, self.stored, "r", self.offset, self.shape)
        except (OSError, ValueError) as error:
            raise ImageError(f"{self.path!r} can't be opened: {reason_of(error)}.") from None

    def read(self, opened: np.memmap, bounds: Bounds) -> np.ndarray:
        """See `FileArray.read`."""
        values = np.array(opened[tuple(slice(start, stop) for start, stop in bounds)], self.dtype)
        return ~values if self.inverted else values
