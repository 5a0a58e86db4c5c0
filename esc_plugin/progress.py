"""How far work is, and whether to go on: one kind of both for everything that takes long."""

from __future__ import annotations

from collections.abc import Callable

from .errors import Cancelled

#: Told ``(done, total)`` after each piece of work, in any unit that goes evenly with time.
Progress = Callable[[int, int], None]
#: Asked after each piece of work; ``True`` stops it.
Cancel = Callable[[], bool]

#: Parts of a task report their progress in this many steps.
UNITS = 10_000


def stop_if_asked(cancel: Cancel | None) -> None:
    """Raise `Cancelled` if somebody said stop."""
    if cancel and cancel():
        raise Cancelled("cancelled.")


def share_of(progress: Progress | None, start: float, stop: float, units: int = UNITS) -> Progress | None:
    """Return a progress callback for the part of a task from `start` to `stop`, in 0..1, which is told in so many steps."""
    if progress is None:
        return None
    # What is too small to count is done at once.
    return lambda done, total: progress(round(units * (start + (stop - start) * (done / total if total else 1))), units)


def part_of(progress: Progress | None, index: int, count: int) -> Progress | None:
    """Return a progress callback for one of `count` equal parts."""
    return share_of(progress, index / count, (index + 1) / count)


def rising(progress: Progress | None) -> Progress | None:
    """Return a progress callback that never goes back, for work of which a part may have to be done again."""
    if progress is None:
        return None
    highest = 0.0

    def told(done: int, total: int) -> None:
        nonlocal highest
        if done >= highest * total:
            highest = done / total if total else 1.0
            progress(done, total)

    return told
