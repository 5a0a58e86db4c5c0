"""The clock is wrong: it jumps, runs backwards, has never been set; and so do the times of files."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ..job import Job
from ..stage import Stage
from ..truth import FaultError

YEAR = 365.25 * 86400
#: Seconds since 1970: that, before ZIP's first year, today in ten years, past 32 bits, past ZIP's last year.
DATES = (0.0, 1.0, 9 * YEAR, 66 * YEAR, 69 * YEAR, 138 * YEAR)
#: A duration below nothing, or none at all, in what is said.
NONSENSE = re.compile(r"(?<![\w.-])-\d[\d.:]* ?(s|sec|seconds|min|minutes|h|hours|d|days)\b|\bnan\b|\binf\b")


@contextmanager
def fault(stage: Stage) -> Iterator[str]:
    """Change the clock, and the times of all files; sometimes of what a program that was ended left, too."""
    stage.lay()
    began = ""
    if stage.rng.random() < 0.4:  # there is something to go on with
        program = stage.start()
        program.wait_until(moment := stage.moment(0.9))
        program.send(9)
        program.finish(10)
        began = f", ended after {moment:.2f} s before"
    touched = redate(stage.rng, stage.folder, stage.scratch.parent / "homes")
    way, seed = stage.rng.choice(ways(stage.job)), stage.rng.random()
    program = stage.start(partial(change, way, seed))
    program.finish(60 + 10 * stage.seconds)
    if found := NONSENSE.search(program.said):
        raise FaultError("wrong", f"{way}: says {found[0]!r}: {program.said[-300:]!r}")
    if program.process.exitcode != 0 and not program.hung:  # nothing that was asked for depends on the time
        raise FaultError("wrong", f"{way}{began}: exit {program.process.exitcode}: {program.said[-300:]!r}")
    yield f"{way}, {touched} files{began}"


def ways(job: Job) -> list[str]:
    """Return what may happen to the clock of a job.

    Dask connects to its processes until a date: with a clock that stands still or runs backwards it waits for ever, and with
    one that jumps it gives up at once.
    """
    return list(RUNNING if "--workers" in job.arguments else CLOCKS)


def redate(rng: random.Random, *places: Path) -> int:
    """Give files and folders times of any kind, and return how many there are."""
    found = [path for place in places for path in sorted(place.rglob("*")) if not path.is_symlink()]
    for path in found:
        if rng.random() < 0.7:
            date = rng.choice((*DATES, -YEAR, rng.uniform(0, 138 * YEAR)))
            os.utime(path, (date, date))
    return len(found)


def steady(now: Callable[[], float], rng: random.Random) -> Callable[[], float]:
    """Return a clock that is wrong by years."""
    by = rng.uniform(-1, 1) * 50 * YEAR
    return lambda: now() + by


def set_anew(now: Callable[[], float], rng: random.Random) -> Callable[[], float]:
    """Return a clock that shows a date of `DATES`, and goes on from there."""
    start, date = now(), rng.choice(DATES)
    return lambda: date + now() - start


def backwards(now: Callable[[], float], rng: random.Random) -> Callable[[], float]:
    """Return a clock that runs backwards, a hundred times as fast as time passes."""
    start = now()
    return lambda: start - 100 * (now() - start)


def jumping(now: Callable[[], float], rng: random.Random) -> Callable[[], float]:
    """Return a clock that is set by up to a year now and then."""
    by = [0.0]

    def shown() -> float:
        by[0] += rng.uniform(-YEAR, YEAR) if rng.random() < 0.1 else 0
        return max(now() + by[0], 0)

    return shown


def standing(now: Callable[[], float], rng: random.Random) -> Callable[[], float]:
    """Return a clock that stands still."""
    start = now()
    return lambda: start


#: Those that are wrong, but run as clocks do, and all of them.
RUNNING = {one.__name__: one for one in (steady, set_anew)}
CLOCKS = RUNNING | {one.__name__: one for one in (backwards, jumping, standing)}


def change(way: str, seed: float) -> None:
    """Change the clock of this process: what Python asks for the date, not what it measures durations with."""
    now, local, universal = time.time, time.localtime, time.gmtime
    shown = CLOCKS[way](now, random.Random(seed))
    time.time = shown
    time.time_ns = lambda: round(shown() * 1e9)
    time.localtime = lambda seconds=None: local(shown() if seconds is None else seconds)
    time.gmtime = lambda seconds=None: universal(shown() if seconds is None else seconds)
