"""An OME-Zarr image that is filled plane by plane: for results that are larger than memory, and for saving."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from esc_plugin import ImageError
from esc_plugin.progress import stop_if_asked

from .axes import LENGTHS, LETTERS, TIMES, Axes
from .pyramid import fill_level, level_shapes

if TYPE_CHECKING:
    import zarr

CHUNK = 512


class OmeZarrImage:
    """A new image on disk, with a pyramid. It appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
        Of the folder to make, such as ``cells.ome.zarr``.
    shape : tuple of int
        Of the image as napari has it: (..., Y, X) or (..., Y, X, S).
    dtype : numpy.dtype
        Of the image.
    axes : Axes
        Of the image.
    rgb : bool
        Whether the last axis holds the samples of a pixel; on disk they become channels.

    Raises
    ------
    ImageError
        If there is something of that name, its folder is missing or has no room, or OME-Zarr can't hold such an image.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype, axes: Axes, rgb: bool = False) -> None:
        check_target(path, int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize)
        letters = axes.letters + "c" * rgb
        if len(set(letters)) < len(letters):
            raise ImageError("OME-Zarr can't hold an image that has both channels and RGB samples.")
        self.path, self.axes, self.letters = path, axes, letters
        self.shape, self.dtype, self.ndim = tuple(shape), np.dtype(dtype), len(shape)
        # OME-Zarr prescribes the order of the axes.
        self.order = sorted(range(len(letters)), key=lambda axis: LETTERS.index(letters[axis]))
        # Its own, for another run may be writing to the same name.
        self.partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        self.scratch: np.memmap | None = None
        self.levels: list[zarr.Array] = []
        try:
            self.group = _new_group(self.partial)
            for i, level in enumerate(level_shapes(tuple(shape[axis] for axis in self.order), rgb=False)):
                self.levels.append(_new_array(self.group, str(i), level, dtype))
        except BaseException:
            self.discard()
            raise

    def __setitem__(self, index: Any, values: Any) -> None:
        """Store values at an index of whole numbers and slices, as in a NumPy array in the order of the layer's axes."""
        place, kept = self._place(index)
        values = np.asarray(values)
        if values.ndim:
            values = values.transpose([sorted(kept).index(axis) for axis in kept])
        self.levels[0][place] = values

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return values, see `__setitem__`."""
        place, kept = self._place(index)
        return np.asarray(self.levels[0][place]).transpose(np.argsort(kept))

    def _place(self, index: Any) -> tuple[tuple[int | slice, ...], list[int]]:
        """Return an index in the order on disk, and which of the layer's axes are left under it, in that order."""
        index = index if isinstance(index, tuple) else (index,)
        filled = (*index, *(slice(None),) * (len(self.shape) - len(index)))
        return tuple(filled[axis] for axis in self.order), [a for a in self.order if isinstance(filled[a], slice)]

    def planes_in_files(self) -> Any:
        """Return an array in a scratch file beside the image, for planes that don't fit into memory; `finish` moves it."""
        with (self.partial / "scratch").open("w+b") as file:
            if hasattr(os, "posix_fallocate"):  # without room for it, a write into a map would end the process
                os.posix_fallocate(file.fileno(), 0, int(np.prod(self.shape)) * self.dtype.itemsize)
            self.scratch = np.memmap(file, self.dtype, "r+", shape=self.shape)
        return self.scratch

    def finish(self, name: str, looks: dict[str, Any] | None = None, cancel: Callable[[], bool] | None = None) -> None:
        """Add the pyramid and the metadata, and give the image its name.

        Parameters
        ----------
        name : str
            Of the image, inside the file.
        looks : dict, optional
            The layer's ``contrast_limits`` and ``colormap``, for viewers.
        cancel : callable, optional
            ``cancel() -> bool`` is asked between pieces of work; then `Cancelled` is raised.
        """
        self._take_scratch(cancel)
        for finer, coarser in zip(self.levels, self.levels[1:], strict=False):
            fill_level(finer, coarser, rgb=False, cancel=cancel)
        self._describe(name, looks or {})
        check_target(self.path)
        self.partial.replace(self.path)

    def _take_scratch(self, cancel: Callable[[], bool] | None) -> None:
        """Move what was written to the scratch file into the image."""
        if self.scratch is None:
            return
        rows = self.letters.index("y")
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

        back = tuple(int(axis) for axis in np.argsort(self.order))
        return [da.from_zarr(str(self.path), component=str(i)).transpose(back) for i in range(len(self.levels))]

    def _describe(self, name: str, looks: dict[str, Any]) -> None:
        """Write the metadata of OME-Zarr 0.4, the version that the most programs read."""
        datasets = [{"path": str(i), "coordinateTransformations": self._transforms(i)} for i in range(len(self.levels))]
        axes = [self._axis(axis) for axis in self.order]
        self.group.attrs["multiscales"] = [{"version": "0.4", "name": name, "axes": axes, "datasets": datasets}]
        if "contrast_limits" in looks:
            channels = [_channel(name, looks, i, self._channels) for i in range(self._channels)]
            self.group.attrs["omero"] = {"channels": channels}

    @property
    def _channels(self) -> int:
        return self.shape[self.letters.index("c")] if "c" in self.letters else 1

    def _axis(self, axis: int) -> dict[str, str]:
        letter = self.letters[axis]
        if letter == "c":
            return {"name": "c", "type": "channel"}
        known = TIMES if letter == "t" else LENGTHS
        unit = self.axes.units[axis]
        kind = {"name": letter, "type": "time" if letter == "t" else "space"}
        return kind | ({"unit": unit} if unit in known else {})

    def _transforms(self, level: int) -> list[dict[str, Any]]:
        """Return where a level lies: its first pixel is the mean of 2^level ones, and centred between them."""
        scale, translate = [], []
        for axis in self.order:
            step = 2**level if self.letters[axis] in "yx" else 1
            size, start = (self.axes.scale[axis], self.axes.translate[axis]) if axis < len(self.axes.scale) else (1.0, 0.0)
            scale.append(size * step)
            translate.append(start + size * (step - 1) / 2)
        return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translate}]


