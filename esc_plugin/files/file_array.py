"""Arrays that stay in their files: what is indexed is read, and no more."""

from __future__ import annotations

import math
import operator
import threading
from functools import lru_cache
from typing import Any
from uuid import uuid4

import numpy as np

from ..errors import ImageError

#: Of each axis, from where to where, half-open.
Bounds = tuple[tuple[int, int], ...]
#: How many arrays that came from other processes stay open.
KEPT_OPEN = 64


class FileArray:
    """An array that is read when it is indexed by whole numbers and slices; then it is a NumPy array of its own.

    Any number of threads may read it. It can be pickled: another process opens the file again, once.

    Parameters
    ----------
    arguments : tuple
        Of the class, to make the same array in another process; hashable.
    shape, dtype
        Of the whole. Values are in the byte order of the machine, whatever the file's is.
    """

    def __init__(self, arguments: tuple[Any, ...], shape: tuple[int, ...], dtype: Any) -> None:
        self.arguments, self.shape, self.dtype = arguments, shape, np.dtype(dtype).newbyteorder("=")
        self.ndim, self.size = len(shape), math.prod(shape)
        self.nbytes = self.size * self.dtype.itemsize
        self._key, self._lock, self._opened = uuid4().hex, threading.Lock(), None

    def open(self) -> Any:
        """Return whatever `read` reads from; called once, before the first value is read."""
        raise NotImplementedError

    def read(self, opened: Any, bounds: Bounds) -> np.ndarray:
        """Return the values of a box that isn't empty, with all its axes.

        Parameters
        ----------
        opened
            What `open` returned.
        bounds : Bounds
            Of the box.

        Raises
        ------
        ImageError
            If they can't be read; it names what of the file is damaged.
        """
        raise NotImplementedError

    def __getitem__(self, index: Any) -> np.ndarray:
        bounds, kept = bounded(index, self.shape)
        if any(start == stop for start, stop in bounds):
            return np.empty([stop - start for start, stop in bounds], self.dtype)[kept]
        with self._lock:
            if self._opened is None:
                self._opened = self.open()
        return self.read(self._opened, bounds)[kept]

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[...].astype(dtype or self.dtype, copy=False)

    def __reduce__(self) -> Any:
        return _same, (self._key, type(self), self.arguments)

    def changed(self, where: str) -> ImageError:
        """Return the error for a file that isn't the one any more that it was."""
        return ImageError(f"{where!r} has changed since it was opened.")


@lru_cache(KEPT_OPEN)
def _same(key: str, kind: Any, arguments: tuple[Any, ...]) -> FileArray:
    """Return the array that another process has sent, the same one each time."""
    array: FileArray = kind(*arguments)
    array._key = key
    return array


def bounded(index: Any, shape: tuple[int, ...]) -> tuple[Bounds, tuple[int | slice, ...]]:
    """Return the smallest box that holds what is indexed, and what to take of it.

    Raises
    ------
    IndexError
        If the index lies outside of an array of that shape, or is made of anything but whole numbers and slices.
    """
    index = index if isinstance(index, tuple) else (index,)
    if any(entry is Ellipsis for entry in index):
        place = [entry is Ellipsis for entry in index].index(True)
        index = (*index[:place], *(slice(None),) * (len(shape) - len(index) + 1), *index[place + 1 :])
    if len(index) > len(shape):
        raise IndexError(f"{len(index)} indices for an array of {len(shape)} axes.")
    index = (*index, *(slice(None),) * (len(shape) - len(index)))
    pairs = [_bounds(entry, length) for entry, length in zip(index, shape, strict=True)]
    return tuple(bounds for bounds, _ in pairs), tuple(kept for _, kept in pairs)


def _bounds(index: Any, length: int) -> tuple[tuple[int, int], int | slice]:
    if isinstance(index, slice):
        taken = range(length)[index]
        ends = sorted((taken[0], taken[-1])) if taken else (0, -1)
        return (ends[0], ends[1] + 1), slice(None, None, taken.step)
    try:
        start = range(length)[operator.index(index)]
    except TypeError:
        raise IndexError(f"an array in a file is indexed by whole numbers and slices, not by {index!r}.") from None
    return (start, start + 1), 0


def reason_of(error: Exception) -> str:
    """Return what an error of a library says, as the end of a line."""
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
