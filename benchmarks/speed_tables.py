"""The tables of speed.py: what candidates took, beside the first of them or beside themselves in another checkout."""

from __future__ import annotations

import argparse
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from candidate import Work
from timing import Taken, machine, ratios, spread

Row = dict[str, str]


@dataclass(frozen=True)
class Timing:
    """What a candidate took in each round, beside so many processes that compute."""

    work: Work
    busy: int
    taken: list[Taken]
    told: dict[str, Any]

    def column(self, name: str) -> list[float]:
        return [getattr(taken, name) for taken in self.taken]

    def median(self, name: str) -> float:
        return statistics.median(self.column(name))

    def peak(self) -> str:
        return f"{max(self.column('peak')) / 2**20:.0f}"


@dataclass(frozen=True)
class Group:
    """Candidates that were compared with each other, and how quiet it was."""

    timings: list[Timing]
    loads: list[float]
    thrown: int

    def first(self, busy: int) -> Timing:
        return next(timing for timing in self.timings if timing.busy == busy)

    def of(self, work: Work, busy: int) -> Timing | None:
        return next((timing for timing in self.timings if (timing.work, timing.busy) == (work, busy)), None)


def fair_seconds(idle: Timing, busy: int, threads: int, cores: int) -> float:
    """Return the seconds that a run may take if it gets its share of a machine and wastes nothing of it.

    That is the time of all cores that it takes when idle, by the cores that its threads get beside so many others.
    """
    return idle.median("cpu") / (cores * threads / max(cores, threads + busy))


def row(group: Group, timing: Timing, threads: int) -> Row:
    """Return a candidate's row of the table, beside the first of its group."""
    found = _about(group, timing, timing.work.label)
    found["seconds"] = spread(timing.column("seconds"))
    found["times as long as the first"] = _ratio(timing, group.first(timing.busy))
    found |= _fair(group, timing, threads)
    flop, seconds = timing.told.get("flop"), timing.median("seconds")
    found |= {"CPU s": f"{timing.median('cpu'):.2f}", "peak MiB": timing.peak()}
    return found | {"GFLOP/s": f"{flop / seconds / 1e9:.0f}" if flop else ""}


def pair(group: Group, after: Timing, threads: int) -> Row:
    """Return a row of the table for what the same candidate takes here and in the other checkout."""
    before = next(
        t for t in group.timings if t.work.checkout and replace(t.work, checkout="") == after.work and t.busy == after.busy
    )
    both = (before, after)
    found = _about(group, after, after.work.label)
    found["s, before / after"] = " / ".join(f"{each.median('seconds'):.2f}" for each in both)
    found["after / before"] = _ratio(after, before)
    found |= _fair(group, after, threads)
    found["CPU s, before / after"] = " / ".join(f"{each.median('cpu'):.2f}" for each in both)
    return found | {"peak MiB, before / after": " / ".join(each.peak() for each in both)}


def brief(found: Sequence[Group], together: bool) -> list[Row]:
    """Return a row of seconds for each network or, where all are compared with the first, of ratios for each candidate."""
    rows: dict[str, Row] = {}
    for group, timing in [(each, timing) for each in found for timing in each.timings if not timing.work.checkout]:
        work, beside = timing.work, f", beside {timing.busy}" if timing.busy else ""
        kind = "" if together else work.label.removeprefix(work.name).strip()
        name = work.label if together else work.name
        cell = _ratio(timing, group.first(timing.busy)) if together else seconds_of(timing)
        rows.setdefault(name, {"network": name})[f"{work.side}x{work.side} {kind}".rstrip() + beside] = cell
    return list(rows.values())


def seconds_of(timing: Timing) -> str:
    seconds = timing.median("seconds")
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.0f}"


def _about(group: Group, timing: Timing, label: str) -> Row:
    beside = {"beside": str(timing.busy)} if any(each.busy for each in group.timings) else {}
    return {"network": label, "image": f"{timing.work.side}x{timing.work.side}"} | beside


def _ratio(timing: Timing, reference: Timing) -> str:
    return "1" if timing is reference else spread(ratios(timing.column("seconds"), reference.column("seconds")))


def _fair(group: Group, timing: Timing, threads: int) -> Row:
    idle = group.of(timing.work, 0)
    if not timing.busy or not idle:
        return {}
    fair = fair_seconds(idle, timing.busy, threads, psutil.cpu_count() or 1)
    return {"times its fair share": f"{timing.median('seconds') / fair:.2f}"}


def table(rows: Sequence[Row]) -> str:
    """Return rows as Markdown. Columns that a row lacks are empty there."""
    names = list(dict.fromkeys(name for row in sorted(rows, key=len, reverse=True) for name in row))
    lines = [names, ["---"] * len(names), *([row.get(name, "") for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def head(found: Sequence[Group], rates: Sequence[dict[str, float]], args: argparse.Namespace) -> str:
    """Return what must be known to read the table."""
    loads, thrown = [load for group in found for load in group.loads], sum(group.thrown for group in found)
    lines = [
        f"{machine(args.threads)}.",
        f"Medians (least to largest) of {args.repeat} rounds in turn in each of {args.processes} sets of processes.",
        f"Other programs took {min(loads):.2f} to {max(loads):.2f} cores; rounds thrown away: {thrown}.",
    ]
    if any(args.busy):
        counts = " and ".join(map(str, args.busy))
        lines.append(f"Beside on purpose: {counts} processes that multiply matrices, on a thread each.")
    if args.before:
        lines.append(f"Before is {commit(args.before)}, after {commit(Path(__file__).parent)}.")
    ceiling = ", ".join(f"{name} {rates[0][name]:.0f} / {rates[1][name]:.0f}" for name in rates[0])
    lines.append(f"Ceilings before / after all, GFLOP/s: {ceiling}.")
    apart = {t.work.label: t.told["difference"] for group in found for t in group.timings if "difference" in t.told}
    lines += [f"{label}: its result differs from ours by {value:.1e} at most, of 0..1." for label, value in apart.items()]
    return "\n".join(lines)


def commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "of no commit"