@contextmanager
def new_image(path: Path, *about: Any) -> Iterator[OmeZarrImage]:
    """Make an `OmeZarrImage` to be filled and finished. If that fails, nothing stays.

    Raises
    ------
    ImageError
        If the disk refuses it; see `OmeZarrImage`, which takes the same parameters.
    """
    image = None
    try:
        image = OmeZarrImage(path, *about)
        yield image
    except OSError as error:
        if image is not None:
            image.discard(still_written=True)
        raise _refused(path, error) from None
    except BaseException:
        if image is not None:
            image.discard()
        raise


def check_target(path: Path, nbytes: int = 0) -> None:
    """Raise an `ImageError` unless an image can be made at `path`.

    Parameters
    ----------
    path : Path
        Of the folder to make.
    nbytes : int
        Size of the finest level, before it is compressed.
    """
    folder = path.absolute().parent
    try:
        with suppress(FileNotFoundError):
            path.lstat()
            raise ImageError(f"there is already something at {str(path)!r}; choose another name.")
        if not folder.is_dir():
            raise ImageError(f"there is no folder {str(folder)!r}.")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise _refused(path, error) from None
    if not os.access(folder, os.W_OK):
        raise ImageError(f"the folder {str(folder)!r} can't be written to; choose another one.")
    if (needed := nbytes * 4 // 3) > free:  # each level of the pyramid is a quarter of the one before
        raise ImageError(
            f"the result needs up to {needed / 2**30:.3g} GB, and {str(folder)!r} has {free / 2**30:.3g} GB left; "
            "choose another folder or a smaller region."
        )


def _refused(path: Path, error: OSError) -> ImageError:
    return ImageError(f"can't write {str(path)!r}: {error.strerror or error}.")


def _new_group(path: Path) -> Any:
    try:
        import zarr
    except ImportError:
        raise ImageError("OME-Zarr files need zarr 3 (and Python 3.11): pip install 'esc-plugin[napari]'.") from None
    return zarr.open_group(str(path), mode="w", zarr_format=2)


def _new_array(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    from numcodecs import Blosc  # type: ignore[import-untyped]

    return group.create_array(
        name=name,
        shape=shape,
        chunks=(*(1,) * (len(shape) - 2), min(CHUNK, shape[-2]), min(CHUNK, shape[-1])),
        dtype=np.dtype(dtype).newbyteorder("<") if np.dtype(dtype).itemsize > 1 else dtype,
        compressors=Blosc("zstd", clevel=3, shuffle=Blosc.SHUFFLE),
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )


def _channel(name: str, looks: dict[str, Any], index: int, count: int) -> dict[str, Any]:
    low, high = (float(value) for value in looks["contrast_limits"])
    colors = np.asarray(looks.get("colormap", {}).get("colors", [[1, 1, 1]]))
    brightest = [round(255 * float(value)) for value in colors[-1][:3]]
    color = brightest if count == 1 else [255 * (index % 3 == k) for k in range(3)] if count == 3 else [255] * 3
    return {
        "label": name if count == 1 else f"{name} {index + 1}",
        "color": "".join(f"{value:02X}" for value in color),
        "active": True,
        "window": {"start": low, "end": high, "min": low, "max": high},
    }
