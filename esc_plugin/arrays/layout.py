"""What the axes of an array mean: planes to upscale, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ..errors import ImageError
from ..texts import quoted

#: Colour samples of a pixel: gray, gray and alpha, RGB, RGBA.
SAMPLES = (1, 2, 3, 4)
DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")
#: Index of a plane: a number for each axis that is looped over, everything of Y, X and S.
Index = tuple[int | slice, ...]


@dataclass(frozen=True)
class Layout:
    """The axes of an array.

    Attributes
    ----------
    shape : tuple of int
        Of the array.
    axes : str
        A letter for each axis, as in tifffile: Y and X, S for the samples of a pixel (gray, LA, RGB or RGBA). All others,
        such as T, Z and C, count planes that are upscaled one by one, as gray or by their samples.
    """

    shape: tuple[int, ...]
    axes: str

    @property
    def height(self) -> int:
        """Rows of a plane."""
        return self.shape[self.axes.index("Y")]

    @property
    def width(self) -> int:
        """Columns of a plane."""
        return self.shape[self.axes.index("X")]

    @property
    def samples(self) -> int:
        """Values of a pixel; 1 where there is no S."""
        return self.shape[self.axes.index("S")] if "S" in self.axes else 1

    @property
    def alpha(self) -> bool:
        """Whether the last sample is transparency."""
        return self.samples in (2, 4)

    @property
    def channels(self) -> int:
        """Entries of C; 1 where there is none."""
        return self.shape[self.axes.index("C")] if "C" in self.axes else 1

    def channel(self, index: Index) -> int:
        """Return which channel a plane belongs to; 0 where there is no C."""
        return int(index[self.axes.index("C")]) if "C" in self.axes else 0  # type: ignore[arg-type]

    @property
    def count(self) -> int:
        """How many planes there are."""
        return prod(n for a, n in zip(self.axes, self.shape, strict=True) if a not in "YXS")

    def resized(self, height: int, width: int) -> tuple[int, ...]:
        """Return the shape of the array with planes of another size."""
        sizes = {"Y": height, "X": width}
        return tuple(sizes.get(letter, n) for letter, n in zip(self.axes, self.shape, strict=True))

    def planes(self) -> list[Index]:
        """Return the index of each plane, the last axis fastest."""
        ranges = [(slice(None),) if a in "YXS" else range(n) for a, n in zip(self.axes, self.shape, strict=True)]
        return list(product(*ranges))

    def plane(self, array: Any, index: Index, rows: slice = slice(None), columns: slice = slice(None)) -> np.ndarray:
        """Return a plane, or a part of it, as (Y, X), or (Y, X, S) if the array has an S.

        It is a view of a NumPy array, and a copy of another one, of which nothing else is read.
        """
        kept = [a for a in self.axes if a in "YXS"]
        parts = {"Y": rows, "X": columns}
        part = np.asarray(array[tuple(parts.get(a, i) for a, i in zip(self.axes, index, strict=True))])
        return part.transpose([kept.index(a) for a in ("YXS" if "S" in kept else "YX")])


def layout_of(image: Any, axes: str | None = None) -> Layout:
    """Check an array and tell its axes.

    Parameters
    ----------
    image : array
        Anything with a shape, a dtype and an index: NumPy, dask, zarr.
    axes : str, optional
        A letter per axis. Without it: (..., Y, X, S) if the last axis has 3 or 4 entries, or the last of three axes 1 or 2;
        else (..., Y, X).

    Raises
    ------
    ImageError
        If this is no image, or the letters don't fit it.
    """
    shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
    if shape is None or dtype is None:
        raise ImageError(f"an image must be an array, not {type(image).__name__}.")
    shape = tuple(int(n) for n in shape)
    if getattr(dtype, "name", None) not in DTYPES:
        raise ImageError(f"an image can't be {dtype}; it can be {', '.join(DTYPES)}.")
    if isinstance(image, np.ma.MaskedArray):
        raise ImageError("an image can't be a masked array, its mask would be lost; fill it first.")
    if len(shape) < 2 or 0 in shape:
        raise ImageError(f"an image needs two axes or more, none of them empty; this one has shape {shape}.")
    try:
        letters = _guess(shape) if axes is None else "".join(axes).upper()
    except TypeError:
        raise ImageError(f"axes must be a text with a letter for each axis, such as 'TZCYX', not {quoted(axes)}.") from None
    layout = Layout(shape, letters)
    check_axes(layout)
    return layout


def _guess(shape: tuple[int, ...]) -> str:
    samples = SAMPLES if len(shape) == 3 else (3, 4)
    image = "YXS" if len(shape) > 2 and shape[-1] in samples else "YX"
    names = "TZC" if len(shape) - len(image) <= 3 else "VHTZC"
    others = len(shape) - len(image)
    if others > len(names):
        raise ImageError(f"can't guess the axes of shape {shape}; name them, such as axes={'TZCYX'!r}.")
    return ("Q" if others == 1 else names[len(names) - others :]) + image


def check_axes(layout: Layout) -> None:
    """Raise an `ImageError` unless the letters fit the shape."""
    shape, axes = layout.shape, layout.axes
    told = f"axes {quoted(axes)} of shape {shape}"
    if len(axes) != len(shape):
        raise ImageError(f"{told} don't fit: {len(axes)} letters for {len(shape)} axes.")
    if not axes.isalpha() or not axes.isascii() or len(set(axes)) < len(axes):
        raise ImageError(f"{told} must be different letters, such as 'TZCYX' or 'YXS'.")
    if not {"Y", "X"} <= set(axes):
        raise ImageError(f"{told} lack Y or X.")
    if layout.samples not in SAMPLES:
        raise ImageError(f"{told} don't fit: S has 1 to 4 entries (gray, LA, RGB, RGBA). Name channels C.")
