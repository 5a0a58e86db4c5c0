"""What a call of an upscaler asks for: the image's axes and type, the size of the result, and how it shall be made."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from operator import index
from typing import Any

import numpy as np

from .arrays.layout import Layout, layout_of
from .arrays.levels import Intensity, stated_levels
from .arrays.passes import checked_passes, pass_sizes
from .arrays.shared import checked_shared
from .arrays.sizes import Size, choose_target
from .errors import ImageError
from .network.grid import Region
from .texts import quoted


@dataclass(frozen=True)
class Request:
    """What a call of an upscaler asks for. A survey serves the calls that ask for the same, whatever their strength.

    Attributes
    ----------
    shape, axes, dtype
        Of the image.
    target : tuple of int
        Height and width of the result.
    intensity : str or list of list of float
        What was asked for.
    nan, alpha, linear_light, consistency, bits, shared, strength
        See `Upscaler.__call__`.
    passes : int
        How often the network runs, whether that was asked for or found.
    """

    shape: tuple[int, ...]
    axes: str
    dtype: str
    target: Size
    intensity: Any = "auto"
    nan: str = "error"
    alpha: str = "network"
    linear_light: bool = False
    consistency: bool = False
    bits: int = 32
    shared: str = ""
    passes: int = 1
    strength: float = 1.0

    def __post_init__(self) -> None:
        """Check all that can be checked without looking at pixels; levels of intensity are when they are looked for."""
        _check_word("alpha", self.alpha, "network", "lanczos")
        _check_word("nan", self.nan, "error", "keep")
        if not is_share(self.strength):
            raise ImageError(f"strength must be a number from 0 to 1, not {quoted(self.strength)}.")
        if not self.consistency:
            return
        size = self.layout.height, self.layout.width
        if any(t % n for t, n in zip(self.target, size, strict=True)):
            raise ImageError(f"consistency needs a whole factor, {self.target} isn't a multiple of {size} (height, width).")
        if self.dtype == "bool":
            raise ImageError("consistency needs gray levels, a bool image has none.")

    @property
    def layout(self) -> Layout:
        """The axes of the image."""
        return Layout(self.shape, self.axes)


def make_request(
    image: Any,
    model_scale: int,
    *,
    axes: str | None = None,
    scale: float | None = None,
    size: Size | None = None,
    intensity: Intensity = "auto",
    nan: str = "error",
    alpha: str = "network",
    linear_light: bool = False,
    consistency: bool = False,
    bits: int | None = None,
    shared: str | None = None,
    passes: int | None = None,
    any_scale: bool = False,
    strength: float = 1.0,
) -> Request:
    """Return what a call asks for; see `Upscaler.__call__`.

    Parameters
    ----------
    model_scale : int
        Of the network, and what is taken if neither a scale nor a size is given.
    any_scale : bool
        Whether the network renders any scale.

    Raises
    ------
    ImageError
        If it can't be done.
    """
    layout = layout_of(image, axes)
    target = choose_target(layout, model_scale if scale is None and size is None else scale, size)
    bits = bits_of(image) if bits is None else _checked_bits(bits)
    wished = intensity if isinstance(intensity, str) else [list(pair) for pair in stated_levels(intensity)]
    dtype = np.dtype(image.dtype).name
    flags = _checked_flag("linear_light", linear_light), _checked_flag("consistency", consistency)
    options = nan, alpha, *flags, bits, checked_shared(shared, layout)
    asked = checked_passes(passes, model_scale, any_scale)
    runs = len(pass_sizes((layout.height, layout.width), target, model_scale, any_scale, asked)) - 1
    strength = float(strength) if is_share(strength) else strength
    return Request(layout.shape, layout.axes, dtype, target, wished, *options, passes=runs, strength=strength)


def is_share(value: Any) -> bool:
    """Tell whether a value is a number from 0 to 1."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= value <= 1  # type: ignore[operator]  # typeshed's Real


def bits_of(image: Any) -> int:
    """Return the bits of a value of an array."""
    return int(np.dtype(image.dtype).itemsize) * 8


def _check_word(name: str, value: Any, first: str, second: str) -> None:
    if not isinstance(value, str) or value not in (first, second):
        raise ImageError(f"{name} must be {first!r} or {second!r}, not {quoted(value)}.")


def _checked_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ImageError(f"{name} must be True or False, not {quoted(value)}.")
    return bool(value)


def _checked_bits(bits: Any) -> int:
    if not isinstance(bits, Integral) or not 1 <= int(bits) <= 64:
        raise ImageError(f"bits must be those of a value of the image, a whole number from 1 to 64, not {quoted(bits)}.")
    return int(bits)


def checked_region(region: Any, target: Size) -> Region | None:
    """Return a region of a result of `target` (height, width), or None for all of it.

    Raises
    ------
    ImageError
        If it isn't ``((top, bottom), (left, right))`` with whole numbers inside the result.
    """
    if region is None:
        return None
    try:
        (top, bottom), (left, right) = ((_whole(start), _whole(stop)) for start, stop in region)
    except (TypeError, ValueError):
        raise ImageError(f"a region must be ((top, bottom), (left, right)), whole numbers, not {quoted(region)}.") from None
    if not (0 <= top < bottom <= target[0] and 0 <= left < right <= target[1]):
        raise ImageError(
            f"the region {quoted(region)} is empty or leaves the result, which has {target[0]} rows and {target[1]} columns."
        )
    return Region(top, left, bottom, right)


def _whole(number: Any) -> int:
    if isinstance(number, bool | np.bool_):
        raise TypeError
    return index(number)
