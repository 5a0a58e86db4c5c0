"""An OME-Zarr image that is filled plane by plane: for results that are larger than memory, and for saving."""

from __future__ import annotations

import math
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays.pyramid import fill_level
from ..progress import Cancel, stop_if_asked
from .ngff import CHUNK, DEFAULT_VERSION, Shown, check_version, new_group, new_level
from .ome_axes import Axes
from .ome_zarr_layout import StoredLayout
from .room import check_target

if TYPE_CHECKING:
    import zarr


class OmeZarrImage:
    """A new image on disk, with a pyramid. It appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
        Of the folder to make, such as ``cells.ome.zarr``.
    shape : tuple of int
        Of the image as it comes in: (..., Y, X) or (..., Y, X, S).
    dtype : numpy.dtype
        Of the image.
    axes : Axes
        Of the image, without S.
    rgb : bool
        Whether the last axis holds the samples of a pixel; on disk they become channels.
    version : str
        Of OME-Zarr: ``"0.5"`` or ``"0.4"``.

    Raises
    ------
    ImageError
        If there is something of that name, its folder is missing or has no room, or OME-Zarr can't hold such an image.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype,
        axes: Axes,
        rgb: bool = False,
        version: str = DEFAULT_VERSION,
    ) -> None:
        self.path = path
        self.shape, self.dtype, self.ndim = tuple(shape), np.dtype(dtype), len(shape)
        check_version(version)
        check_target(path, math.prod(self.shape) * self.dtype.itemsize)
        self.layout = StoredLayout(self.shape, self.dtype.name, axes, rgb, version)
        # Its own, for another run may be writing to the same name.
        self.partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        self.scratch: np.memmap | None = None
        self.levels: list[zarr.Array[Any]] = []
        try:
            self.group = new_group(self.partial, version)
            letters = self.layout.axes_on_disk.letters
            for i, level in enumerate(self.layout.levels):
                self.levels.append(new_level(self.group, str(i), level, self.dtype, letters))
        except BaseException:
            self.discard()
            raise

    def __setitem__(self, index: Any, values: Any) -> None:
        """Store values at an index of whole numbers and slices, as in a NumPy array in the order of the image's axes."""
        place, kept = self._place(index)
        values = np.asarray(values)
        if values.ndim:
            values = values.transpose([sorted(kept).index(axis) for axis in kept])
        self.levels[0][place] = values

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return the values at an index of whole numbers and slices, in the order of the image's axes."""
        place, kept = self._place(index)
        return np.asarray(self.levels[0][place]).transpose(np.argsort(kept))

    def _place(self, index: Any) -> tuple[tuple[int | slice, ...], list[int]]:
        """Return an index in the order on disk, and which of the image's axes are left under it, in that order."""
        index = index if isinstance(index, tuple) else (index,)
        filled = (*index, *(slice(None),) * (len(self.shape) - len(index)))
        order = self.layout.order
        return tuple(filled[axis] for axis in order), [axis for axis in order if isinstance(filled[axis], slice)]

    def planes_in_files(self) -> np.memmap:
        """Return an array in a scratch file beside the image, for planes that don't fit into memory; `finish` moves it."""
        with (self.partial / "scratch").open("w+b") as file:
            if hasattr(os, "posix_fallocate"):  # without room for it, a write into a map would end the process
                os.posix_fallocate(file.fileno(), 0, math.prod(self.shape) * self.dtype.itemsize)
            self.scratch = np.memmap(file, self.dtype, "r+", shape=self.shape)
        return self.scratch

    def finish(
        self,
        name: str,
        *,
        look: Shown | None = None,
        record: dict[str, Any] | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Add the pyramid and the metadata, and give the image its name.

        Parameters
        ----------
        name : str
            Of the image, inside the file.
        look : Look, optional
            How viewers shall show it.
        record : dict, optional
            How it was made, as `esc_plugin.provenance` records it.
        cancel : callable, optional
            ``cancel() -> bool`` is asked between pieces of work; then `Cancelled` is raised.
        """
        self._take_scratch(cancel)
        for finer, coarser in zip(self.levels, self.levels[1:], strict=False):
            fill_level(finer, coarser, rgb=False, cancel=cancel)
        self.group.attrs.update(self.layout.attributes(name, look, record))
        check_target(self.path)
        self.partial.replace(self.path)

    def _take_scratch(self, cancel: Cancel | None) -> None:
        """Move what was written to the scratch file into the image."""
        if self.scratch is None:
            return
        rows = self.layout.axes.letters.index("y")
        for index in np.ndindex(*self.shape[:rows]):
            for top in range(0, self.shape[rows], CHUNK):
                stop_if_asked(cancel)
                part = (*index, slice(top, top + CHUNK))
                self[part] = self.scratch[part]
        self.scratch = None
        (self.partial / "scratch").unlink()

    def discard(self, still_written: bool = False) -> None:
        """Remove what was written so far.

        Parameters
        ----------
        still_written : bool
            Whether zarr may be writing: it reports the first piece that the disk refused, and goes on with the others.
        """
        self.scratch = None
        shutil.rmtree(self.partial, ignore_errors=True)
        for _ in range(60 * still_written):
            time.sleep(0.5)
            if not self.partial.exists():
                break
            shutil.rmtree(self.partial, ignore_errors=True)

    def lazy(self) -> list[Any]:
        """Return the levels of the finished image as dask arrays, with the axes as they came in."""
        import dask.array as da

        back = tuple(int(axis) for axis in np.argsort(self.layout.order))
        from_zarr: Any = da.from_zarr  # which has no types
        return [from_zarr(str(self.path), component=str(i)).transpose(back) for i in range(len(self.levels))]
