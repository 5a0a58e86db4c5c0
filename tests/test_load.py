"""What the stages of load call a leak, and what they don't."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks aren't in this copy", allow_module_level=True)
pytest.importorskip("psutil", reason="needs psutil")

MIB = 2**20


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("load_stages.watch")
    for name in [name for name in sys.modules if name.partition(".")[0] == "load_stages"]:
        del sys.modules[name]


def faults(watch: ModuleType, memory: Callable[[int], float], handles: Callable[[int], int] = lambda jobs: 10) -> list[str]:
    """Return what is found in 100 looks, one after every 33 jobs; memory goes up and down by some MiB besides."""
    random, seen = Random(0), watch.Watch()
    for jobs in range(33, 3301, 33):
        rss = int(memory(jobs) + random.gauss(0, 4 * MIB))
        seen.add(watch.Held(jobs, jobs / 2, rss, rss, handles(jobs), 8, 1, 0))
    found: list[str] = seen.faults(seen.looks[10])
    return found


def test_a_leak_of_a_few_kib_a_job_is_found(watch: ModuleType) -> None:
    (fault,) = faults(watch, lambda jobs: 600 * MIB + 5 * 1024 * jobs)
    assert fault.startswith("resident memory grows by ")


@pytest.mark.parametrize("memory", [lambda jobs: 600 * MIB, lambda jobs: 600 * MIB + 70 * MIB * min(jobs / 700, 1)])
def test_what_stays_or_has_a_bound_is_no_leak(watch: ModuleType, memory: Callable[[int], float]) -> None:
    assert faults(watch, memory) == []


def test_a_file_that_stays_open_is_found(watch: ModuleType) -> None:
    assert faults(watch, lambda jobs: 600 * MIB, lambda jobs: 10 + jobs // 1000) == [
        "handles: 10 at the start, 13 at the end"
    ]
