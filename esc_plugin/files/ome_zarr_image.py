"""An OME-Zarr image that is filled plane by plane: for results that are larger than memory, and for saving."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays.pyramid import fill_level
from ..progress import Cancel, stop_if_asked
from .new_image import NewImage
from .ngff import CHUNK, DEFAULT_VERSION, check_version, new_group, new_level
from .ome_axes import Axes
from .ome_notes import Channel
from .ome_zarr_layout import StoredLayout
from .room import check_target

if TYPE_CHECKING:
    import zarr


class OmeZarrImage(NewImage):
    """A new OME-Zarr image, with a pyramid.

    Parameters
    ----------
    path : Path
        Of the folder to make, such as ``cells.ome.zarr``.
    shape, dtype, axes, rgb
        As in `NewImage`; on disk, samples of a pixel become channels.
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
        dtype: Any,
        axes: Axes,
        rgb: bool = False,
        version: str = DEFAULT_VERSION,
    ) -> None:
        super().__init__(path, shape, dtype, axes, rgb)
        check_version(version)
        check_target(path, self.nbytes)
        self.layout = StoredLayout(self.shape, self.dtype.name, axes, rgb, version)
        self.levels: list[zarr.Array[Any]] = []
        self.begin()
        try:
            self.group = new_group(self.partial, version)
            letters = self.layout.axes_on_disk.letters
            for i, level in enumerate(self.layout.levels):
                self.levels.append(new_level(self.group, str(i), level, self.dtype, letters))
        except BaseException:
            self.discard()
            raise

    def __setitem__(self, index: Any, values: Any) -> None:
        place, kept = self._place(index)
        values = np.asarray(values)
        if values.ndim:
            values = values.transpose([sorted(kept).index(axis) for axis in kept])
        self.levels[0][place] = values

    def __getitem__(self, index: Any) -> np.ndarray:
        place, kept = self._place(index)
        return np.asarray(self.levels[0][place]).transpose(np.argsort(kept))

    def _place(self, index: Any) -> tuple[tuple[int | slice, ...], list[int]]:
        """Return an index in the order on disk, and which of the image's axes are left under it, in that order."""
        index = index if isinstance(index, tuple) else (index,)
        filled = (*index, *(slice(None),) * (len(self.shape) - len(index)))
        order = self.layout.order
        return tuple(filled[axis] for axis in order), [axis for axis in order if isinstance(filled[axis], slice)]

    def finish(
        self,
        name: str,
        *,
        channels: Sequence[Channel] = (),
        record: dict[str, Any] | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """See `NewImage.finish`."""
        self._take_scratch(cancel)
        for finer, coarser in zip(self.levels, self.levels[1:], strict=False):
            fill_level(finer, coarser, rgb=False, cancel=cancel)
        self.group.attrs.update(self.layout.attributes(name, channels, record))
        check_target(self.path)
        self.partial.replace(self.path)
        self.discard()

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

    def lazy(self) -> list[Any]:
        """See `NewImage.lazy`."""
        import dask.array as da

        back = tuple(int(axis) for axis in np.argsort(self.layout.order))
        from_zarr: Any = da.from_zarr  # which has no types
        return [from_zarr(str(self.path), component=str(i)).transpose(back) for i in range(len(self.levels))]
