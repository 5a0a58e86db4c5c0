"""What a process holds, looked at again and again, and whether it grows."""

from __future__ import annotations

import ctypes
import json
import math
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import psutil

KIB, MIB = 2**10, 2**20
#: Growth that no user would notice in a day, KiB in 1,000 jobs.
NOTICED = 1024
#: For how many sizes of images and chunks torch keeps what it made for them, which it reads when it first computes: oneDNN's
#: compiled code, and the convolutions of what calls oneDNN, of each thread. Of their own 1,024, some 70 and 25 MiB, the last
#: come after hundreds of jobs, and until then nobody could tell them from a leak.
FEW_SIZES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "64"}


@dataclass(frozen=True)
class Held:
    """What a process and its children hold.

    Attributes
    ----------
    jobs, seconds
        When that was: after so many jobs and seconds.
    rss, peak : int
        Bytes of the process itself, now and at most so far; of the latter 0 where the system doesn't tell. A process that
        looks at itself lets the C library give back before what it keeps of freed memory, see `give_back`.
    handles, threads, children : int
        Open files, pipes and sockets; threads; processes below it.
    files : int
        What lies in its folder of temporary files.
    used, objects, cached : int
        Where a process looks at itself: bytes that are allocated, without those that the allocator keeps for later (0 where
        it doesn't tell); objects that Python's collector knows; entries of the caches of our modules.
    """

    jobs: int
    seconds: float
    rss: int
    peak: int
    handles: int
    threads: int
    children: int
    files: int
    used: int = 0
    objects: int = 0
    cached: int = 0


def look(pid: int, jobs: int, seconds: float, folder: Path, **inside: int) -> Held:
    """Return what a process holds now; `folder` is that of its temporary files."""
    process = psutil.Process(pid)
    with process.oneshot():
        rss, threads = process.memory_info().rss, process.num_threads()
    handles = process.num_handles() if psutil.WINDOWS else process.num_fds()
    files = sum(1 for _ in folder.rglob("*"))
    return Held(jobs, seconds, rss, peak_of(pid), handles, threads, len(process.children(recursive=True)), files, **inside)


class _Mallinfo(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", *"12", "used", *"34")
    )


def allocated() -> int:
    """Return the bytes that this process has allocated and not freed, of all threads; 0 where the C library can't tell."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
    if mallinfo is None:
        return 0
    mallinfo.restype = _Mallinfo
    found = mallinfo()
    return int(found.used + found.hblkhd)


def give_back() -> None:
    """Let the C library give back what it keeps of freed memory: for each thread, and more the more sizes there were."""
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def peak_of(pid: int) -> int:
    with suppress(OSError):
        if match := re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii")):
            return int(match[1]) * KIB
    return 0


def slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return the slope of a straight line through points in order, and its standard error.

    What a process holds now is much like what it held just before, so the points tell less than as many independent ones:
    the error is that of least squares, larger by what the first autocorrelation of the residuals says.
    """
    n = len(x)
    mean_x, mean_y = sum(x) / n, sum(y) / n
    spread = sum((a - mean_x) ** 2 for a in x)
    found = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    rest = [b - mean_y - found * (a - mean_x) for a, b in zip(x, y, strict=True)]
    square = sum(r * r for r in rest)
    if not square or n < 3:
        return found, 0.0
    alike = min(max(sum(a * b for a, b in pairwise(rest)) / square, 0), 0.99)
    return found, math.sqrt(square / (n - 2) / spread * (1 + alike) / (1 - alike))


@dataclass
class Watch:
    """All looks of a run; each is added to a file as soon as it is there, a line of JSON."""

    file: Path | None = None
    looks: list[Held] = field(default_factory=list)

    def add(self, held: Held) -> None:
        self.looks.append(held)
        if self.file:
            with self.file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(asdict(held)) + "\n")

    @property
    def later(self) -> list[Held]:
        """The last two thirds."""
        return self.looks[len(self.looks) // 3 :]

    def growth(self, name: str) -> tuple[float, float]:
        """Return by how much something grows in 1,000 jobs in the last two thirds, and the error of that."""
        found, error = slope([h.jobs for h in self.later], [getattr(h, name) for h in self.later])
        return 1000 * found, 1000 * error

    def faults(self, start: Held, noticed: float = NOTICED, pools: int = 0) -> list[str]:
        """Say what speaks against the promise that nothing stays; `start` is a look after what is set up once.

        `noticed` is the growth of memory that is too much, KiB in 1,000 jobs; `pools` are threads that may come later.
        """
        growth, error = (value / KIB for value in self.growth("rss"))
        found = []
        if growth > max(noticed, 2 * error):
            found.append(f"resident memory grows by {growth:,.0f} (± {error:,.0f}) KiB in 1,000 jobs")
        last = self.looks[-1]
        may_come = {"handles": 0, "threads": pools, "children": 0, "files": 0}
        trios = ((name, getattr(start, name), getattr(last, name), more) for name, more in may_come.items())
        return found + [
            f"{name}: {old} at the start, {now} at the end" for name, old, now, more in trios if now > old + more
        ]

    def told(self) -> str:
        """Return the growth of memory as lines."""
        lines = []
        for name, text in {"used": "allocated", "rss": "resident"}.items():
            if getattr(self.looks[-1], name):
                growth, error = (value / KIB for value in self.growth(name))
                first, last = (getattr(self.later[i], name) / MIB for i in (0, -1))
                told = f"{first:,.0f} to {last:,.0f} MiB, {growth:+,.0f} (± {error:,.0f}) KiB in 1,000 jobs"
                lines.append(f"{text} in the last two thirds: {told}")
        return "\n".join(lines)


def table(looks: Sequence[Held], rows: int = 12) -> str:
    """Return some of the looks, evenly spread, as a table."""
    names = ["jobs", "minutes", "RSS MiB", "peak MiB", "handles", "threads", "children", "temp files"]
    names += ["allocated MiB", "objects", "cached"] if looks[0].objects else []
    chosen = sorted({round(i * (len(looks) - 1) / max(rows - 1, 1)) for i in range(rows)})
    return markdown(names, (_row(looks[i])[: len(names)] for i in chosen))


def _row(held: Held) -> list[str]:
    sizes = [f"{value / MIB:.0f}" for value in (held.rss, held.peak)]
    outside = [held.handles, held.threads, held.children, held.files]
    inside = [round(held.used / MIB), held.objects, held.cached]
    return [f"{held.jobs:,}", f"{held.seconds / 60:.1f}", *sizes, *(f"{value:,}" for value in (*outside, *inside))]


def markdown(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (names, ["---"] * len(names), *rows)]
    return "\n".join(lines)


def judged(faults: Sequence[str]) -> int:
    """Print what is wrong, and return the exit code of it."""
    for fault in faults:
        print(f"FAULT {fault}")
    return int(bool(faults))
