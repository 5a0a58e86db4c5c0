"""``python -m tests.faults``: let every job meet every fault, many times, and print what became of it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tests.hostile.__main__ import table
from tests.hostile.case import Outcome, Tally

from .jobs import JOBS, available
from .kinds import KINDS, forbidden
from .runner import Runner


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    made.add_argument("--seed", type=int, default=0, help="decides what is left to chance")
    made.add_argument("--count", type=int, default=3, help="times that a job meets a fault")
    made.add_argument("--first", type=int, default=0, metavar="NUMBER", help="number of the first time")
    made.add_argument("--only", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="FAULT", help=", ".join(KINDS))
    made.add_argument("--jobs", nargs="+", default=available(), choices=list(JOBS), metavar="JOB", help=", ".join(JOBS))
    made.add_argument("--minutes", type=float, help="begin nothing after so much time")
    made.add_argument("--out", type=Path, help="a JSON file for the results")
    return made


def outcomes(
    kinds: list[str], jobs: list[str], seed: int, count: int, first: int = 0, until: float | None = None
) -> Iterator[tuple[str, str, int, Outcome]]:
    """Let jobs meet faults in turn, and yield kind, job, number and outcome of each.

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
                    yield kind, job, number, runner.run(kind, job, seed, number)


def main() -> int:
    """Return 1 if there was a fault."""
    for number in (signal.SIGINT, signal.SIGTERM):  # what is mounted mustn't stay, nor what was found be lost
        signal.signal(number, signal.default_int_handler)
    asked = parser().parse_args()
    until = None if asked.minutes is None else time.monotonic() + 60 * asked.minutes
    tallies = {kind: Tally(kind) for kind in asked.only}
    with suppress(KeyboardInterrupt):  # then the table is of what was tried
        for kind, job, number, outcome in outcomes(asked.only, asked.jobs, asked.seed, asked.count, asked.first, until):
            before = len(tallies[kind].faults)
            tallies[kind].add(number, outcome)
            if len(tallies[kind].faults) > before:
                again = f"--seed {asked.seed} --only {kind} --jobs {job} --first {number} --count 1"
                print(f"FAULT {outcome.result} ({again}): {outcome.what}: {outcome.about}", flush=True)
    print(table(list(tallies.values())))
    if asked.out:
        found = [asdict(tally) for tally in tallies.values()]
        asked.out.write_text(json.dumps({"seed": asked.seed, "kinds": found}, indent=1), encoding="utf-8")
    return int(any(tally.faults for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
