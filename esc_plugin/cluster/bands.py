"""Which rows of a result each process makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays.layout import Index, Layout
from ..engine import ProcessGroup
from ..network.grid import Region


def borders(height: int, count: int, rows: int = 1) -> tuple[int, ...]:
    """Cut the rows of a result into a band for each of `count` processes, at multiples of `rows`, as evenly as that allows.

    Returns
    -------
    tuple of int
        Where the bands begin, and where the last one ends. Where there are more processes than multiples, some are empty.
    """
    return (*(min(round(height * i / count / rows) * rows, height) for i in range(count)), height)


@dataclass(frozen=True)
class Bands(ProcessGroup):
    """Processes that each count the rows of their own band of the result, of which they need all maps anyway.

    Attributes
    ----------
    borders : tuple of int
        See `borders`.
    """

    borders: tuple[int, ...] = ()

    def part(self, length: int) -> tuple[int, int]:
        """Return which rows of `length` this process counts."""
        height = self.borders[-1]
        return length * self.borders[self.index] // height, length * self.borders[self.index + 1] // height

    def region(self, width: int) -> Region | None:
        """Return the band of this process, in a result of `width` columns; None if it is empty."""
        top, bottom = self.borders[self.index], self.borders[self.index + 1]
        return Region(top, 0, bottom, width) if top < bottom else None


class PlaneOf:
    """A plane of an array as an array of its own, of which only what is asked for is read."""

    def __init__(self, image: Any, index: Index, layout: Layout) -> None:
        self.image, self.index, self.shape, self.dtype = image, index, layout.shape, np.dtype(image.dtype)

    def __getitem__(self, parts: tuple[slice, ...]) -> Any:
        """Return a part."""
        own = iter(parts)
        return self.image[tuple(next(own) if isinstance(place, slice) else place for place in self.index)]


def plane_layout(layout: Layout) -> Layout:
    """Return the axes of a plane of an array."""
    kept = [(n, a) for n, a in zip(layout.shape, layout.axes, strict=True) if a in "YXS"]
    return Layout(tuple(n for n, _ in kept), "".join(a for _, a in kept))


#: Takes a part of the result: which plane, which region of it, and its values, with the axes of the array that count no
#: planes (Y, X, S).
Write = Callable[[Index, Region, np.ndarray], None]
