"""The same array with its axes in another order, for what is read by index."""

from __future__ import annotations

from typing import Any

import numpy as np


class Reordered:
    """An array with its axes in another order; pixels are read when they are indexed.

    Parameters
    ----------
    array : array
        A shape, a dtype, and values for an index of whole numbers and slices.
    order : sequence of int
        For each axis, which one of `array` it is.
    """

    def __init__(self, array: Any, order: list[int]) -> None:
        self.array, self.order = array, order
        self.shape, self.dtype, self.ndim = tuple(array.shape[axis] for axis in order), array.dtype, len(order)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return the values at an index of whole numbers and slices, one for each axis or fewer."""
        index = index if isinstance(index, tuple) else (index,)
        filled = (*index, *(slice(None),) * (self.ndim - len(index)))
        place = dict(zip(self.order, filled, strict=True))
        values = np.asarray(self.array[tuple(place[axis] for axis in range(self.ndim))])
        kept = [axis for axis in self.order if isinstance(place[axis], slice)]
        return values.transpose([sorted(kept).index(axis) for axis in kept])


def in_axes_of(array: Any, axes: str, wanted: str) -> Any:
    """Return an array with its axes in the order of another image's, whose samples (S) may be channels (C) here.

    Parameters
    ----------
    axes : str
        Of `array`, a letter each.
    wanted : str
        Of the other image. Where the letters differ, the array is returned as it is.
    """
    letters = wanted.replace("S", "C") if "S" not in axes and "C" not in wanted else wanted
    if letters == axes or sorted(letters) != sorted(axes):
        return array
    return Reordered(array, [axes.index(letter) for letter in letters])
