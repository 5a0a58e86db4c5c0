"""How often a network runs on the way to a size, and what a filter does then. Imports no torch."""

from __future__ import annotations

from math import ceil
from operator import index
from typing import Any

from ..errors import ImageError
from ..texts import quoted
from .sizes import LARGEST_SCALE, Size

#: A filter enlarges what a pass has made by up to this, rather than that another pass makes more than is wanted, which takes
#: scale^2 times as long. What that costs is measured in benchmarks/images.md.
LARGEST_STRETCH = 1.25


def pass_sizes(size: Size, target: Size, scale: int, any_scale: bool = False, passes: int | None = None) -> list[Size]:
    """Return height and width of what the first pass of a network sees, and of what each pass makes.

    A filter brings the last to the target. A network for any scale renders the target itself, if that grows.

    Parameters
    ----------
    size, target : tuple of int
        Of the image, and of the result.
    scale : int
        Of the network.
    any_scale : bool
        Whether it renders any scale.
    passes : int, optional
        How often it runs. By default no more often than it must so that no side has to grow by more than `LARGEST_STRETCH`
        afterwards; not at all if no side grows; and once if it doesn't enlarge.
    """
    grows = target[0] > size[0] or target[1] > size[1]
    count = _needed(size, target, scale, any_scale) if passes is None else passes
    if any_scale and grows and count:
        return [size, target]
    return [(size[0] * scale**i, size[1] * scale**i) for i in range(count + 1)]


def _needed(size: Size, target: Size, scale: int, any_scale: bool) -> int:
    grows = target[0] > size[0] or target[1] > size[1]
    if not grows or any_scale or scale == 1:
        return int(grows or scale == 1)
    count = 1
    while any(ceil(n * scale**count * LARGEST_STRETCH) < t for n, t in zip(size, target, strict=True)):
        count += 1
    return count


def cleaning_passes(size: tuple[float, float], target: tuple[float, float]) -> int | None:
    """Return how often a network runs where its work is wanted in any case: once if no side grows, else None, as needed."""
    return None if target[0] > size[0] or target[1] > size[1] else 1


def checked_passes(passes: Any, scale: int, any_scale: bool = False) -> int | None:
    """Return how often a network of `scale` shall run, None for as often as needed.

    Raises
    ------
    ImageError
        If it is no whole number, or more than the largest enlargement takes.
    """
    if passes is None:
        return None
    most = _most(scale, any_scale)
    try:
        count = -1 if isinstance(passes, bool) else index(passes)
    except TypeError:
        count = -1
    if not 0 <= count <= most:
        raise ImageError(f"passes must be a whole number from 0 to {most} for this model, not {quoted(passes)}.")
    return count


def _most(scale: int, any_scale: bool) -> int:
    """Return how many passes the largest enlargement takes; of a network that renders any size, one does."""
    if any_scale:
        return 1
    count = 1
    while max(scale, 2) ** count < LARGEST_SCALE:
        count += 1
    return count


def described(size: Size, target: Size, scale: int, passes: int | None = None, any_scale: bool = False) -> str:
    """Say in words what is done, such as "1 pass x2, then Lanczos x1.04"; see `pass_sizes`."""
    made = pass_sizes(size, target, scale, any_scale, passes)
    count = len(made) - 1
    first = f"{count} {'pass' if count == 1 else 'passes'}" + (f" {_factor(made[0], made[1])}" if count else "")
    return first if made[-1] == target else f"{first}, then Lanczos {_factor(made[-1], target)}"


def _factor(size: Size, target: Size) -> str:
    """Return by how much something grows, across and down if that isn't the same but for the rounding to pixels."""
    down, across = target[0] / size[0], target[1] / size[1]
    if abs(down - across) * min(size) <= 1:
        return f"x{max(down, across):.3g}"
    return f"x{across:.3g} by x{down:.3g} (across by down)"
