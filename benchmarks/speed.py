"""Time and memory of one upscale on this machine, beside other ways to compute it and what else a user would pick.

    PYTHONPATH=. python benchmarks/speed.py --models ESC-lt-x4 ESC-x2 --kinds fused float32 bfloat16
    PYTHONPATH=. python benchmarks/speed.py --models ESC-lt-x4 SwinIR-light-x4 SPAN-x4 --kinds float32 --together
    PYTHONPATH=. python benchmarks/speed.py --authors path/to/esc_arch.py path/to/esc_fp_arch.py
    PYTHONPATH=. python benchmarks/speed.py --before path/to/another/checkout --busy 0 2

Each candidate lives in a process of its own, as for a user; where its memory lies is luck, so that it gets several, one
after the other. They run in turn, round after round, and a ratio is of two runs of one round. A round in which other
programs computed is thrown away, and no table is written if that happens too often; with `--busy 2` two processes compute
beside on purpose, and the table says so ("0 2": both in one run).

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
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import torch
from candidate import Candidate, Work
from networks import is_classic, is_peer, model_of
from quiet import BusyError, Company, Others, check_quiet, quiet_rounds
from speed_tables import Group, Timing, brief, head, pair, row, table
from timing import Taken, ceilings, in_turn

from esc_plugin.device import PRECISIONS


def works(name: str, side: int, args: argparse.Namespace) -> list[Work]:
    """Return the ways to run a network that there are and that are asked for, what they are compared with first."""
    if is_peer(name):
        return [Work(name, "peer", side)]
    files = tuple(str(file.resolve()) for file in args.authors)
    found = [Work(name, f"authors {attention}", side, authors=files) for attention in args.attention if files]
    kinds = [kind for kind in args.kinds if kind in PRECISIONS or is_classic(model_of(name).config)]
    for kind in kinds:
        found.append(Work(name, kind, side))
        found += [replace(found[-1], without=library) for library in args.without if kind in PRECISIONS]
    if args.before:
        return [each for work in found for each in (replace(work, checkout=str(args.before)), work)]
    return found


def groups(args: argparse.Namespace) -> list[list[Work]]:
    found = [works(name, side, args) for side, name in product(args.sizes, args.models)]
    if not args.together:
        return found
    return [[work for group in found for work in group if work.side == side] for side in args.sizes]


def compare(asked: Sequence[Work], args: argparse.Namespace, others: Others, company: Company) -> Group:
    """Run candidates in turn, in as many sets of processes as are asked for: each has its own luck with memory."""
    sets = [compare_once(asked, args.busy, args.repeat, others, company) for _ in range(args.processes)]
    same = zip(*(each.timings for each in sets), strict=True)
    timings = [replace(one[0], taken=[taken for each in one for taken in each.taken]) for one in same]
    return Group(timings, [load for each in sets for load in each.loads], sum(each.thrown for each in sets))


def compare_once(asked: Sequence[Work], busy: Sequence[int], repeat: int, others: Others, company: Company) -> Group:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["ESC-lt-x4", "ESC-x2", "ESC-FP-x2", "esc-nano-x2", "esc-nano-x4"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256], help="edges of the image")
    parser.add_argument("--kinds", nargs="+", choices=["plain", "fused", *PRECISIONS])
    parser.add_argument("--without", nargs="*", default=[], help="libraries that ours does without, in rows of their own")
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
    parser.add_argument("--repeat", type=int, default=3, help="rounds in each set of processes")
    parser.add_argument("--processes", type=int, default=2, help="sets of processes, one after the other")
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
                found.append(compare(asked, args, others, company))
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
