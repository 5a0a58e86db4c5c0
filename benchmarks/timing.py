"""What all benchmarks that time share: seconds and peak memory of a run, medians and spreads, what the machine is."""

from __future__ import annotations

import ctypes
import gc
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import psutil
import torch
import torch.nn.functional as F

T = TypeVar("T")


@dataclass(frozen=True)
class Taken:
    """What a run took: seconds, seconds of all cores, and bytes beyond those that the process had before."""

    seconds: float
    cpu: float
    peak: float


def timed(run: Callable[[], T]) -> tuple[T, float]:
    """Return what a function returns, and its seconds."""
    start = time.perf_counter()
    return run(), time.perf_counter() - start


def measured(run: Callable[[], object], idle: int | None = None) -> Taken:
    """Run something. `idle` is the resident memory that the peak is beyond, by default what there is now."""
    reset_peak()
    idle = psutil.Process().memory_info().rss if idle is None else idle
    cpu = time.process_time()
    _, seconds = timed(run)
    return Taken(seconds, time.process_time() - cpu, peak_bytes() - idle)


def trim() -> None:
    """Give freed memory back, so that what ran before doesn't lend it to what runs next in the same process."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak() -> None:
    """Let the peak begin anew, on Linux; elsewhere it is that of the whole process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_bytes() -> int:
    """Return the most resident memory so far. On Linux, what getrusage tells includes the process that started this one."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    match = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert match
    return int(match[1]) * 1024


def watched_peak(pid: int, going: Callable[[], object], interval: float = 0.01) -> int:
    """Return the most resident memory of a process, seen from outside while it is going."""
    peak, process = 0, psutil.Process(pid)
    while going():
        with suppress(psutil.Error):
            peak = max(peak, process.memory_info().rss)
        time.sleep(interval)
    return peak


def in_turn(items: Sequence[T], number: int) -> Sequence[T]:
    """Return the order of a round: forth and back by turns, so that none always follows the same."""
    return items if number % 2 == 0 else items[::-1]


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Return the median and, of several, the least and the largest."""
    median = f"{statistics.median(values):{form}}"
    return median if len(values) == 1 else f"{median} ({min(values):{form}} to {max(values):{form}})"


def ratios(values: Sequence[float], references: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [a / b for a, b in zip(values, references, strict=True)]


def ceilings(precisions: Sequence[str]) -> dict[str, float]:
    """Return the GFLOP/s of a large matrix product and of a large 3x3 convolution in each precision."""
    found = {}
    for precision in precisions:
        dtype = getattr(torch, precision)
        a = torch.rand(2048, 2048).to(dtype)
        x = torch.rand(1, 64, 512, 512).to(dtype).to(memory_format=torch.channels_last)
        w = torch.rand(64, 64, 3, 3).to(dtype)
        found[f"{precision} product"] = 2 * 2048**3 / _best(partial(torch.matmul, a, a)) / 1e9
        found[f"{precision} convolution"] = 2 * 9 * 64 * 64 * 512**2 / _best(partial(F.conv2d, x, w, padding=1)) / 1e9
    return found


def _best(run: Callable[[], object]) -> float:
    run()
    return min(timed(run)[1] for _ in range(5))


def machine(threads: int) -> str:
    """Return what it is that runs here, for the head of a table."""
    parts = [processor(), f"{psutil.cpu_count()} cores, {threads} threads", f"torch {torch.__version__}"]
    with suppress(PackageNotFoundError):
        parts.append(f"llvmlite {version('llvmlite')}")
    return ", ".join([*parts, platform.system()])


def processor() -> str:
    with suppress(OSError):
        match = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        if match:
            return match[1]
    return platform.processor() or platform.machine()
