"""Smaller versions of a large image, so that it can be shown without drawing every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..progress import Cancel, stop_if_asked

#: The longest edge that is shown as a single level. Graphics cards take 16384 and more, but most of them slowly.
LARGEST_PLAIN = 8192
#: Levels are added until the longest edge is at most this.
SMALLEST_LEVEL = 1024
#: Rows that are averaged at a time.
BAND = 512


def level_shapes(shape: tuple[int, ...], rgb: bool) -> list[tuple[int, ...]]:
    """Return the shapes of all levels, finest first: rows and columns are halved, other axes stay."""
    at = len(shape) - 3 if rgb else len(shape) - 2
    shapes = [shape]
    while max(shapes[-1][at : at + 2]) > SMALLEST_LEVEL:
        last = shapes[-1]
        shapes.append((*last[:at], *(max(n // 2, 1) for n in last[at : at + 2]), *last[at + 2 :]))
    return shapes


def fill_level(finer: Any, coarser: Any, rgb: bool, cancel: Cancel | None = None) -> None:
    """Fill an array (..., Y, X[, S]) with the means of 2 x 2 pixels of another one, a band of rows at a time.

    Raises
    ------
    Cancelled
        If `cancel` returned ``True``.
    """
    at = coarser.ndim - 3 if rgb else coarser.ndim - 2
    height, width = coarser.shape[at : at + 2]
    for index in np.ndindex(*coarser.shape[:at]):
        for top in range(0, height, BAND):
            stop_if_asked(cancel)
            bottom = min(top + BAND, height)
            part = np.asarray(finer[(*index, slice(2 * top, 2 * bottom), slice(0, 2 * width))])
            coarser[(*index, slice(top, bottom))] = halved(part)


def halved(plane: np.ndarray) -> np.ndarray:
    """Return the means of 2 x 2 pixels of a plane (Y, X[, S]) in its own dtype; a last odd row or column is left out."""
    plane = np.repeat(plane, 2, axis=0) if plane.shape[0] == 1 else plane
    plane = np.repeat(plane, 2, axis=1) if plane.shape[1] == 1 else plane
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    blocks = plane[: 2 * height, : 2 * width].reshape(height, 2, width, 2, *plane.shape[2:])
    kind = np.float64 if plane.dtype.itemsize > 2 else np.float32
    # In this order for a plane of any size, so that a part has the means of the whole; `mean` has another one by size.
    above, below = (np.add(blocks[:, i, :, 0], blocks[:, i, :, 1], dtype=kind) for i in (0, 1))
    means: np.ndarray = (above + below) / 4
    return (means if plane.dtype.kind == "f" else np.rint(means)).astype(plane.dtype)


def with_levels(image: np.ndarray, rgb: bool, cancel: Cancel | None = None) -> np.ndarray | list[np.ndarray]:
    """Return an image as it is, or as a list of levels if it is large."""
    at = image.ndim - 3 if rgb else image.ndim - 2
    if max(image.shape[at : at + 2]) <= LARGEST_PLAIN:
        return image
    levels = [image]
    for shape in level_shapes(image.shape, rgb)[1:]:
        level = np.empty(shape, image.dtype)
        fill_level(levels[-1], level, rgb, cancel)
        levels.append(level)
    return levels


def levels_below(finest: Any, pyramid: Sequence[Any], rgb: bool, cancel: Cancel | None = None) -> list[Any]:
    """Return what shows an enlarged image from afar: its source at all resolutions that are smaller than it.

    Parameters
    ----------
    finest : array
        The enlarged image, of which only the shape is looked at.
    pyramid : sequence of array
        Its source, (..., Y, X[, S]). A large one in memory that has but one resolution gets more.
    """
    at = finest.ndim - 3 if rgb else finest.ndim - 2
    if len(pyramid) == 1 and isinstance(pyramid[0], np.ndarray):
        found = with_levels(pyramid[0], rgb, cancel)
        pyramid = found if isinstance(found, list) else [found]
    (height, width), planes = finest.shape[at : at + 2], finest.shape[:at]
    return [it for it in pyramid if it.shape[:at] == planes and it.shape[at] * it.shape[at + 1] < height * width]
