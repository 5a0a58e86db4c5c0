"""Which parts of an image to look at where not all of it can be: cells of a grid, by chance, and spread evenly."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from ..network.grid import Region

#: Edge of a cell in feature pixels, but where an image is smaller or its side is no multiple: then somewhat less.
EDGE = 64
#: Of fewer cells nobody can tell how much they tell: the variance of Student's t of three degrees of freedom is the first
#: that is finite.
LEAST = 4


def choose_cells(size: tuple[int, int], pixels: int) -> list[Region]:
    """Choose cells of a feature grid; each has the same chance.

    The grid is halved again and again, and each half gets its share of the cells: so they are spread evenly, and each is
    followed by one near to it.

    Parameters
    ----------
    size : tuple of int
        Height and width of the feature grid.
    pixels : int
        About how many they shall have together.

    Returns
    -------
    list of Region
        `LEAST` or more, or all there are; always the same for equal arguments. All cells together are the whole grid.
    """
    rows, columns = (-(-n // EDGE) for n in size)
    count = min(max(pixels * rows * columns // (size[0] * size[1]), LEAST), rows * columns)
    # Python promises that a seed gives the same numbers in every version.
    chance = Random(f"{size[0]} x {size[1]}, {count}")
    return [_cell(size, (rows, columns), place) for place in _places(Region(0, 0, rows, columns), count, chance)]


def _places(block: Region, count: int, chance: Random) -> Iterator[Region]:
    """Yield `count` of the places of a block, each of one row and one column."""
    if not count:
        return
    cells = block.height * block.width
    if cells == 1:
        yield block
        return
    first, second = block.halves(1)
    # What can't be divided evenly is given to one of them, in proportion to their chances.
    share = int(count * first.height * first.width / cells + chance.random())
    yield from _places(first, share, chance)
    yield from _places(second, count - share, chance)


def _cell(size: tuple[int, int], grid: tuple[int, int], place: Region) -> Region:
    (height, width), (rows, columns) = size, grid
    top, bottom = (height * row // rows for row in (place.top, place.bottom))
    left, right = (width * column // columns for column in (place.left, place.right))
    return Region(top, left, bottom, right)
