"""Peak memory of one upscale, measured from outside the process, against its limit.

    PYTHONPATH=. python benchmarks/memory.py --model ESC-lt-x4 --sides 512 1024 --limits 1 2 4

For each case a fresh process loads the network (with random weights unless it is bundled), reports that it is idle, and
upscales a square RGB image into a file. The parent polls its resident memory; the peak is what it took beyond the idle
state. Prints a table (without seconds where other programs computed) and, with --json, writes the rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import torch
from quiet import Others, allowed
from timing import machine, watched_peak

GIB = 2**30
CHILD = """
import sys, time
import numpy as np
import torch
from esc_plugin.engine.maps import FileMap
from esc_plugin.upscaler import Upscaler

folder, name, side, limit, precision = *sys.argv[1:3], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
sys.path.append(folder)
from networks import model_of

model = model_of(name)
upscaler = Upscaler(model, device="cpu", precision=precision, memory_limit=int(limit * 2**30))
pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, side, side), np.uint8))


class Image:
    def read(self, region):
        return pixels[..., region.top : region.bottom, region.left : region.right].float() / 255


class Output(FileMap):
    def write(self, region, tensor):
        super().write(region, (tensor * 255).round_().clamp_(0, 255))


warm = torch.rand(1, 3, 64, 64)
upscaler.run(warm)
plan = upscaler.plan(side, side)
print("idle", plan.device_bytes, plan.disk_bytes, flush=True)
sys.stdin.readline()
start = time.perf_counter()
output = Output((1, side * model.scale, side * model.scale, 3), torch.uint8)
upscaler.stream(Image(), output, side, side)
print("done", time.perf_counter() - start, flush=True)
sys.stdin.readline()
"""


def measure(model: str, side: int, limit: float, precision: str) -> dict[str, Any]:
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), model, str(side), str(limit), precision]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as child:
        assert child.stdin
        assert child.stdout
        word, *values = child.stdout.readline().split()
        row: dict[str, Any] = {"model": model, "side": side, "limit_gib": limit, "precision": precision}
        if word != "idle":
            return row | {"error": " ".join([word, *values])}
        predicted, disk = (int(v) for v in values)
        idle, others, told = psutil.Process(child.pid).memory_info().rss, Others(), []
        child.stdin.write("\n")
        child.stdin.flush()
        answers = child.stdout
        reader = threading.Thread(target=lambda: told.append(answers.readline()))
        reader.start()
        peak = watched_peak(child.pid, reader.is_alive)
        load = others.cores()
        child.communicate("\n")
    if not told[0]:
        return row | {"error": "it ended before it was done"}
    seconds = float(told[0].split()[1])
    return row | {
        "others": load,
        "predicted_gib": predicted / GIB,
        "disk_gib": disk / GIB,
        "peak_gib": (peak - idle) / GIB,
        "seconds": seconds,
        "microseconds_per_pixel": seconds / side**2 * 1e6,
    }


def cells(row: dict[str, Any]) -> str:
    """Return a row's part of the table. Seconds of a busy machine are left out: peaks don't depend on it, they do."""
    if "error" in row:
        return str(row["error"])
    found = [f"{row[name]:.2f}" for name in ("predicted_gib", "peak_gib", "disk_gib")]
    quiet = row["others"] <= allowed()
    return " | ".join(found + [f"{row[name]:.2f}" if quiet else "busy" for name in ("seconds", "microseconds_per_pixel")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", default="ESC-lt-x4")
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--limits", type=float, nargs="+", default=[1, 2, 4])
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--json")
    args = parser.parse_args()
    print(f"{args.model}, {args.precision}. {machine(torch.get_num_threads())}.\n")
    print("| image | limit GiB | predicted | peak | files GiB | seconds | µs/pixel |\n|---|---|---|---|---|---|---|")
    rows = []
    for side in args.sides:
        for limit in args.limits:
            row = measure(args.model, side, limit, args.precision)
            rows.append(row)
            print(f"| {side}x{side} | {limit:g} | {cells(row)} |", flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
