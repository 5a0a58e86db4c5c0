"""Time of one upscale on a machine that does nothing else, and on one where other programs compute.

    PYTHONPATH=. python benchmarks/busy.py --others 2 --json busy.json

"chunks" is what `Upscaler.run` does: a chunk for each thread. "shared" has one chunk at a time, whose operations all threads
share. They run in turn in one process, on an idle machine first, then beside processes that multiply matrices on one thread
each; medians are told. A fair scheduler gives the same time to each thread that wants to run: with N others, T threads of
ours get T C / max(N + T, C) of C cores. "fair" is the wall time over what the CPU seconds of the idle machine would take
with that; 1 is as good as it gets.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from esc_plugin import runner
from esc_plugin.catalog.load import load_model
from esc_plugin.device import cores, usable_threads
from esc_plugin.engine import Plan
from esc_plugin.network import ESC, released
from esc_plugin.upscaler import Upscaler
from esc_plugin.weights.model import Model

#: What the other programs do.
LOAD = "import torch; torch.set_num_threads(1); a = torch.rand(256, 256)\nwhile True: a @ a"
#: Seconds until they have begun.
BEGINNING = 5.0

make_plan = runner.make_plan


def shared(*arguments: Any) -> Plan:
    """Return the plan for one chunk at a time."""
    return replace(make_plan(*arguments), workers=1)


def model_named(name: str) -> Model:
    """Return a bundled model, or one of the released sizes with random weights, such as ESC-lt-x4."""
    if name.startswith("esc-"):
        return load_model(name)
    family, scale = name.rsplit("-x", 1)
    config = released(family, int(scale))
    return Model(ESC(config).eval().requires_grad_(False), config, name, "random", "")


@contextmanager
def others(count: int) -> Iterator[None]:
    """Let so many processes compute meanwhile."""
    found = [subprocess.Popen([sys.executable, "-c", LOAD]) for _ in range(count)]
    try:
        if found:
            time.sleep(BEGINNING)
        yield
    finally:
        for process in found:
            process.kill()
            process.wait()


def timed(upscaler: Upscaler, image: torch.Tensor, plan: Any) -> tuple[float, float]:
    """Return the wall and the CPU seconds of a run."""
    runner.make_plan = plan
    wall, cpu = time.perf_counter(), time.process_time()
    upscaler.run(image)
    return time.perf_counter() - wall, time.process_time() - cpu


def measured(upscaler: Upscaler, image: torch.Tensor, repeat: int) -> dict[str, tuple[float, float]]:
    """Return the medians of both ways, in turn."""
    ways = {"chunks": make_plan, "shared": shared}
    rounds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for i in range(repeat):
        for way in list(ways)[:: 1 if i % 2 else -1]:
            rounds[way].append(timed(upscaler, image, ways[way]))
    return {way: tuple(map(statistics.median, zip(*found, strict=True))) for way, found in rounds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", default=["ESC-lt-x4", "esc-nano-x2"])
    parser.add_argument("--sides", nargs="+", type=int, default=[256, 512])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--others", type=int, default=cores(), help="processes that compute beside")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    cases = [
        (name, precision, side, Upscaler(model_named(name), device="cpu", precision=precision), torch.rand(1, 3, side, side))
        for name in args.models
        for precision in args.precisions
        for side in args.sides
    ]
    print(f"load before: {os.getloadavg()[0]:.1f}, of {cores()} cores, {usable_threads()} threads")
    for *_, upscaler, image in cases:
        timed(upscaler, image, make_plan)
    idle = [measured(upscaler, image, args.repeat) for *_, upscaler, image in cases]
    share = cores() / max(args.others + args.threads, cores()) * args.threads
    print("| model, precision | side | idle s, chunks / shared | CPU s | busy s, chunks / shared | CPU s | fair |")
    print("|---|---|---|---|---|---|---|", flush=True)
    rows = []
    with others(args.others):
        for (name, precision, side, upscaler, image), alone in zip(cases, idle, strict=True):
            busy = measured(upscaler, image, args.repeat)
            fair = {way: busy[way][0] * share / alone["chunks"][1] for way in busy}
            pairs = [[part[way][i] for way in busy] for part in (alone, busy) for i in (0, 1)] + [list(fair.values())]
            told = (" / ".join(f"{value:.2f}" for value in pair) for pair in pairs)
            print(f"| {name}, {precision} | {side} | {' | '.join(told)} |", flush=True)
            rows.append({"model": name, "precision": precision, "side": side, "idle": alone, "busy": busy, "fair": fair})
    print(f"load after: {os.getloadavg()[0]:.1f}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
