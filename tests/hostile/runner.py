"""Processes that try cases, watched from outside: what has no end is ended, and the next one begins anew."""

from __future__ import annotations

import multiprocessing
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from .case import MOST_SECONDS, MOST_WAITING, Outcome
from .worker import serve

#: Cases after which a process is replaced, so that what libraries forget to give back doesn't add up.
CASES = 5000
#: Seconds that a process may take to import everything, on however busy a machine.
START = 600.0


class Worker:
    """A process that tries cases; a new one takes its place when it hangs or dies.

    Parameters
    ----------
    kinds : list of str
        Of the cases that will come.
    """

    def __init__(self, kinds: list[str]) -> None:
        self.kinds, self.tried, self.hangs = kinds, 0, False
        self.scratch = Path(tempfile.mkdtemp(prefix="esc-hostile-"))
        self._start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.scratch, self.kinds), daemon=True)
        self.process.start()
        theirs.close()
        self.tried, self.hangs = 0, False
        if not self.pipe.poll(START):
            raise TimeoutError("the process for hostile cases did not start.")
        try:
            self.pipe.recv()
        except EOFError:
            raise RuntimeError(f"the process for hostile cases did not start: {self._said()}") from None

    def _stop(self) -> None:
        with suppress(OSError):
            self.pipe.send(None)
        self.process.join(0 if self.hangs else 10)
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def _said(self) -> str:
        """Return the end of what the process wrote to its outputs."""
        return (self.scratch / "said").read_text(errors="replace")[-2000:] if (self.scratch / "said").exists() else ""

    def run(self, kind: str, seed: int, number: int) -> Outcome:
        """Try a case."""
        if self.tried >= CASES:
            self._stop()
            self._start()
        self.tried += 1
        self.pipe.send((kind, seed, number))
        problem = self._waited()
        if problem is None:
            try:
                outcome: Outcome | RuntimeError = self.pipe.recv()
            except (EOFError, OSError):
                self.process.join()
                problem = Outcome("crash", about=f"exit code {self.process.exitcode}: {self._said()[-300:]!r}")
            else:
                if isinstance(outcome, Outcome):
                    return outcome
                problem = Outcome("crash", about=str(outcome))  # of what makes cases: told as a fault, and the others go on
        self._stop()
        self._start()
        return problem

    def _waited(self) -> Outcome | None:
        """Wait for an answer, or the end of the process; return the outcome of a case that takes too long."""
        start, process = time.monotonic(), psutil.Process(self.process.pid)
        before: float | None = None
        while not self.pipe.poll(0.5):
            try:
                used = sum(process.cpu_times()[:2])
            except psutil.Error:
                return None
            before = used if before is None else before
            waited = time.monotonic() - start
            if used - before > MOST_SECONDS or waited > MOST_WAITING:
                self.hangs = True
                return Outcome("hang", about=f"{used - before:.0f} s of a processor, {waited:.0f} s in all", seconds=waited)
        return None


def outcomes(
    kinds: list[str], seed: int, count: int, first: int = 0, until: float | None = None, processes: int = 1
) -> Iterator[tuple[str, int, Outcome]]:
    """Try cases in turn, one of each kind after the other, and yield kind, number and outcome.

    Parameters
    ----------
    count : int
        Of each kind.
    first : int
        Number of the first.
    until : float, optional
        A time of `time.monotonic` at which no new case is begun.
    processes : int
        That try cases beside each other; with several the order differs from run to run, and nothing else.
    """
    asked = iter([(kind, number) for number in range(first, first + count) for kind in kinds])
    found: queue.SimpleQueue[tuple[str, int, Outcome] | BaseException | None] = queue.SimpleQueue()
    turn, ended = threading.Lock(), threading.Event()

    def work() -> None:
        try:
            with Worker(kinds) as worker:
                while not ended.is_set() and (until is None or time.monotonic() <= until):
                    with turn:
                        kind, number = next(asked)
                    found.put((kind, number, worker.run(kind, seed, number)))
        except StopIteration:
            found.put(None)
        except BaseException as error:
            found.put(error)
        else:
            found.put(None)

    threads = [threading.Thread(target=work, name=f"hostile {i}") for i in range(processes)]
    for thread in threads:
        thread.start()
    try:
        yield from _each(found, processes)
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _each(
    found: queue.SimpleQueue[tuple[str, int, Outcome] | BaseException | None], sources: int
) -> Iterator[tuple[str, int, Outcome]]:
    """Yield what comes until all sources have said that nothing more does."""
    while sources:
        one = found.get()
        if isinstance(one, BaseException):
            raise one
        if one is None:
            sources -= 1
        else:
            yield one
