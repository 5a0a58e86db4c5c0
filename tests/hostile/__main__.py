"""``python -m tests.hostile``: try hostile input by the thousand, and print what became of it."""

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

from .case import Outcome, Tally
from .kinds import KINDS, available
from .runner import outcomes

HEAD = ("kind", "cases", "right", "refused", "faults", "seconds", "peak MiB", "refused by")
#: Seconds between two lines that say how far it is; where a person looks on, one line is written again and again.
PAUSE, PAUSE_OF_TERMINAL = 60.0, 1.0
#: Of a kind, for the file of results.
MOST_REASONS = 40


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    made.add_argument("--seed", type=int, default=0, help="decides all cases; the same one makes the same ones")
    made.add_argument("--count", type=int, default=100, help="cases of each kind")
    made.add_argument("--first", type=int, default=0, metavar="NUMBER", help="number of the first one")
    made.add_argument("--only", nargs="+", default=available(), choices=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    made.add_argument("--processes", type=int, default=1, metavar="N", help="try so many beside each other")
    made.add_argument("--minutes", type=float, help="begin no case after so much time")
    made.add_argument("--reasons", type=int, default=0, metavar="N", help="print the N commonest refusals of each kind")
    made.add_argument("--out", type=Path, help="a JSON file for the results")
    return made


def main() -> int:
    """Return 1 if there was a fault."""
    asked = parser().parse_args()
    for ending in (signal.SIGINT, signal.SIGTERM):  # the first is ignored by what a shell starts in the background
        signal.signal(ending, signal.default_int_handler)
    start = time.monotonic()
    until = None if asked.minutes is None else start + 60 * asked.minutes
    tallies = {kind: Tally(kind) for kind in asked.only}
    with suppress(KeyboardInterrupt):  # then the table is of what was tried
        tried = outcomes(asked.only, asked.seed, asked.count, asked.first, until, max(asked.processes, 1))
        for kind, number, outcome in told(tried, asked.count * len(asked.only)):
            before = len(tallies[kind].faults)
            tallies[kind].add(number, outcome)
            if len(tallies[kind].faults) > before:
                again = f"--seed {asked.seed} --only {kind} --first {number} --count 1"
                print(f"FAULT {outcome.result} ({again}): {outcome.what}: {outcome.about}", flush=True)
    print(table(list(tallies.values())))
    for tally in tallies.values() if asked.reasons else ():
        print(f"\n{tally.kind}: {tally.right:,} right")
        print("\n".join(f"{count:9,}  {reason}" for reason, count in tally.reasons.most_common(asked.reasons)))
    print("\n" + summary(_sum(list(tallies.values())), time.monotonic() - start))
    if asked.out:
        found = [asdict(tally) | {"reasons": dict(tally.reasons.most_common(MOST_REASONS))} for tally in tallies.values()]
        asked.out.write_text(json.dumps({"seed": asked.seed, "kinds": found}, indent=1), encoding="utf-8")
    return int(any(tally.faults for tally in tallies.values()))


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


def summary(whole: Tally, waited: float) -> str:
    """Return in a sentence what became of all cases."""
    refused, classes = sum(whole.refused.values()), ", ".join(sorted(whole.refused))
    faults = "".join(f" ({name})" for name in sorted({outcome.result for _, outcome in whole.faults}))
    return (
        f"{whole.cases:,} cases, {len(whole.faults):,} faults{faults}: {whole.right:,} were taken and right, {refused:,} "
        f"were refused in one line, by errors of ours alone ({classes}). {waited:,.0f} s, {whole.seconds:,.0f} s of a "
        f"processor, at most {whole.peak / 2**20:.0f} MiB above what the process had."
    )


def table(tallies: list[Tally]) -> str:
    """Return what became of all cases, a line for each kind."""
    rows = [HEAD, *(_row(tally) for tally in tallies), _row(_sum(tallies))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = [
        "  ".join(
            cell.ljust(w) if i in (0, len(HEAD) - 1) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _row(tally: Tally) -> tuple[str, ...]:
    counts = [tally.cases, tally.right, sum(tally.refused.values()), len(tally.faults)]
    by = ", ".join(f"{name} {count:,}" for name, count in sorted(tally.refused.items(), key=lambda pair: -pair[1]))
    return (tally.kind, *(f"{count:,}" for count in counts), f"{tally.seconds:.0f}", f"{tally.peak / 2**20:.0f}", by)


def _sum(tallies: list[Tally]) -> Tally:
    whole = Tally("all")
    for tally in tallies:
        whole.cases, whole.right = whole.cases + tally.cases, whole.right + tally.right
        whole.seconds, whole.peak = whole.seconds + tally.seconds, max(whole.peak, tally.peak)
        whole.faults = whole.faults + tally.faults
        for name, count in tally.refused.items():
            whole.refused[name] = whole.refused.get(name, 0) + count
    return whole


if __name__ == "__main__":
    sys.exit(main())
