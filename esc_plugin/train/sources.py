"""What a training learns from: image files and named arrays, whose planes become what a network sees as 0..1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays.layout import Index, Layout, layout_of
from ..arrays.levels import Intensity, Levels, measure_levels, type_range
from ..errors import EscError, ImageError
from ..files import read_picture
from ..progress import Cancel

EVERYTHING = slice(None)


@dataclass(frozen=True)
class ImageArray:
    """An image in memory, or one that is read when it is indexed; several channels may be one with C, or one each.

    Attributes
    ----------
    name : str
        For people: in the table of scores, and on the model's card.
    pixels : array
        NumPy, dask, zarr.
    axes : str, optional
        As `Upscaler` takes them, such as ``"ZYX"``.
    intensity : str, or pair of float, or a pair for each channel
        What a network sees as 0 and 1, see `measure_levels`: the same as when the image is upscaled. ``"auto"`` is measured
        on the whole array, channel by channel, and doesn't follow hot pixels.
    """

    name: str
    pixels: Any
    axes: str | None = None
    intensity: Intensity = "auto"


Source = Path | ImageArray


@dataclass(frozen=True)
class Planes:
    """An image that is open, and the levels of its channels."""

    pixels: Any
    layout: Layout
    levels: list[Levels]

    def read(self, index: Index, rows: slice = EVERYTHING, columns: slice = EVERYTHING) -> np.ndarray:
        """Return a plane, or a part of it, as (H, W, c), c = 1 or 3, contiguous; transparency is left out.

        8-bit values stay as they are. Others are stretched by the levels of their channel, and rounded to 16 bits.
        """
        plane = self.layout.plane(self.pixels, index, rows, columns)
        plane = plane[..., None] if plane.ndim == 2 else plane
        plane = plane[..., :-1] if self.layout.alpha else plane
        levels = self.levels[self.layout.channel(index)]
        if plane.dtype != np.uint8 or levels.pair != type_range(plane.dtype):
            plane = np.rint(levels.to_unit(plane) * 65535).astype(np.uint16)
        return np.ascontiguousarray(plane)


def name_of(source: Source) -> str:
    """Return what to call an image, in one line."""
    name = source.name if isinstance(source, ImageArray) else str(source)
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())


@contextmanager
def naming(source: Source) -> Iterator[None]:
    """Let every error name the image, also those of planes that are decoded when they are asked for."""
    name = name_of(source)
    try:
        yield
    except ImageError as error:
        text = str(error)
        raise ImageError(text if name in text else f"can't train on {name!r}: {text}") from None
    except EscError:  # cancelled, a full disk: no fault of the image
        raise
    except MemoryError:
        raise ImageError(f"there is no memory for {name!r}.") from None
    except Exception as error:  # decoders raise almost anything
        raise ImageError(f"{name!r} is no image that can be read: {' '.join(str(error).split())}.") from None


def open_planes(source: Source, cancel: Cancel | None = None) -> Planes:
    """Open an image and measure its levels.

    Raises
    ------
    ImageError
        If it can't be read, or holds values that are no numbers.
    Cancelled
        If `cancel` returned ``True``.
    """
    array = source if isinstance(source, ImageArray) else _from_file(source)
    layout = layout_of(array.pixels, array.axes)
    return Planes(array.pixels, layout, measure_levels(array.pixels, layout, array.intensity, cancel=cancel))


def _from_file(path: Path) -> ImageArray:
    picture = read_picture(path, lazy=True)
    return ImageArray(str(path), picture.pixels, picture.axes)


def read_planes(path: Path) -> Iterator[np.ndarray]:
    """Yield the planes of an image file, see `Planes.read`."""
    planes = open_planes(path)
    for index in planes.layout.planes():
        yield planes.read(index)
