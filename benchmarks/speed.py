"""Time and memory of one upscale on this machine, beside other ways to compute it and what else a user would pick.

    PYTHONPATH=. python benchmarks/speed.py --models ESC-lt-x4 ESC-x2 --kinds fused float32 bfloat16
    PYTHONPATH=. python benchmarks/speed.py --models ESC-lt-x4 SwinIR-light-x4 SPAN-x4 --kinds float32 --together
    PYTHONPATH=. python benchmarks/speed.py --authors path/to/esc_arch.py path/to/esc_fp_arch.py
    PYTHONPATH=. python benchmarks/speed.py --before path/to/another/checkout --busy 0 2

Each candidate lives in a process of its own, as for a user. They run in turn, round after round, and a ratio is of two runs
of one round. A round in which other programs computed is thrown away, and no table is written if that happens too often;
with `--busy 2` two processes compute beside on purpose, and the table says so ("0 2": both in one run).

Kinds: "fused" is a plain reading of the paper (tests/oracle.py) with torch's scaled_dot_product_attention, "plain" the same
with the attention written out; the precisions are what `Upscaler.run` does. The authors' own file is run as it is, with the
same weights, and how far its result is from ours is told. Peers come from spandrel. Weights are random but for the bundled
models. The ratio is to the first candidate of the same network and image; with `--together`, to the first of all; with
`--before`, to the same candidate there. The peak is what the process took beyond what it had with the network loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import psutil
import torch
from candidate import Candidate, Work
from networks import is_classic, is_peer, model_of
from quiet import BusyError, Company, Others, check_quiet, quiet_rounds
from timing import Taken, ceilings, in_turn, machine, ratios, spread

from esc_plugin.device import PRECISIONS

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


def works(name: str, side: int, args: argparse.Namespace) -> list[Work]:
    """Return the ways to run a network that there are and that are asked for, what they are compared with first."""
    if is_peer(name):
        return [Work(name, "peer", side)]
    files = tuple(str(file.resolve()) for file in args.authors)
    found = [Work(name, f"authors {attention}", side, authors=files) for attention in args.attention if files]
    kinds = [kind for kind in args.kinds if kind in PRECISIONS or is_classic(model_of(name).config)]
    for kind in kinds:
        found.append(Work(name, kind, side))
        found += [replace(found[-1], without=library) for library in args.without if kind == "bfloat16"]
    if args.before:
        return [each for work in found for each in (replace(work, checkout=str(args.before)), work)]
    return found


def groups(args: argparse.Namespace) -> list[list[Work]]:
    found = [works(name, side, args) for side, name in product(args.sizes, args.models)]
    if not args.together:
        return found
    return [[work for group in found for work in group if work.side == side] for side in args.sizes]


def compare(asked: Sequence[Work], busy: Sequence[int], repeat: int, others: Others, company: Company) -> Group:
    """Run candidates in turn, in each round beside as many processes as are asked for, one number after the other."""
    candidates: list[Candidate] = []

    def run(number: int) -> dict[tuple[Work, int], Taken]:
        found: dict[tuple[Work, int], Taken] = {}
        for count in busy:
            company.compute(count)
            found |= {(candidate.work, count): candidate.run() for candidate in in_turn(candidates, number)}
        company.compute(0)
        return found

    with ExitStack() as running:
        for work in asked:
            candidates.append(Candidate(work))
            running.callback(candidates[-1].end)
        rounds, loads, thrown = quiet_rounds(run, repeat, others)
        for candidate in candidates:
            candidate.compare()
    timings = [
        Timing(each.work, count, [found[each.work, count] for found in rounds], each.told)
        for count in busy
        for each in candidates
    ]
    return Group(timings, loads, thrown)


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
        f"{machine(args.threads)}. Medians of {args.repeat} rounds in turn (least to largest).",
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["ESC-lt-x4", "ESC-x2", "ESC-FP-x2", "esc-nano-x2", "esc-nano-x4"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256], help="edges of the image")
    parser.add_argument("--kinds", nargs="+", choices=["plain", "fused", *PRECISIONS])
    parser.add_argument(
        "--without", nargs="*", default=[], help="libraries that bfloat16 does without, in rows of their own"
    )
    parser.add_argument("--together", action="store_true", help="compare all models with the first")
    parser.add_argument(
        "--brief", action="store_true", help="a row of seconds for each network, or of ratios with --together"
    )
    parser.add_argument(
        "--authors", nargs="*", default=[], type=Path, metavar="FILE", help="the authors' own esc_arch.py, ..."
    )
    parser.add_argument("--attention", nargs="+", default=["SDPA"], help="of their network: SDPA, Naive, Flex")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another checkout of this project to compare with")
    parser.add_argument("--busy", nargs="+", type=int, default=[0], metavar="N", help="processes that compute beside")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.kinds = args.kinds or ([] if args.before else ["fused"]) + ["float32", "bfloat16"]
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    torch.set_num_threads(args.threads)
    precisions = [kind for kind in args.kinds if kind in PRECISIONS] or ["float32"]
    others, found, rates = Others(), [], []
    try:
        with Company(max(args.busy)) as company:
            check_quiet(others)
            rates.append(ceilings(precisions))
            for asked in groups(args):
                print(f"{', '.join(work.label for work in asked)} at {asked[0].side}", file=sys.stderr, flush=True)
                found.append(compare(asked, args.busy, args.repeat, others, company))
            rates.append(ceilings(precisions))
    except BusyError as error:
        sys.exit(str(error))
    make = pair if args.before else row
    rows = [make(group, t, args.threads) for group in found for t in group.timings if not t.work.checkout]
    rows = brief(found, args.together) if args.brief else rows
    print(head(found, rates, args), table(rows), sep="\n\n")
    if args.json:
        args.json.write_text(
            json.dumps({"ceilings": rates, "groups": [asdict(group) for group in found]}, indent=1), "utf-8"
        )


if __name__ == "__main__":
    main()
