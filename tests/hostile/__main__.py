"""``python -m tests.hostile``: try hostile input by the thousand, and print what became of it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from .case import Outcome
from .kinds import KINDS, available
from .report import end_of, summary, tallied
from .report import parser as usual_parser
from .runner import outcomes

#: Seconds between two lines that say how far it is; where a person looks on, one line is written again and again.
PAUSE, PAUSE_OF_TERMINAL = 60.0, 1.0


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = usual_parser("tests.hostile", __doc__, list(KINDS), available(), 100)
    made.add_argument("--processes", type=int, default=1, metavar="N", help="try so many beside each other")
    made.add_argument("--reasons", type=int, default=0, metavar="N", help="print the N commonest refusals of each kind")
    return made


def main() -> int:
    """Return 1 if there was a fault."""
    asked, start = parser().parse_args(), time.monotonic()
    tried = outcomes(asked.only, asked.seed, asked.count, asked.first, end_of(asked), max(asked.processes, 1))
    tallies = tallied(asked, ((*one, "") for one in told(tried, asked.count * len(asked.only))))
    for tally in tallies if asked.reasons else ():
        print(f"\n{tally.kind}: {tally.right:,} right")
        print("\n".join(f"{count:9,}  {reason}" for reason, count in tally.reasons.most_common(asked.reasons)))
    print("\n" + summary(tallies, time.monotonic() - start))
    return int(any(tally.faults for tally in tallies))


def told(tried: Iterator[tuple[str, int, Outcome]], count: int) -> Iterator[tuple[str, int, Outcome]]:
    """Hand on what comes, and say on standard error how far it is."""
    here, start = sys.stderr.isatty(), time.monotonic()
    said = start
    for done, one in enumerate(tried, 1):
        yield one
        if (now := time.monotonic()) - said >= (PAUSE_OF_TERMINAL if here else PAUSE) or (here and done == count):
            line = f"{done:,} of {count:,} cases, {done / (now - start):.0f} a second"
            print(
                f"\r{line:60}" if here else line, end="\n" if not here or done == count else "", file=sys.stderr, flush=True
            )
            said = now


if __name__ == "__main__":
    sys.exit(main())
