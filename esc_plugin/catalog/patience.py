"""Waiting for a server, but not for ever.

Libraries that carry a connection wait as long as a server likes: it may send a byte a second, or ask to be asked again in a
year. None of that can be interrupted from the thread that waits, so another one does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ..progress import Cancel, Progress, stop_if_asked

#: Seconds that a whole download may take.
LONGEST_S = 3600
#: Seconds that anything else may take that is asked of a server.
LONGEST_ANSWER_S = 300
#: Seconds between two looks whether the caller wants to stop.
TICK_S = 0.1
#: Seconds for a call that was given up to put away what it had open.
PUTTING_AWAY_S = 1.0

T = TypeVar("T")


class SlowError(Exception):
    """Something took longer than anybody waits."""


class Patience:
    """Waits for calls that report how far they are.

    Parameters
    ----------
    seconds : float
        For all of them together.
    progress, cancel : callable, optional
        ``progress(done, total)`` and ``cancel() -> bool``, which are called in the thread that waits.

    Attributes
    ----------
    progress, cancel : callable
        What calls are given instead; the first is None where nobody wants to know.
    """

    def __init__(self, seconds: float, progress: Progress | None = None, cancel: Cancel | None = None) -> None:
        self._until = time.monotonic() + seconds
        self._progress, self._cancel = progress, cancel
        self._told: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._over = threading.Event()
        self.progress: Progress | None = self._tell if progress else None
        self.cancel: Cancel = self._over.is_set

    def wait_for(self, call: Callable[[], T]) -> T:
        """Return what a call returns, or raise what it raises.

        Raises
        ------
        SlowError
            If it takes too long.
        Cancelled
            If the caller wants to stop. A call that asks `cancel` then ends; another one goes on until the process ends.
        """
        thread = threading.Thread(target=self._work, args=(call,), name="esc-download", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system allows no more threads
            return call()
        try:
            while (outcome := self._next())[0] == "told":
                if self._progress:
                    self._progress(*outcome[1])
        except BaseException:
            self._over.set()
            thread.join(PUTTING_AWAY_S)
            raise
        how, value = outcome
        if how == "raised":
            raise value
        result: T = value
        return result

    def _next(self) -> tuple[str, Any]:
        while True:
            stop_if_asked(self._cancel)
            if time.monotonic() > self._until:
                raise SlowError
            try:
                return self._told.get(timeout=TICK_S)
            except Empty:
                pass

    def _tell(self, done: int, total: int) -> None:
        self._told.put(("told", (done, total)))

    def _work(self, call: Callable[[], T]) -> None:
        try:
            outcome: tuple[str, Any] = "returned", call()
        except BaseException as error:  # for whoever waits
            outcome = "raised", error
        self._told.put(outcome)
