"""``python -m tests.faults``: let every job meet every fault, many times, and print what became of it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from tests.hostile.case import Outcome
from tests.hostile.report import end_of, tallied
from tests.hostile.report import parser as usual_parser

from .jobs import JOBS, available
from .kinds import KINDS, forbidden
from .runner import Runner


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line; a case is a job that meets a fault."""
    made = usual_parser("tests.faults", __doc__, list(KINDS), list(KINDS), 3)
    made.add_argument("--jobs", nargs="+", default=available(), choices=list(JOBS), metavar="JOB", help=", ".join(JOBS))
    return made


def outcomes(
    kinds: list[str], jobs: list[str], seed: int, count: int, first: int = 0, until: float | None = None
) -> Iterator[tuple[str, int, Outcome, str]]:
    """Let jobs meet faults in turn, and yield kind, number and outcome of each, and the option that asks for the job.

    Parameters
    ----------
    count : int
        Of each kind with each job that it is for.
    until : float, optional
        A time of `time.monotonic` at which nothing new is begun.
    """
    with Runner() as runner:
        for number in range(first, first + count):
            for kind in (kind for kind in kinds if not forbidden(kind)):
                for job in (job for job in jobs if job in (KINDS[kind] or jobs)):
                    if until is not None and time.monotonic() > until:
                        return
                    yield kind, number, runner.run(kind, job, seed, number), f"--jobs {job} "


def main() -> int:
    """Return 1 if there was a fault."""
    asked = parser().parse_args()
    tallies = tallied(asked, outcomes(asked.only, asked.jobs, asked.seed, asked.count, asked.first, end_of(asked)))
    return int(any(tally.faults for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
