"""The time of a training, with everything that belongs to it, and how much of the whole is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

from ..errors import EscError
from ..progress import Progress

#: Ten years. More is a slip of the keyboard, and beyond some size no number that a clock can be compared with.
MOST_MINUTES = 10 * 365 * 24 * 60


def check_minutes(minutes: float) -> None:
    """Raise an `EscError` unless a training may take so long; NaN may not."""
    if not 0 < minutes <= MOST_MINUTES:
        raise EscError(f"the minutes must be above 0 and at most {MOST_MINUTES:,} (ten years), not {minutes!r}.")


class Clock:
    """The time that is left, and one progress of several parts.

    Parameters
    ----------
    minutes : float
        For all parts together, from now on; how far it is follows the clock then. 0: no limit, and it follows the parts.
    progress : callable, optional
        ``progress(done, total)``, in thousandths of the whole.
    """

    def __init__(self, minutes: float, progress: Progress | None = None) -> None:
        self._seconds, self._begun, self._progress = 60 * minutes, time.monotonic(), progress

    @property
    def left(self) -> float:
        """Seconds, below 0 when the time is over; infinite without a limit."""
        return self._seconds - (time.monotonic() - self._begun) if self._seconds else inf

    def part(self, begin: float, end: float) -> Callable[[float, float], None]:
        """Return the callback ``(done, total)`` of a part that goes from one share of the whole to another."""
        return lambda done, total: self._tell(begin + (end - begin) * done / total)

    def finish(self) -> None:
        """Tell that all is done, in time or before."""
        if self._progress:
            self._progress(1000, 1000)

    def _tell(self, share: float) -> None:
        if self._progress:
            share = 1 - self.left / self._seconds if self._seconds else share
            self._progress(min(round(1000 * share), 1000), 1000)
