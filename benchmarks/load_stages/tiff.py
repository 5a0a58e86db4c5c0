"""TIFF files of 2 GB, within a limit of memory; whatever takes longer is stopped, as by Ctrl-C."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from .watch import MIB, judged, markdown

EVERY = 0.05  # seconds
#: Of the large image; of the stack.
HEIGHT, WIDTH = 20_000, 50_000
PAGES, SIDE = 4096, 512
#: What a process has before it computes: Python, torch and a network.
IDLE = 400 * MIB
#: Longest that a command may take to end once it was asked to, seconds.
ENDS = 60.0


@dataclass(frozen=True)
class Peak:
    """How a command ended, and the most memory that it had: its own, and pages of files, which the system takes at will."""

    code: int
    seconds: float
    ending: float
    own: int
    files: int
    said: str


def image(path: Path) -> Path:
    """Write 16-bit gray, noise here and there and zeros between, which take no room on most disks."""
    block = np.random.default_rng(0).integers(0, 4000, (500, 500), np.uint16)
    pixels = tifffile.memmap(path, shape=(HEIGHT, WIDTH), dtype=np.uint16, metadata=None)
    for top in range(0, HEIGHT, 2500):
        for left in range(0, WIDTH, 2500):
            pixels[top : top + 500, left : left + 500] = block
    pixels.flush()
    return path


def stack(path: Path) -> Path:
    options = {"metadata": {"axes": "TYX"}, "bigtiff": True, "ome": True}
    pixels = tifffile.memmap(path, shape=(PAGES, SIDE, SIDE), dtype=np.uint16, **options)
    pixels[::64] = np.random.default_rng(0).integers(0, 4000, (SIDE, SIDE), np.uint16)
    pixels.flush()
    return path


def ran(folder: Path, seconds: float, *arguments: str) -> Peak:
    """Run `esc-sr` and look at it; after some seconds press Ctrl-C."""
    command = [sys.executable, "-m", "esc_plugin.cli", *arguments]
    environment = os.environ | {"TMPDIR": str(folder / "temporary")}
    start, asked, own, files = time.monotonic(), 0.0, 0, 0
    with (folder / "log.txt").open("w+") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as child:
        while child.poll() is None:
            with suppress(OSError):
                status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii")
                kinds = {kind: 1024 * int(size) for kind, size in re.findall(r"Rss(\w+):\s*(\d+) kB", status)}
                own, files = max(own, kinds.get("Anon", 0) + kinds.get("Shmem", 0)), max(files, kinds.get("File", 0))
            if not asked and time.monotonic() - start > seconds:
                asked = time.monotonic()
                child.send_signal(signal.SIGINT)
            time.sleep(EVERY)
        end = time.monotonic()
        log.seek(0)
        said = (log.read().strip().splitlines() or [""])[-1]
    return Peak(child.returncode, end - start, end - asked if asked else 0.0, own, files, said)


def left(folder: Path) -> list[str]:
    """Return what a command left behind that is neither a result nor an input."""
    return [path.name for path in folder.rglob("*") if path.name.startswith((".esc-", "esc-"))]


def over_4_gib(folder: Path) -> list[str]:
    """Write a stack of more than 4 GiB without compression, and say what of it can't be found again."""
    from esc_plugin.files import Picture, read_picture, write_picture
    from esc_plugin.files.tiff_notes import TiffNotes

    shape = (4400, 724, 724)
    pixels = np.memmap(folder / "zeros.raw", np.uint16, "w+", shape=shape)
    pixels[:, 0, 0] = pixels[:, -1, -1] = np.arange(shape[0])
    notes = TiffNotes("plain", None, None, {"compression": None, "byteorder": "<"})
    write_picture(path := folder / "large.tif", Picture(pixels, "QYX", "TIFF", tiff=notes))
    found, wrong = read_picture(path, lazy=True).pixels, []
    if found.shape != shape:
        wrong.append(f"it has the shape {found.shape}")
    elif any(int(found[number, row, row]) != number for number in range(0, shape[0], 11) for row in (0, -1)):
        wrong.append("its pages are mixed up")
    print(f"\na stack written as {path.stat().st_size / 2**30:.2f} GiB: {', '.join(wrong) or 'right'}")
    return wrong


def run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts behind itself ignore Ctrl-C
    with tempfile.TemporaryDirectory(prefix="load-", dir=args.folder) as name:
        folder = Path(name)
        (folder / "temporary").mkdir()
        large, pages = str(image(folder / "plain.tif")), str(stack(folder / "stack.ome.tif"))
        survey, limit = str(folder / "survey.json"), ("--model", "esc-nano-x2", "--memory", f"{args.gigabytes}GB")
        commands = (
            ("info", large),
            ("survey", large, "-o", survey, "--sampled", "100000", *limit),
            (
                "upscale",
                large,
                "-o",
                str(folder / "part.tif"),
                "--survey",
                survey,
                "--region",
                "20000:21000,40000:41000",
                *limit,
            ),
            ("upscale", large, "-o", str(folder / "half.tif"), "--scale", "0.5", "--max-megapixels", "2000", *limit),
            ("upscale", large, "-o", str(folder / "all.tif"), "--max-megapixels", "2000", *limit),
            ("upscale", pages, "-o", str(folder / "stack_x2.ome.tif"), *limit),
        )
        rows, faults, most = [], [], IDLE + int(args.gigabytes * 1e9)
        for command in commands:
            peak = ran(folder, args.seconds, *command)
            what = " ".join(part.removeprefix(f"{name}/") for part in command if part not in limit)
            rows.append([what, f"{peak.seconds:.0f}", f"{peak.own / MIB:.0f}", f"{peak.files / MIB:.0f}", peak.said[:90]])
            if peak.own > most:
                faults.append(f"{what}: {peak.own / MIB:.0f} MiB")
            if peak.ending > ENDS:
                faults.append(f"{what}: ends {peak.ending:.0f} s after Ctrl-C")
            if behind := left(folder):
                faults.append(f"{what}: leaves {behind}")
        print(markdown(("command", "s", "own MiB at most", "of files at most", "last line"), rows))
        return judged(faults + over_4_gib(folder))
