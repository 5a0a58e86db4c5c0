"""Where feature maps live: the same values everywhere, threads that share a file, and disks that fail."""

from __future__ import annotations

import errno
import gc
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin.engine import Run
from esc_plugin.engine.maps import FileMap, TensorMap, make_map
from esc_plugin.errors import Cancelled, EscError
from esc_plugin.network import ESC
from esc_plugin.network.grid import Region
from esc_plugin.network.program import FEATURES, Chunk

from .test_engine import CPU, STORAGE, plan_of, run
from .test_network import TINY


@given(st.data())
def test_a_file_holds_what_memory_holds(data: st.DataObject) -> None:
    batch, height, width = data.draw(st.tuples(st.integers(1, 2), st.integers(1, 20), st.integers(1, 20)))
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16]))
    shape = batch, height, width, 5
    maps = [make_map(storage, shape, dtype, CPU) for storage in ("device", "host", "disk")]

    def region() -> Region:
        rows, columns = (sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in (height - 1, width - 1))
        return Region(rows[0], columns[0], rows[1] + 1, columns[1] + 1)

    for stored in maps:
        stored.write(Region(0, 0, height, width), torch.zeros(batch, 5, height, width))
    for _ in range(3):
        part = region()
        values = torch.rand(batch, 5, part.height, part.width)
        for stored in maps:
            stored.write(part, values)
        other = region()
        read = [stored.read(other) for stored in maps]
        assert torch.equal(read[0], read[1])
        assert torch.equal(read[0], read[2])
    for stored in maps:
        stored.close()


@settings(deadline=None, max_examples=25)
@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from([3 * 10**5, 10**6]),
    st.lists(STORAGE, min_size=3, max_size=3),
    st.integers(1, 3),
)
def test_neither_homes_nor_threads_change_a_bit(
    size: tuple[int, int], chunk_bytes: int, homes: list[str], workers: int
) -> None:
    torch.manual_seed(0)
    network, image = ESC(TINY).eval().requires_grad_(False), torch.rand(1, 3, *size)
    expected = run(network, image, replace(plan_of(chunk_bytes), workers=workers))
    assert torch.equal(run(network, image, replace(plan_of(chunk_bytes, homes), workers=workers)), expected)


@pytest.mark.parametrize("positional", [True, False], ids=["positional", "Windows"])
def test_threads_share_a_file(monkeypatch: pytest.MonkeyPatch, positional: bool) -> None:
    if not positional:
        monkeypatch.delattr(os, "preadv", raising=False)
        monkeypatch.delattr(os, "pwrite", raising=False)
    stored = FileMap((1, 64, 64, 8), torch.float32)
    values = torch.rand(1, 8, 64, 64)

    def there_and_back(row: int) -> bool:
        part = Region(row, 1, row + 1, 64)
        for _ in range(50):
            stored.write(part, values[:, :, row : row + 1, 1:])
            if not torch.equal(stored.read(part), values[:, :, row : row + 1, 1:]):
                return False
        return True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(there_and_back, range(64)))
    finally:
        sys.setswitchinterval(interval)
        stored.close()


def failing(call: Callable[..., int], number: int, code: int) -> Callable[..., int]:
    """Return a call of the system that fails from the `number`-th time on."""
    left = iter([True] * number)

    def fail(*args: Any) -> int:
        if next(left, False):
            return call(*args)
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="this system has no such calls")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("name", "code"), [("pwrite", errno.ENOSPC), ("pwrite", errno.EIO), ("preadv", errno.EIO)])
def test_a_disk_that_fails_half_way_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, code: int, workers: int
) -> None:
    network, image = ESC(TINY).eval().requires_grad_(False), torch.rand(1, 3, 100, 50)
    plan, before = replace(plan_of(10**6, "disk"), workers=workers), held()
    monkeypatch.setattr(os, name, failing(getattr(os, name), 7, code))
    with pytest.raises(EscError, match=f"temporary file in .* failed: {os.strerror(code)}; set TMPDIR"):
        run(network, image, plan)
    assert held() == before


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("after", [0, 1, 7, 20])
def test_cancel_ends_threads_and_files(workers: int, after: int) -> None:
    network, image = ESC(TINY).eval().requires_grad_(False), torch.rand(1, 3, 100, 50)
    calls, before = iter([False] * after), held()
    with pytest.raises(Cancelled):
        run(network, image, replace(plan_of(10**6, "disk"), workers=workers), cancel=lambda: next(calls, True))
    assert held() == before


def held() -> tuple[int, int]:
    """Return how many threads and open files this process has."""
    gc.collect()
    return threading.active_count(), psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0


@pytest.mark.parametrize("home", ["device", "disk"])
def test_maps_that_nobody_reads_any_more_are_gone(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """While the output comes, only the map that it is made from is left."""
    network, image, alive = ESC(TINY).eval().requires_grad_(False), torch.rand(1, 3, 40, 50), []
    program, make, runs = network.program(network.geometry(40, 50)), Run._make_map, []

    def make_map(self: Run, *args: Any) -> TensorMap | FileMap:
        runs.append(self)
        return make(self, *args)

    def apply(chunk: Chunk, *args: Any) -> torch.Tensor:
        alive.append(set(runs[0]._maps))
        return program.steps[-1].apply(chunk, *args)

    monkeypatch.setattr(Run, "_make_map", make_map)
    watched = replace(program, steps=[*program.steps[:-1], replace(program.steps[-1], apply=apply)])
    run(network, image, plan_of(10**6, home), program=watched)
    assert alive
    assert all(names == {FEATURES} for names in alive)
