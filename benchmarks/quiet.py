"""Whether a machine is quiet: what all benchmarks that time do about other programs.

Other work spoils a time, and a machine's speed drifts. So what is compared runs in turn, round after round, and a ratio is
of two runs of one round. While a round runs, `Others` tells on how many cores other programs computed; a round in which
they took more than `MOST_BUSY` of the machine counts for nothing, and where too many do, there is no table.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

import psutil

T = TypeVar("T")
#: Part of all cores that other programs may take while something is timed.
MOST_BUSY = 0.05
#: Seconds that a load is watched at least: the clocks of processes tick every 10 ms.
WATCHED = 1.0
#: How often a busy machine is looked at before it is given up.
PATIENCE = 10
#: Rounds that may be spoilt, if not more are asked for.
LEAST_TRIES = 3


class BusyError(Exception):
    """Other programs computed while something was timed."""


def clocks() -> tuple[float, float, float]:
    """Return seconds that passed, that all cores computed, and that this process and its children did."""
    times = psutil.cpu_times()
    waited = times.idle + getattr(times, "iowait", 0)
    twice = getattr(times, "guest", 0) + getattr(times, "guest_nice", 0)  # Linux counts them under user and nice too
    return time.monotonic(), sum(times) - waited - twice, sum(map(_computed, _family()))


def _family() -> list[psutil.Process]:
    return [psutil.Process(), *psutil.Process().children(recursive=True)]


def _computed(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system + getattr(times, "children_user", 0) + getattr(times, "children_system", 0))
    return 0.0


class Others:
    """On how many cores programs that aren't ours compute.

    No child may end while it is watched.
    """

    def __init__(self, read: Callable[[], tuple[float, float, float]] = clocks, sleep: Callable[[float], Any] = time.sleep):
        self.read, self.sleep = read, sleep
        self.begin()

    def begin(self) -> None:
        self.start = self.read()

    def cores(self) -> float:
        """Return the cores that others took since `begin`, of which a second at least must have passed."""
        self.sleep(max(0.0, self.start[0] + WATCHED - self.read()[0]))
        wall, all_of_them, ours = (now - before for now, before in zip(self.read(), self.start, strict=True))
        return max(0.0, all_of_them - ours) / wall


def quiet_rounds(
    run: Callable[[int], T], repeat: int, others: Others, cores: int | None = None
) -> tuple[list[T], list[float], int]:
    """Run rounds until so many had the machine for themselves.

    Parameters
    ----------
    run : callable
        Runs a round; it is told how many ran before, so that it can turn the order around.

    Returns
    -------
    tuple
        What each quiet round returned, the cores that others took in it, and how many rounds were thrown away.

    Raises
    ------
    BusyError
        If the machine was busy in as many rounds as were asked for, in three at least.
    """
    found: list[T] = []
    loads: list[float] = []
    busy: list[float] = []
    while len(found) < repeat:
        others.begin()
        result, load = run(len(found) + len(busy)), others.cores()
        if load > allowed(cores):
            busy.append(load)
            if len(busy) == max(repeat, LEAST_TRIES):
                raise BusyError(too_busy(statistics.median(busy), cores))
        else:
            found.append(result)
            loads.append(load)
    return found, loads, len(busy)


def check_quiet(others: Others, cores: int | None = None) -> None:
    """Refuse to begin on a busy machine.

    Raises
    ------
    BusyError
        If other programs compute, and go on for `PATIENCE` looks.
    """
    loads: list[float] = []
    while not loads or loads[-1] > allowed(cores):
        if len(loads) == PATIENCE:
            raise BusyError(too_busy(statistics.median(loads), cores))
        others.begin()
        loads.append(others.cores())


def allowed(cores: int | None = None) -> float:
    """Return the cores that other programs may take."""
    return MOST_BUSY * (cores or psutil.cpu_count() or 1)


def too_busy(load: float, cores: int | None) -> str:
    return (
        f"other programs compute on {load:.2f} cores, {allowed(cores):.2f} is the most beside which times mean something: "
        "end them, or measure a busy machine on purpose with --busy."
    )


COMPANY = """
import os, sys, threading, torch
torch.set_num_threads(1)
going = threading.Event()

def listen():
    for line in sys.stdin:
        going.set() if line == "go\\n" else going.clear()
    os._exit(0)

threading.Thread(target=listen, daemon=True).start()
a = torch.rand(512, 512)
print("ready", flush=True)
while going.wait():
    a @ a
"""


class Company:
    """Processes that compute beside what is timed, each on a thread, while they are told to. They end with this one."""

    def __init__(self, count: int) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.children = [subprocess.Popen([sys.executable, "-c", COMPANY], **pipes) for _ in range(count)]
        for child in self.children:
            assert child.stdout
            child.stdout.readline()

    def compute(self, count: int) -> None:
        """Let so many of them compute, and the rest wait."""
        for i, child in enumerate(self.children):
            assert child.stdin
            child.stdin.write("go\n" if i < count else "wait\n")

    def __enter__(self) -> Company:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for child in self.children:
            child.kill()
            child.communicate()
