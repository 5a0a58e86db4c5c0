"""A folder of many small images, by the command line."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from .watch import KIB, MIB, Watch, judged, look, markdown

#: How much longer an image may take among many than among few. Copies of what is known of all, for each, would exceed it.
MOST = 2.0
#: Fewer images say nothing of whether memory grows.
ENOUGH = 1000
#: Seconds: between two looks, and by which two runs of the same may differ.
EVERY, NOISE = 0.5, 0.5


@dataclass(frozen=True)
class Ran:
    """What a command took: seconds, seconds of a processor in all and before the first result, and looks at it."""

    code: int
    seconds: float
    cpu: float
    before: float
    watch: Watch


def make(folder: Path, images: int, side: int) -> None:
    """Write images of noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(images):
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(folder / f"{number:05}.png")


def ran(arguments: Sequence[str], out: Path, temporary: Path) -> Ran:
    """Run `esc-sr upscale` with some arguments, and look at it while it works; a job is a result that is there."""
    command = [sys.executable, "-m", "esc_plugin.cli", "upscale", *arguments]
    watch, start, used, before = Watch(), time.monotonic(), children_cpu(), 0.0
    with (
        (temporary.parent / "log.txt").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"TMPDIR": str(temporary)}) as child,
    ):
        while child.poll() is None:
            try:
                held = look(
                    child.pid, sum(1 for _ in out.iterdir()) if out.is_dir() else 0, time.monotonic() - start, temporary
                )
            except (psutil.Error, OSError):  # it has just ended
                continue
            if held.jobs:
                before = before or sum(psutil.Process(child.pid).cpu_times()[:2])
                watch.add(held)
            time.sleep(EVERY)
    return Ran(child.returncode, time.monotonic() - start, children_cpu() - used, before, watch)


def children_cpu() -> float:
    """Return what processes that have ended took: their time doesn't depend on what else runs."""
    return sum(psutil.Process().cpu_times()[2:4])


def measure(images: int, args: argparse.Namespace, folder: Path) -> tuple[list[str], dict[str, float], list[str]]:
    """Upscale so many images, then once more when all is there; return a row, figures and faults."""
    source, out, temporary = folder / "in", folder / "out", folder / "temporary"
    temporary.mkdir()
    make(source, images, args.side)
    given = [str(source), "-o", str(out), "--model", args.model]
    first = ran(given, out, temporary)
    made = sum(1 for _ in out.iterdir())
    again = ran([*given, "--skip-existing"], out, temporary)
    refused = ran(given, out, temporary)
    (both := folder / "both").mkdir()
    for path in (*source.iterdir(), *out.iterdir()):  # a folder in which results lie beside their images
        path.rename(both / path.name)
    beside = ran([str(both), "--model", args.model, "--skip-existing"], out, temporary)
    faults = [f"{images:,} images: {made:,} results"] if made != images else []
    codes = [run.code for run in (first, again, refused, beside)]
    if codes != [0, 0, 1, 0]:
        faults.append(f"{images:,} images: exit codes {codes}")
    if images >= ENOUGH:
        faults += [f"{images:,} images: {fault}" for fault in first.watch.faults(first.watch.looks[0])]
    growth, error = (value / KIB for value in first.watch.growth("rss"))
    peak = max(held.peak for held in first.watch.looks) / MIB
    each = {"before": first.before, "work": first.cpu - first.before}
    each |= {"again": again.cpu, "refused": refused.cpu, "beside": beside.cpu}
    cells = [f"{images:,}", f"{images / first.seconds:.1f}", f"{peak:.0f}", f"{growth:+,.0f} ± {error:,.0f}"]
    return [*cells, *(f"{seconds:.1f}" for seconds in each.values())], each, faults


def run(args: argparse.Namespace) -> int:
    rows, faults, found = [], [], {}
    for images in sorted(args.images):
        with tempfile.TemporaryDirectory(prefix="load-") as folder:
            cells, found[images], wrong = measure(images, args, Path(folder))
        rows.append(cells)
        faults += wrong
    heads = ("images", "images/s", "peak MiB", "KiB in 1,000 images")
    seconds = (
        "CPU s to the first",
        "CPU s of all others",
        "all there: skipped",
        "all there: refused",
        "results beside: skipped",
    )
    print(markdown((*heads, *seconds), rows))
    print(f"\nImages of {args.side}x{args.side}, {args.model}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')}.")
    return judged(faults + [fault for name in next(iter(found.values())) for fault in slower(name, found)])


def slower(name: str, found: dict[int, dict[str, float]]) -> list[str]:
    """Say if one more image takes longer where there are many: what it costs to start isn't in it."""
    if len(found) < 3:
        return []
    few, some, many = sorted(found)[0], sorted(found)[1], max(found)
    first, last = (max(found[b][name] - found[a][name], NOISE) / (b - a) for a, b in ((few, some), (some, many)))
    if last > MOST * first and found[many][name] - found[some][name] > 4 * NOISE:
        return [f"{name}: one more image takes {1e3 * first:.2f} ms among {some:,}, and {1e3 * last:.2f} among {many:,}"]
    return []
