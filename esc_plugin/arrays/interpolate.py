"""Linear interpolation of any part of an enlarged plane, the same however it is cut into parts."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np

from ..network.grid import Region


def interpolated(
    read: Callable[[Region], np.ndarray | None], size: tuple[int, ...], target: tuple[int, ...], region: Region
) -> np.ndarray | None:
    """Resize a plane of `size` (height, width) linearly to `target`, and return a region of the result.

    The filter is a triangle, widened where the plane shrinks; pixels are areas, and the border's go on beyond it.

    Parameters
    ----------
    read : callable
        Gives the plane's values in a region, (Y, X, ...) floating, or None if they are all 0.

    Returns
    -------
    numpy.ndarray or None
        (Y, X, ...) of the region; None where everything is 0.
    """
    rows, row_weights = _taps(size[0], target[0], region.top, region.bottom)
    columns, column_weights = _taps(size[1], target[1], region.left, region.right)
    needed = Region(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
    values = read(needed)
    if values is None:
        return None
    values = _filtered(values, rows - needed.top, row_weights, 0)
    return _filtered(values, columns - needed.left, column_weights, 1)


def _taps(length: int, target: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places (n, count) that make each of the pixels from `start` to `stop`, and their weights."""
    ratio = length / target
    width = max(ratio, 1.0)
    centres = (np.arange(start, stop) + 0.5) * ratio - 0.5
    places = np.floor(centres - width).astype(int) + 1 + np.arange(ceil(2 * width) + 1)[:, None]
    weights = (1 - np.abs(places - centres) / width).clip(0)
    return places.clip(0, length - 1), (weights / weights.sum(0)).astype(np.float32)


def _filtered(values: np.ndarray, places: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    shape = [1] * values.ndim
    shape[axis] = -1
    # One tap after the other: whatever the size of the part, a pixel is the same sum in the same order.
    result = np.zeros_like(values, shape=[*values.shape[:axis], places.shape[1], *values.shape[axis + 1 :]])
    for place, weight in zip(places, weights, strict=True):
        result += values.take(place, axis) * weight.reshape(shape)
    return result
