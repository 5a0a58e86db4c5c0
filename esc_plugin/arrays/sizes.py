"""How large a result shall be. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..errors import ImageError
from ..texts import quoted
from .layout import Layout

#: A factor above this is a slip of the hand rather than a wish.
LARGEST_SCALE = 64
#: No format and no array library goes beyond it.
LARGEST_SIDE = 2**31 - 1

#: Height and width.
Size = tuple[int, int]


def target_size(height: int, width: int, scale: float | tuple[float, float]) -> Size:
    """Return height and width of an image that is enlarged by `scale`, at least one pixel each.

    Parameters
    ----------
    height, width : int
        Of the image.
    scale : float, or pair of float
        One factor for both, or one down and one across.

    Raises
    ------
    ImageError
        If a factor is no number in 0..64.
    """
    down, across = scale if isinstance(scale, tuple) and len(scale) == 2 else (scale, scale)
    for factor in (down, across):
        if not (is_number(factor) and 0 < factor <= LARGEST_SCALE):
            raise ImageError(f"scale must be above 0 and at most {LARGEST_SCALE}, not {quoted(factor)}.")
    return max(round(height * down), 1), max(round(width * across), 1)


def is_side(value: Any) -> bool:
    """Whether a value is a number of pixels that a side can have."""
    return isinstance(value, Integral) and 1 <= value <= LARGEST_SIDE  # type: ignore[operator]  # typeshed's Integral


def enlarged_span(start: int, stop: int, length: int, target: int) -> tuple[int, int]:
    """Return the pixels of an enlarged axis of `target` that cover those from `start` to `stop` of the axis of `length`."""
    return start * target // length, -(-stop * target // length)


def choose_target(layout: Layout, scale: Any, size: Any) -> Size:
    """Return height and width of the result.

    Raises
    ------
    ImageError
        If neither or both are given, or they are out of range.
    """
    if (scale is None) == (size is None):
        raise ImageError(f"give either a scale or a size, not {quoted(scale)} and {quoted(size)}.")
    if scale is not None:
        return target_size(layout.height, layout.width, scale)
    wanted = size if isinstance(size, list | tuple) or (isinstance(size, np.ndarray) and size.ndim == 1) else ()
    if len(wanted) != 2 or not all(is_number(n) and n == int(n) and n >= 1 for n in wanted):
        raise ImageError(f"size must be height and width, whole numbers from 1 on, not {quoted(size)}.")
    return int(wanted[0]), int(wanted[1])


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, of whatever library."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(abs(value) < inf)  # type: ignore[operator]  # typeshed's Real


def isotropic_planes(planes: int, spacing: Sequence[float]) -> int:
    """Return how many planes a stack must have so that its voxels are as deep as they are wide, within rounding.

    All planes together stay as deep as they are, so the new step is ``spacing[0] * planes / isotropic_planes(...)``.

    Parameters
    ----------
    planes : int
        Of the stack.
    spacing : sequence of float
        Size of a voxel along z, y and x, in one unit. Of y and x that differ, their geometric mean is aimed at.

    Raises
    ------
    ImageError
        If that would be no more planes than there are, or more than 64 times as many.
    """
    try:
        z, y, x = (abs(float(size)) for size in spacing)
    except (OverflowError, TypeError, ValueError):
        z = y = x = 0.0
    if not (0 < z < inf and 0 < y * x < inf):
        raise ImageError(f"spacing must be the sizes of a voxel along z, y and x, not {quoted(spacing)}.")
    factor = z / sqrt(y * x)
    wanted = target_size(planes, 1, (factor, 1))[0]
    if wanted <= planes:
        raise ImageError(f"the planes aren't further apart than the pixels: voxels are {z:g} x {y:g} x {x:g} (z, y, x).")
    return wanted
