"""A new image on disk that is filled in any order, and appears under its name only when it is complete."""

from __future__ import annotations

import math
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..progress import Cancel
from ..workplace import workplace
from .ome_axes import Axes
from .ome_notes import Channel
from .room import refused


class NewImage(ABC):
    """A new image on disk; what it is made in lies beside it until it is finished.

    Parameters
    ----------
    path : Path
        Of the image.
    shape : tuple of int
        Of the image as it comes in: (..., Y, X) or (..., Y, X, S).
    dtype : numpy.dtype
        Of the image.
    axes : Axes
        Of the image, without S.
    rgb : bool
        Whether the last axis holds the samples of a pixel.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any, axes: Axes, rgb: bool) -> None:
        self.path, self.axes, self.rgb = path, axes, rgb
        self.shape, self.dtype, self.ndim = tuple(shape), np.dtype(dtype), len(shape)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        self.scratch: np.ndarray | None = None
        self._work = ExitStack()

    def begin(self) -> None:
        """Make the folder that the image is made in, `partial`.

        Raises
        ------
        ImageError
            If it can't be made.
        """
        try:
            self.partial = self._work.enter_context(workplace(self.path.parent)) / ".new"
            self.partial.mkdir()
        except OSError as error:
            self.discard()
            raise refused(self.path, error) from None

    @abstractmethod
    def __setitem__(self, index: Any, values: Any) -> None:
        """Store values at an index of whole numbers and slices, as in a NumPy array in the order of the image's axes."""

    @abstractmethod
    def __getitem__(self, index: Any) -> np.ndarray:
        """Return the values at an index of whole numbers and slices, in the order of the image's axes."""

    def planes_in_files(self) -> np.ndarray:
        """Return an array in a scratch file beside the image, for planes that don't fit into memory; `finish` moves it."""
        if self.scratch is None:
            self.scratch = mapped(self.partial / "scratch", self.shape, self.dtype)
        return self.scratch

    def channel(self, which: int | slice) -> Any:
        """Return one channel, or several next to each other, to be filled as the whole is: ``out=`` of an upscaler.

        Parameters
        ----------
        which : int or slice
            Of a number, the axis c is not an axis of what is returned.

        Raises
        ------
        ImageError
            If the image has no such channel.
        """
        axis = self.axes.letters.find("c")
        count = self.shape[axis] if axis >= 0 else 0
        try:
            taken = range(count)[which]
        except IndexError:
            raise ImageError(f"there is no channel {which!r} in an image of {count}.") from None
        if isinstance(taken, range) and (not taken or taken.step != 1):
            raise ImageError(f"there are no channels {which!r}, next to each other, in an image of {count}.")
        if self.scratch is not None:
            return self.scratch[(*(slice(None),) * axis, which)]
        return ChannelOf(self, axis, taken)

    @abstractmethod
    def finish(
        self,
        name: str,
        *,
        channels: Sequence[Channel] = (),
        record: dict[str, Any] | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Add smaller levels and what the image says of itself, and give it its name.

        Parameters
        ----------
        name : str
            Of the image, inside the file.
        channels : sequence of Channel
            How they are called and shown; one will do if it holds for all.
        record : dict, optional
            How it was made, see `esc_plugin.provenance`; `esc_plugin.provenance.joined` makes one of those of several
            channels.
        cancel : callable, optional
            ``cancel() -> bool`` is asked between pieces of work; then `Cancelled` is raised.

        Raises
        ------
        ImageError
            If there is something of that name meanwhile, or it can't be written.
        """

    def discard(self, still_written: bool = False) -> None:
        """Remove what was written so far.

        Parameters
        ----------
        still_written : bool
            Whether threads may be writing: zarr reports the first piece that the disk refused, and goes on with the others.
        """
        self.scratch = None
        self._work.close()
        for _ in range(60 * still_written):
            time.sleep(0.5)
            if not self.partial.exists():
                break
            shutil.rmtree(self.partial.parent, ignore_errors=True)

    @abstractmethod
    def lazy(self) -> list[Any]:
        """Return the levels of the finished image as dask arrays, with the axes as they came in."""


class ChannelOf:
    """A part of an image along its channels, filled in place.

    Parameters
    ----------
    whole : NewImage
        The image.
    axis : int
        That of its channels.
    taken : int or range
        Which of them.
    """

    def __init__(self, whole: NewImage, axis: int, taken: int | range) -> None:
        self.whole, self.axis, self.taken = whole, axis, taken
        count = (len(taken),) if isinstance(taken, range) else ()
        self.shape = (*whole.shape[:axis], *count, *whole.shape[axis + 1 :])
        self.dtype, self.ndim = whole.dtype, len(self.shape)

    def __setitem__(self, index: Any, values: Any) -> None:
        self.whole[self._place(index)] = values

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.whole[self._place(index)]

    def _place(self, index: Any) -> tuple[int | slice, ...]:
        """Return where an index of whole numbers and slices is in the whole."""
        index = index if isinstance(index, tuple) else (index,)
        filled = [*index, *(slice(None),) * (self.ndim - len(index))]
        if isinstance(self.taken, int):
            return (*filled[: self.axis], self.taken, *filled[self.axis :])
        part = self.taken[filled[self.axis]]
        filled[self.axis] = slice(part.start, part.stop, part.step) if isinstance(part, range) else part
        return tuple(filled)


def mapped(path: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array in a new file, which has its room on the disk from now on.

    Raises
    ------
    OSError
        If the disk has none.
    """
    with path.open("w+b") as file:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if hasattr(os, "posix_fallocate"):  # without room for it, a write into a map would end the process
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return np.memmap(file, dtype, "r+", shape=shape)
