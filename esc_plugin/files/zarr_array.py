"""The pixels of a Zarr array, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError
from .file_array import Bounds, FileArray, reason_of

if TYPE_CHECKING:
    import zarr

#: Chunks among which the one is looked for that can't be read.
MOST_LOOKED_AT = 10_000


class ZarrArray(FileArray):
    """A Zarr array that opens itself again in another process.

    Parameters
    ----------
    store : str
        Path or address.
    path : str
        Of the array inside of it; empty if it is the array.
    shape, dtype
        Of the array, so that it can be told when it is another one.
    """

    def __init__(self, store: str, path: str, shape: tuple[int, ...], dtype: str) -> None:
        super().__init__((store, path, shape, dtype), shape, dtype)
        self.store, self.path = store, path

    def open(self) -> zarr.Array[Any]:
        """Open it."""
        import zarr

        from .zarr_bounded import bounded

        try:
            array = bounded(zarr.open_array(self.store, path=self.path, mode="r"))
        except Exception as error:
            raise ImageError(f"{self.store!r} can't be opened: {reason_of(error)}.") from None
        if array.shape != self.shape or array.dtype.newbyteorder("=") != self.dtype:
            raise self.changed(self.store)
        return array

    def read(self, opened: zarr.Array[Any], bounds: Bounds) -> np.ndarray:
        """See `FileArray.read`. Where there is no chunk, Zarr has its fill value."""
        try:
            np.empty([stop - start for start, stop in bounds], self.dtype)  # what has no room isn't looked at chunk by chunk
            if (unfit := self._unfit(opened, bounds)) is None:
                return np.asarray(opened[_slices(bounds)], self.dtype)
        except MemoryError:
            raise ImageError(f"there is no memory for so much of {self.store!r} at once.") from None
        except Exception as error:  # codecs and stores raise almost anything
            raise self._broken(opened, bounds, error) from None
        raise unfit

    def _unfit(self, opened: zarr.Array[Any], bounds: Bounds) -> ImageError | None:
        """Return an error if a chunk on disk can be none: Zarr reads all of its file, however long that is."""
        from .zarr_bounded import most_stored

        if "://" in self.store:
            return None
        most, folder = most_stored(opened), Path(self.store, self.path)
        for cell in _cells(opened, bounds):
            key = opened.metadata.encode_chunk_key(cell)
            try:
                about = (folder / key).stat()
            except OSError:  # there is none, or reading it says what is wrong
                continue
            if not (S_ISREG(about.st_mode) or S_ISDIR(about.st_mode)):  # folders are none for Zarr
                return self._refused(key, "it is no file")
            if about.st_size > most:
                return self._refused(key, f"it has {about.st_size:,} bytes, and a chunk of this array at most {most:,}")
        return None

    def _refused(self, key: str, reason: str) -> ImageError:
        name = "/".join(filter(None, (self.path, key)))
        return ImageError(f"chunk {name!r} of {self.store!r} can't be read: {reason}.")

    def _broken(self, opened: zarr.Array[Any], bounds: Bounds, error: Exception) -> ImageError:
        """Return an error that names the first chunk, or shard, that can't be read."""
        grid = opened.shards or opened.chunks
        for cell in islice(_cells(opened, bounds), MOST_LOOKED_AT):
            part = [(max(a, c * n), min(b, c * n + n)) for (a, b), c, n in zip(bounds, cell, grid, strict=True)]
            try:
                opened[_slices(part)]
            except Exception as reason:
                return self._refused(opened.metadata.encode_chunk_key(cell), reason_of(reason))
        return ImageError(f"{self.store!r} can't be read: {reason_of(error)}.")


def _cells(opened: zarr.Array[Any], bounds: Bounds) -> Iterator[tuple[int, ...]]:
    """Yield where in the grid of chunks, or of shards, those are that are read for some values."""
    grid = [n or 1 for n in opened.shards or opened.chunks]  # damaged metadata say 0, which Zarr refuses when it reads
    yield from _product([range(start // n, -(-stop // n)) for (start, stop), n in zip(bounds, grid, strict=True)])


def _product(ranges: Sequence[range]) -> Iterator[tuple[int, ...]]:
    """Yield what `itertools.product` does, of ranges of any length: it would list them first."""
    if not ranges:
        yield ()
        return
    for first in ranges[0]:
        for rest in _product(ranges[1:]):
            yield first, *rest


def _slices(bounds: Any) -> tuple[slice, ...]:
    return tuple(slice(start, stop) for start, stop in bounds)
