"""What the axes and the values of an array mean: planes to upscale, and the way between its values and a network's 0..1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from .errors import ImageError

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

    def resized(self, height: int, width: int) -> tuple[int, ...]:
        """Return the shape of the array with planes of another size."""
        sizes = {"Y": height, "X": width}
        return tuple(sizes.get(letter, n) for letter, n in zip(self.axes, self.shape, strict=True))

    def planes(self) -> list[Index]:
        """Return the index of each plane, the last axis fastest."""
        ranges = [(slice(None),) if a in "YXS" else range(n) for a, n in zip(self.axes, self.shape, strict=True)]
        return list(product(*ranges))

    def plane(self, array: Any, index: Index) -> np.ndarray:
        """Return a plane as (Y, X), or (Y, X, S) if the array has an S: a view of a NumPy array, a copy of another one."""
        kept = [a for a in self.axes if a in "YXS"]
        part = np.asarray(array[index])
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
    layout = Layout(shape, _guess(shape) if axes is None else "".join(axes).upper())
    _check(layout)
    return layout


def _guess(shape: tuple[int, ...]) -> str:
    samples = SAMPLES if len(shape) == 3 else (3, 4)
    image = "YXS" if len(shape) > 2 and shape[-1] in samples else "YX"
    names = "TZC" if len(shape) - len(image) <= 3 else "VHTZC"
    others = len(shape) - len(image)
    if others > len(names):
        raise ImageError(f"can't guess the axes of shape {shape}; name them, such as axes={'TZCYX'!r}.")
    return ("Q" if others == 1 else names[len(names) - others :]) + image


def _check(layout: Layout) -> None:
    shape, axes = layout.shape, layout.axes
    told = f"axes {axes!r} of shape {shape}"
    if len(axes) != len(shape):
        raise ImageError(f"{told} don't fit: {len(axes)} letters for {len(shape)} axes.")
    if not axes.isalpha() or not axes.isascii() or len(set(axes)) < len(axes):
        raise ImageError(f"{told} must be different letters, such as 'TZCYX' or 'YXS'.")
    if not {"Y", "X"} <= set(axes):
        raise ImageError(f"{told} lack Y or X.")
    if layout.samples not in SAMPLES:
        raise ImageError(f"{told} don't fit: S has 1 to 4 entries (gray, LA, RGB, RGBA). Name channels C.")


@dataclass(frozen=True)
class Levels:
    """A straight map between the values of an array and 0..1.

    Attributes
    ----------
    low, high : float
        The values that become 0 and 1. If they are equal, everything becomes 0, and 0 or anything else comes back as `low`.
    dtype : numpy.dtype
        Of the array.
    """

    low: float
    high: float
    dtype: np.dtype

    @property
    def _work(self) -> type[np.floating]:
        return np.float64 if self.dtype.itemsize >= 4 else np.float32

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Return values in 0..1 (beyond it where they are beyond `low` or `high`), float32 and contiguous."""
        work = np.array(values, self._work, order="C")
        work -= self._work(self.low)
        work /= self._work((self.high - self.low) or 1)
        return work.astype(np.float32, copy=False)

    def from_unit(self, values: np.ndarray) -> np.ndarray:
        """Invert `to_unit`: integers are rounded and clipped to their type, bool is ``True`` from 0.5 on."""
        if self.dtype.kind == "b":
            return values >= 0.5
        work = values.astype(self._work) * self._work(self.high - self.low) + self._work(self.low)
        if self.dtype.kind == "f":
            limits: Any = np.finfo(self.dtype)
        else:
            limits = np.iinfo(self.dtype)
            np.rint(work, out=work)
        # float16 ends at 65504, which a network can pass.
        return np.clip(work, limits.min, limits.max, out=work).astype(self.dtype)


def type_range(dtype: np.dtype) -> tuple[float, float]:
    """Return the range of an integer type; 0..1 of others."""
    if dtype.kind in "iu":
        return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return 0.0, 1.0


def levels_of(image: Any, layout: Layout, intensity: str | tuple[float, float] = "auto", nan: str = "error") -> Levels:
    """Choose the values that a network sees as 0 and 1, once for all planes.

    Parameters
    ----------
    intensity : {"auto", "range", "minmax"} or tuple of float
        ``"range"``: of the type, floating is 0..1. ``"minmax"``: lowest and highest value of the whole array, without
        transparency. ``"auto"``: the range of bool and uint8, minmax of others. Or low and high themselves.
    nan : {"error", "keep"}
        Whether NaN and infinity are allowed.

    Raises
    ------
    ImageError
        If an argument is none of these, or the values aren't finite.
    """
    dtype = np.dtype(image.dtype)
    if nan not in ("error", "keep"):
        raise ImageError(f"nan must be 'error' or 'keep', not {nan!r}.")
    if isinstance(intensity, str) and intensity not in ("auto", "range", "minmax"):
        raise ImageError(f"intensity must be 'auto', 'range', 'minmax' or (low, high), not {intensity!r}.")
    given = None if isinstance(intensity, str) else _pair(intensity)
    by_type = intensity == "range" or (intensity == "auto" and dtype.name in ("bool", "uint8"))
    ends = given or (type_range(dtype) if by_type else None)
    # Floating values are looked at in any case, to find what isn't finite before the work starts.
    seen = extremes(image, layout, keep=nan == "keep") if ends is None or dtype.kind == "f" else (0.0, 0.0)
    low, high = ends or seen
    if not np.isfinite(high - low):
        raise ImageError(f"the intensities {low!r} to {high!r} are too far apart for {dtype}.")
    return Levels(low, high, dtype)


def _pair(intensity: Any) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in intensity)
    except (TypeError, ValueError):
        raise ImageError(f"intensity must be 'auto', 'range', 'minmax' or (low, high), not {intensity!r}.") from None
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ImageError(f"intensity must be (low, high) with low < high, not {intensity!r}.")
    return low, high


def extremes(image: Any, layout: Layout, keep: bool = False) -> tuple[float, float]:
    """Return the lowest and the highest value of all planes, without transparency.

    Raises
    ------
    ImageError
        If a value isn't finite and `keep` is ``False``.
    """
    low, high = np.inf, -np.inf
    for index in layout.planes():
        for part in _bands(layout.plane(image, index), layout):
            ends = float(part.min()), float(part.max())
            if not np.isfinite(ends).all():  # NaN wins over all others in both
                if not keep:
                    raise ImageError("the image holds NaN or infinity; nan='keep' puts them back into the result.")
                finite = part[np.isfinite(part)]
                ends = (float(finite.min()), float(finite.max())) if finite.size else (np.inf, -np.inf)
            low, high = min(low, ends[0]), max(high, ends[1])
    return (low, high) if low <= high else (0.0, 0.0)


def _bands(plane: np.ndarray, layout: Layout) -> Iterator[np.ndarray]:
    """Yield the colours of a plane in pieces of about a million values."""
    colours = plane[..., :-1] if layout.alpha else plane
    rows = max(2**20 // max(plane.shape[1], 1), 1)
    for top in range(0, plane.shape[0], rows):
        yield colours[top : top + rows]
