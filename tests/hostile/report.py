"""Commands that try much, and say what became of it."""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from .case import Outcome, Tally

HEAD = ("kind", "cases", "right", "refused", "faults", "seconds", "peak MiB", "refused by")
#: Of a kind, for the file of results.
MOST_REASONS = 40


def parser(program: str, about: str | None, kinds: list[str], usual: list[str], count: int) -> argparse.ArgumentParser:
    """Return what reads the options that all such commands have.

    Parameters
    ----------
    kinds, usual : list of str
        What can be asked for, and what is tried if nothing is.
    count : int
        Cases of each kind, if nothing else is asked for.
    """
    made = argparse.ArgumentParser(prog=f"python -m {program}", description=about)
    made.add_argument("--seed", type=int, default=0, help="decides all that is left to chance")
    made.add_argument("--count", type=int, default=count, help="cases of each kind")
    made.add_argument("--first", type=int, default=0, metavar="NUMBER", help="number of the first one")
    made.add_argument("--only", nargs="+", default=usual, choices=kinds, metavar="KIND", help=", ".join(kinds))
    made.add_argument("--minutes", type=float, help="begin no case after so much time")
    made.add_argument("--out", type=Path, help="a JSON file for the results")
    return made


def end_of(asked: argparse.Namespace) -> float | None:
    """Return the time of `time.monotonic` after which no case is begun."""
    return None if asked.minutes is None else time.monotonic() + 60 * asked.minutes


def tallied(asked: argparse.Namespace, tried: Iterable[tuple[str, int, Outcome, str]]) -> list[Tally]:
    """Count what comes, print each fault as it is found, and at the end a table, and write the file of results.

    Parameters
    ----------
    tried : iterable of (str, int, Outcome, str)
        Kind, number, what became of it, and what else has to be asked for to have it again.
    """
    for ending in (signal.SIGINT, signal.SIGTERM):  # the first is ignored by what a shell starts in the background
        signal.signal(ending, signal.default_int_handler)
    tallies = {kind: Tally(kind) for kind in asked.only}
    with suppress(KeyboardInterrupt):  # then the table is of what was tried
        for kind, number, outcome, more in tried:
            before = len(tallies[kind].faults)
            tallies[kind].add(number, outcome)
            if len(tallies[kind].faults) > before:
                again = f"--seed {asked.seed} --only {kind} {more}--first {number} --count 1"
                print(f"FAULT {outcome.result} ({again}): {outcome.what}: {outcome.about}", flush=True)
    found = list(tallies.values())
    print(table(found))
    if asked.out:
        kinds = [asdict(tally) | {"reasons": dict(tally.reasons.most_common(MOST_REASONS))} for tally in found]
        asked.out.write_text(json.dumps({"seed": asked.seed, "kinds": kinds}, indent=1), encoding="utf-8")
    return found


def summary(tallies: list[Tally], waited: float) -> str:
    """Return in a sentence what became of all cases, after so many seconds."""
    whole = _sum(tallies)
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
