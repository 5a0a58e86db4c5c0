"""Mixed jobs in one process, for an hour."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random

from .watch import FEW_SIZES, Held, Watch, allocated, give_back, judged, look, table

#: What is set up once, such as threads and caches of libraries, is there after so many rounds.
SETTLED = 10


def run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        temporary = Path(folder) / "temporary"
        temporary.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)  # of other processes, and of this one
        os.environ |= FEW_SIZES
        try:
            return _run(args, Path(folder) / "work", temporary)
        finally:
            tempfile.tempdir = None
            del os.environ["TMPDIR"]


def _run(args: argparse.Namespace, work: Path, temporary: Path) -> int:
    from .jobs import EVERY, SELDOM, Desk

    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    desk, watch, start = Desk(Random(args.seed), work), Watch(args.out), time.monotonic()
    done, failed = Counter[str](), Counter[str]()
    number = 0
    while time.monotonic() < start + 60 * args.minutes or number <= SETTLED:
        names = [*EVERY, *(name for name, (every, _) in SELDOM.items() if number % every == 0)]
        names = [name for name in names if not args.only or name in args.only]
        for name in desk.random.sample(names, len(names)):
            job = EVERY[name] if name in EVERY else SELDOM[name][1]
            work.mkdir()
            try:
                job(desk)
            except Exception as error:  # is told in the end, and the hour goes on
                failed[f"{name}: {type(error).__name__}: {error}"] += 1
            shutil.rmtree(work)
            done[name] += 1
        number += 1
        watch.add(_held(sum(done.values()), time.monotonic() - start, temporary))
    return _told(watch, done, failed)


def _held(jobs: int, seconds: float, temporary: Path) -> Held:
    return look(os.getpid(), jobs, seconds, temporary, **inside())


def inside() -> dict[str, int]:
    """Return what a process knows of itself, see `Held`."""
    gc.collect()
    give_back()
    return {"used": allocated(), "objects": len(gc.get_objects()), "cached": cached()}


def cached() -> int:
    """Return the entries of all caches that are functions or mappings of our modules."""
    entries = 0
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "esc_plugin":
            for value in (value for key, value in list(vars(module).items()) if not key.startswith("__")):
                if hasattr(value, "cache_info") and getattr(value, "__module__", "") == name:
                    entries += value.cache_info().currsize
                elif isinstance(value, dict | list | set):
                    entries += len(value)
    return entries


def _told(watch: Watch, done: Counter[str], failed: Counter[str]) -> int:
    print(table(watch.looks))
    print("\njobs:", ", ".join(f"{name} {many:,}" for name, many in sorted(done.items())))
    objects, error = watch.growth("objects")
    print(watch.told())
    print(f"objects: {objects:+,.0f} (± {error:,.0f}) in 1,000 jobs")
    start = watch.looks[min(SETTLED, len(watch.looks) - 1)]
    return judged([*watch.faults(start), *(f"{many:,} times {text}" for text, many in failed.most_common())])
