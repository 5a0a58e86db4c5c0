"""Linear interpolation of any part of an enlarged plane, the same however it is cut into parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..network.grid import Region
from .taps import TRIANGLE, make_filter


def interpolated(
    read: Callable[[Region], np.ndarray | None], size: tuple[int, ...], target: tuple[int, ...], region: Region
) -> np.ndarray | None:
    """Resize a plane of `size` (height, width) linearly to `target`, and return a region of the result.

    The filter is a triangle, widened where the plane shrinks; pixels are areas, and the border's go on beyond it.

    Parameters
    ----------
    read : callable
        Gives the plane's values in a region, (Y, X, ...) floating, or None if they are all 0. It is called once, with what
        `interpolated_from` says.

    Returns
    -------
    numpy.ndarray or None
        (Y, X, ...) of the region; None where everything is 0.
    """
    resampled = make_filter(TRIANGLE, size, target, region)
    values = read(resampled.source)
    return None if values is None else resampled(values)


def interpolated_from(size: tuple[int, ...], target: tuple[int, ...], region: Region) -> Region:
    """Return the pixels of a plane of `size` that `interpolated` reads for a region of the result."""
    return make_filter(TRIANGLE, size, target, region).source
