"""Threads that each take whole chunks. Whoever asks for the chunks is one of them.

Threads that shared every operation of a chunk would wait for each other at the end of each, a thousand times an image, and
the longer, the busier the machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Generic, TypeVar

from ..device import limited_threads, usable_threads, use_threads

T = TypeVar("T")


class Task(Generic[T]):
    """A call whose outcome is wanted later; the first thread that finds time makes it."""

    def __init__(self, call: Callable[[], T], threads: int) -> None:
        self.call, self.threads = call, threads
        self.outcome: Future[T] = Future()
        self._begun = Lock()

    def run(self) -> None:
        """Make it, unless another thread has begun."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            use_threads(self.threads)
            self.outcome.set_result(self.call())
        except BaseException as error:  # it is raised where the outcome is wanted
            self.outcome.set_exception(error)
            if not isinstance(error, Exception):  # Ctrl-C, in the caller's thread: at once
                raise

    def drop(self) -> None:
        """See that it isn't made any more, or wait until it has been."""
        if not self._begun.acquire(blocking=False):
            wait([self.outcome])


class Workers:
    """So many threads, the caller's among them. They are kept from step to step, as they take milliseconds to begin."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(max(count - 1, 1), "esc")

    def outcomes(self, calls: Iterable[Callable[[], T]], at_once: int, ahead: int) -> Generator[Callable[[], T], None, None]:
        """Make calls, and yield their outcomes in their order, as ``outcome()``, which returns or raises.

        Parameters
        ----------
        calls : iterable of callable
            It is the caller's thread that iterates.
        at_once : int
            How many are made at the same time, each on its share of torch's threads.
        ahead : int
            How many are begun for each of those.
        """
        threads = max(usable_threads() // at_once, 1)
        begun: deque[Task[T]] = deque()
        try:
            with limited_threads(threads):
                for call in calls:
                    begun.append(Task(call, threads))
                    self._pool.submit(begun[-1].run)
                    if len(begun) == ahead * at_once:
                        yield _first(begun)
                while begun:
                    yield _first(begun)
        finally:
            for task in reversed(begun):  # of who stops before the end; they use what he will free
                task.drop()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _first(begun: deque[Task[T]]) -> Callable[[], T]:
    """Return the outcome of the first task. Until that is there, this thread runs others, those that come last first."""
    first = begun.popleft()
    first.run()
    for task in reversed(begun):
        if first.outcome.done():
            break
        task.run()
    return first.outcome.result
