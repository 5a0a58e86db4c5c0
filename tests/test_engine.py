"""The promise: the same pixels for any memory."""

from __future__ import annotations

import errno
import gc
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from esc_plugin.arrays.planes import TensorImage
from esc_plugin.catalog.load import load_model
from esc_plugin.device import limited_threads, usable_threads
from esc_plugin.engine import Need, Plan, Run, make_plan
from esc_plugin.engine import plan as plan_module
from esc_plugin.engine.plan import CPU_CHUNK_BYTES, LEAST_CHUNK_BYTES, RESERVE_BYTES, at_once, regions
from esc_plugin.engine.run import out_of_memory
from esc_plugin.errors import Cancelled, EscError
from esc_plugin.network import ESC, EscConfig, released, window_attention
from esc_plugin.network.attention import makes_scores
from esc_plugin.network.grid import Region
from esc_plugin.network.program import Chunk, Program, Step, mean_of, pixel_sum
from esc_plugin.upscaler import Upscaler
from esc_plugin.weights.model import read_model

from .golden import Golden, golden_cases
from .test_network import TINY, relative_error

CPU = torch.device("cpu")
STORAGE = st.sampled_from(["device", "host", "disk"])


def run(
    network: ESC,
    image: Tensor,
    plan: Plan,
    size: tuple[int, int] | None = None,
    program: Program | None = None,
    **callbacks: object,
) -> Tensor:
    geometry = network.geometry(image.shape[2], image.shape[3], size)
    out = torch.full((len(image), 3, *geometry.output), float("nan"))
    dtype = next(network.parameters()).dtype
    program = program or network.program(geometry)
    Run(program, geometry, plan, TensorImage(image), TensorImage(out), CPU, dtype, len(image), **callbacks).execute()
    return out


def plan_of(chunk_bytes: int, storage: str | list[str] = "device") -> Plan:
    homes = [storage] * 3 if isinstance(storage, str) else storage
    return Plan(dict(zip(("a", "b", "c"), homes, strict=True)), chunk_bytes)


@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: case.name)
def test_every_family_is_exact_in_chunks(shared, case: Golden) -> None:
    network = read_model(case.path, window_size=case.window_size).network

    spread = network(torch.rand(1, 3, 24, 24)).std()  # that of a single pixel says nothing

    @settings(max_examples=4)
    @given(
        st.tuples(st.integers(1, 70), st.integers(1, 70)),
        st.integers(1, 2),
        st.sampled_from([3 * 10**5, 10**6]),
        st.lists(STORAGE, min_size=3, max_size=3),
        st.floats(0.6, 5),
    )
    def check(size: tuple[int, int], batch: int, chunk_bytes: int, storage: list[str], zoom: float) -> None:
        image = torch.rand(batch, 3, *size)
        target = None
        if network.any_scale:
            target = (max(round(size[0] * zoom), 1), max(round(size[1] * zoom * 0.8), 1))
        found, expected = run(network, image, plan_of(chunk_bytes, storage), target), network(image, target)
        assert float((found - expected).abs().max() / spread) < 5e-5

    check()


@pytest.mark.slow
@pytest.mark.parametrize(("chunk_bytes", "half"), [(10**6, False), (4 * 10**6, True)])
@settings(max_examples=3)
@given(st.tuples(st.integers(100, 200), st.integers(100, 200)))
def test_larger_images_in_small_chunks(chunk_bytes: int, half: bool, size: tuple[int, int]) -> None:
    network = load_model("esc-nano-x2").network
    network = network.to(torch.bfloat16) if half else network
    image = torch.rand(1, 3, *size)
    assert relative_error(run(network, image, plan_of(chunk_bytes)), network(image)) < (2e-2 if half else 5e-5)


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.integers(1, 64),
    st.integers(0, 7),
    st.integers(10, 10**6),
)
def test_chunks_are_a_partition_on_the_window_grid(
    grid: tuple[int, int], multiple: int, halo: int, chunk_bytes: int
) -> None:
    step = Step("s", {"x": halo}, "y", lambda *_: None, multiple=multiple)  # type: ignore[arg-type, return-value]
    covered = torch.zeros(grid, dtype=torch.int)
    for region in regions(step, Region(0, 0, *grid), chunk_bytes, 4):
        covered[region.top : region.bottom, region.left : region.right] += 1
        assert region.top % multiple == 0
        assert region.left % multiple == 0
        assert region.height >= min(multiple, grid[0])
        assert region.width >= min(multiple, grid[1])
    assert (covered == 1).all()


def test_the_output_comes_in_bands_from_top_to_bottom() -> None:
    class Recorder(TensorImage):
        tops: list[int] = []  # noqa: RUF012

        def write(self, region: Region, tensor: Tensor) -> None:
            self.tops.append(region.top)

    network = ESC(TINY).eval().requires_grad_(False)
    geometry = network.geometry(50, 40)
    image = TensorImage(torch.rand(1, 3, 50, 40))
    sink = Recorder(torch.empty(0))
    Run(network.program(geometry), geometry, plan_of(10**5), image, sink, CPU, torch.float32).execute()
    assert sink.tops == sorted(sink.tops)
    assert len(set(sink.tops)) > 1


def test_progress_grows_to_its_total_and_cancel_frees_everything() -> None:
    network = ESC(TINY).eval().requires_grad_(False)
    image = torch.rand(1, 3, 60, 60)
    told: list[tuple[int, int]] = []
    run(network, image, plan_of(10**5, "disk"), progress=lambda *args: told.append(args))
    done = [d for d, _ in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]
    assert len({total for _, total in told}) == 1

    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None  # noqa: PTH208, PTH112
    files = set(os.listdir(tempfile.gettempdir()))  # noqa: PTH208
    calls = iter([False] * 7 + [True])
    with pytest.raises(Cancelled):
        run(network, image, plan_of(10**5, "disk"), cancel=lambda: next(calls))
    gc.collect()
    assert {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("esc-")} <= files  # noqa: PTH208
    if descriptors is not None:
        assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


def test_out_of_memory_goes_on_in_smaller_pieces(monkeypatch, caplog) -> None:
    """A device that can't do more than 200 pixels at once, from the third step on."""
    network = ESC(TINY).eval().requires_grad_(False)
    image = torch.rand(1, 3, 40, 50)
    expected = network(image)
    program = network.program(network.geometry(40, 50))

    def limited(step: Step, pixels: int) -> Step:
        def apply(chunk, value, *tensors):
            if chunk.region.height * chunk.region.width > pixels:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return step.apply(chunk, value, *tensors)

        return replace(step, apply=apply)

    def limit(pixels: int) -> None:
        steps = [*program.steps[:2], *(limited(step, pixels) for step in program.steps[2:])]
        monkeypatch.setattr(network, "program", lambda _: replace(program, steps=steps))

    limit(200)
    assert relative_error(run(network, image, plan_of(10**7)), expected) < 5e-5
    assert len([r for r in caplog.records if "out of memory" in r.message]) == 1
    limit(20)  # less than a window
    with pytest.raises(EscError, match="smallest piece"):
        run(network, image, plan_of(10**7))


def test_chunks_at_once_are_those_one_by_one() -> None:
    """And torch has as many threads afterwards as before, also where they are stopped."""
    network, image = ESC(TINY).eval().requires_grad_(False), torch.rand(1, 3, 160, 80)
    threads, running = torch.get_num_threads(), threading.active_count()
    expected = run(network, image, plan_of(4 * 10**6))
    for workers in (2, 3):
        plan, steps = replace(plan_of(4 * 10**6), workers=workers), []
        program = watched(network.program(network.geometry(160, 80)), steps)
        assert torch.equal(run(network, image, plan, program=program), expected)
        assert max(len(names) for names in steps) == plan.workers
    calls = iter([False] * 3 + [True])
    with pytest.raises(Cancelled):
        run(network, image, plan, cancel=lambda: next(calls))
    assert (torch.get_num_threads(), threading.active_count()) == (threads, running)


def test_files_serve_several_threads() -> None:
    network, image = ESC(TINY).eval().requires_grad_(False), torch.rand(1, 3, 160, 80)
    steps: list[set[str]] = []
    program = watched(network.program(network.geometry(160, 80)), steps)
    plan = replace(plan_of(4 * 10**6, "disk"), workers=2)
    assert torch.equal(run(network, image, plan, program=program), run(network, image, plan_of(4 * 10**6)))
    assert max(len(names) for names in steps) == 2


def test_threads_that_share_chunks_are_no_more_than_allowed() -> None:
    """Fewer chunks than threads: each chunk has some, together no more than there are."""
    network, image = ESC(TINY).eval().requires_grad_(False), torch.rand(1, 3, 40, 50)
    seen: list[int] = []

    def watch(step: Step) -> Step:
        def apply(*args: Any) -> Tensor:
            seen.append(torch.get_num_threads())
            return step.apply(*args)

        return replace(step, apply=apply)

    threads = torch.get_num_threads()
    program = network.program(network.geometry(40, 50))
    program = replace(program, steps=[watch(step) for step in program.steps])
    torch.set_num_threads(3)
    try:
        for limit in (1, 2, 3):
            seen.clear()
            with limited_threads(limit):
                run(network, image, replace(plan_of(10**6), workers=limit), program=program)
            assert 0 < max(seen) <= min(limit, usable_threads())
    finally:
        torch.set_num_threads(threads)


def test_a_worker_out_of_memory_goes_on_in_smaller_pieces() -> None:
    network, image = ESC(TINY).eval().requires_grad_(False), torch.rand(1, 3, 100, 50)
    program = network.program(network.geometry(100, 50))

    def limited(step: Step) -> Step:
        def apply(chunk: Chunk, value: object, *tensors: Tensor) -> Tensor:
            if chunk.region.height > 30:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return step.apply(chunk, value, *tensors)

        return replace(step, apply=apply)

    plan = replace(plan_of(10**7), workers=2)
    small = replace(program, steps=[limited(step) for step in program.steps])
    assert torch.equal(run(network, image, plan, program=small), run(network, image, plan_of(10**7)))


def watched(program: Program, seen: list[set[str]]) -> Program:
    """Return a program of which each step adds the names of the threads that computed it."""

    def watch(step: Step) -> Step:
        names: set[str] = set()

        def apply(*args: Any) -> Tensor:
            if not names:
                seen.append(names)
            names.add(threading.current_thread().name)
            time.sleep(0.01)  # so that no thread is done before the next one has begun
            return step.apply(*args)

        return replace(step, apply=apply)

    return replace(program, steps=[watch(step) for step in program.steps])


def test_a_full_disk_is_one_sentence(monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    network = ESC(TINY).eval().requires_grad_(False)
    with pytest.raises(EscError, match="No space left on device; set TMPDIR"):
        run(network, torch.rand(1, 3, 20, 20), plan_of(10**7, "disk"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("MPS backend out of memory", True), ("DefaultCPUAllocator: can't allocate memory", True), ("x", False)],
)
def test_words_for_out_of_memory(text: str, expected: bool) -> None:
    assert out_of_memory(RuntimeError(text)) is expected


def need_of(side: int, config: EscConfig | None = None, caller_bytes: int = 0) -> Need:
    with torch.device("meta"):
        network = ESC(config or released("ESC-lt", 4))
    geometry = network.geometry(side, side)
    return Need(network.program(geometry), geometry, 1, 4, caller_bytes)


def test_a_limit_above_what_a_group_allows_is_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says --memory 8GB in a container of 512 MiB would be killed without a word."""
    monkeypatch.setattr(plan_module, "allowed_bytes", lambda device: 2**29)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**40))  # nothing is written
    assert make_plan(need_of(2048), CPU, 2**33) == make_plan(need_of(2048), CPU, 2**29)
    monkeypatch.setattr(plan_module, "allowed_bytes", lambda device: 2**20)
    with pytest.raises(EscError, match=r"needs at least .* of which 0\.00 GiB may be used"):
        make_plan(need_of(64), CPU, 2**33)


@pytest.mark.parametrize("side", [64, 512, 2048, 4096])
@pytest.mark.parametrize("limit", [2**29, 2**30, 2**31, 2**32])
def test_a_plan_keeps_its_limit_and_uses_it(side: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**40))  # nothing is written
    need = need_of(side)
    plan = make_plan(need, CPU, limit)
    assert plan.device_bytes <= limit
    in_memory = sum(need.map_bytes(name) for name, home in plan.storage.items() if home == "device")
    assert in_memory + plan.disk_bytes == sum(need.map_bytes(name) for name in plan.storage)
    moved = [need.map_bytes(name) for name, home in plan.storage.items() if home == "disk"]
    if moved:  # one map fewer on disk would not have fitted
        assert (
            plan.device_bytes
            - need.largest_chunk_bytes(plan.chunk_bytes)
            + need.largest_chunk_bytes(LEAST_CHUNK_BYTES)
            + moved[0]
            > limit
        )


def test_chunks_at_once_are_in_the_plan_where_there_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    need = need_of(1024)
    monkeypatch.setattr(plan_module, "usable_threads", lambda: 1)
    alone = make_plan(need, CPU, 2**31)
    monkeypatch.setattr(plan_module, "usable_threads", lambda: 8)
    plans = [make_plan(need, CPU, limit) for limit in (2**31, alone.device_bytes + 40 * 2**20, alone.device_bytes)]
    assert [plan.workers for plan in plans] == [8, 8, 4]  # smaller chunks come before fewer workers
    assert [plan.chunk_bytes for plan in plans] == [CPU_CHUNK_BYTES, CPU_CHUNK_BYTES // 2, CPU_CHUNK_BYTES // 2]
    assert alone.device_bytes < plans[0].device_bytes <= 2**31
    assert plans[0].storage == plans[1].storage == plans[2].storage
    assert {at_once(step, area, CPU_CHUNK_BYTES, 4, 1, 8) for step, area in need.parts if step.cost > 1e4} == {8}


@pytest.mark.parametrize(
    ("side", "floors"),
    [
        (64, (0.7, 0.4, 0.1)),
        (256, (0.8, 0.65, 0.35)),
        (512, (0.75, 0.7, 0.45)),
        (1024, (0.75, 0.7, 0.5)),
        (2048, (0.75, 0.7, 0.55)),
    ],
)
def test_many_threads_have_work(side: int, floors: tuple[float, ...]) -> None:
    """By counting: halos, who waits for the last chunk, and what a chunk takes beside its arithmetic, all included."""
    need = need_of(side)
    for workers, floor in zip((2, 16, 64), floors, strict=True):
        assert need.efficiency(CPU_CHUNK_BYTES, workers) > floor
    assert need.efficiency(CPU_CHUNK_BYTES, 64) * 64 > need.efficiency(CPU_CHUNK_BYTES, 16) * 16  # more are never slower
    assert need.efficiency(CPU_CHUNK_BYTES, 16) * 16 > need.efficiency(CPU_CHUNK_BYTES, 2) * 2


def test_a_plan_that_cannot_be_says_what_it_would_take() -> None:
    with pytest.raises(EscError, match=r"needs at least .* GiB of memory on cpu, of which 0\.12 GiB"):
        make_plan(need_of(256), CPU, RESERVE_BYTES)


# ------------------------------------------------------------------ what a network makes beside its parameters

#: Of a file of 1 MB whose attention biases would take 2 GiB.
BIASED = replace(TINY, dim=16, num_heads=16, window_size=64, n_blocks=2)

#: Loads a model, plans and runs it, with room for 700 MiB beside the program itself.
FRUGAL = r"""
import resource, sys
import psutil, torch
from esc_plugin import EscError, Upscaler, load_model
limit = psutil.Process().memory_info().vms + 700 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
model = load_model(sys.argv[1])
for memory_limit in (2**30, None):  # the default heeds the limit above
    upscaler = Upscaler(model, device="cpu", memory_limit=memory_limit)
    for work in (lambda: upscaler.plan(8, 8), lambda: upscaler.run(torch.rand(1, 3, 8, 8))):
        try:
            work()
        except EscError as error:
            print(error)
"""


def test_nothing_large_is_made_before_the_plan(tmp_path) -> None:
    pytest.importorskip("resource", reason="Windows can't limit the memory of a process")
    torch.save(ESC(BIASED).state_dict(), tmp_path / "biased.pth")
    root = Path(__file__).parents[1]
    program = [sys.executable, "-c", FRUGAL, str(tmp_path / "biased.pth")]
    done = subprocess.run(program, cwd=root, capture_output=True, text=True, check=False)
    if sys.platform == "darwin" and "ValueError" in done.stderr:
        pytest.skip("this system doesn't limit the memory of a process")
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all("the image needs at least 2.13 GiB of memory on cpu" in line for line in lines)


def test_a_bias_is_made_once_at_the_first_run() -> None:
    network = ESC(TINY).eval().requires_grad_(False)
    attention = network.blocks[0].attn
    made = []
    make = attention._make_bias
    attention._make_bias = lambda: made.append(1) or make()
    bytes_before = network.resident_bytes()
    image = torch.rand(1, 3, 20, 20)
    assert not made
    expected = run(network, image, plan_of(10**6))
    assert torch.equal(run(network, image, plan_of(10**6)), expected)
    image.requires_grad_()
    network(image).sum().backward()  # what was made in the engine serves here too
    assert image.grad is not None
    assert len(made) == 1
    assert network.resident_bytes() == bytes_before
    network.load_state_dict(network.state_dict())
    run(network, image.detach(), plan_of(10**6))
    assert len(made) == 2


def test_a_plan_looks_at_no_single_chunk(monkeypatch) -> None:
    """An image of a gigapixel has millions of them."""
    small = need_of(500)
    chunks = [list(regions(step, area, 2**18, 4)) for step, area in small.parts]
    assert small.chunks(2**18) == sum(map(len, chunks))
    monkeypatch.setattr(plan_module, "Region", lambda *box: made.append(box) or Region(*box))
    made: list[object] = []
    need_of(2**15).largest_chunk_bytes(2**20)
    assert len(made) < 100


def test_a_window_counts_as_a_whole_however_small_the_image() -> None:
    config = replace(TINY, window_size=128)
    window = 128 * 128 * 12 * config.dim * 4
    assert need_of(8, config).largest_chunk_bytes(LEAST_CHUNK_BYTES) >= window
    assert need_of(128 + 5, config).largest_chunk_bytes(LEAST_CHUNK_BYTES) >= 4 * window  # the rest joins its neighbour


@pytest.mark.parametrize(("kind", "depth", "expected"), [("cpu", 1, 0), ("cuda", 16, 0), ("cuda", 12, 1), ("mps", 16, 1)])
def test_scores_are_counted_where_a_device_makes_them(monkeypatch, kind: str, depth: int, expected: int) -> None:
    assert makes_scores(torch.device(kind), depth) == expected
    config = replace(TINY, window_size=64)
    monkeypatch.setattr(window_attention, "makes_scores", lambda *_: makes_scores(torch.device(kind), depth))
    scores = config.num_heads * 64**4 * 4
    assert (need_of(8, config).largest_chunk_bytes(LEAST_CHUNK_BYTES) >= scores + 2 * scores) == bool(
        expected
    )  # and the bias


def test_no_memory_for_a_bias_is_one_sentence(monkeypatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 68719476736 bytes.\nMore")

    network = ESC(TINY).eval().requires_grad_(False)
    monkeypatch.setattr(window_attention.WindowAttention, "_make_bias", fail)
    with pytest.raises(EscError, match=r"^cpu has no .* GiB for what 'block 1/\d attention' needs beside the image\.$"):
        run(network, torch.rand(1, 3, 20, 20), plan_of(10**6))


# ------------------------------------------------------------------ a host's autocast


def test_an_active_autocast_changes_nothing() -> None:
    upscaler = Upscaler("esc-nano-x2", device="cpu")
    image = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    calls = [
        lambda: upscaler(image),
        lambda: upscaler(image, size=(70, 90)),
        lambda: upscaler(image, consistency=True),
        lambda: upscaler(image, scale=0.5, linear_light=True),
        lambda: upscaler.run(batch),
        lambda: upscaler.model.network(batch),
    ]
    expected = [torch.as_tensor(call()) for call in calls]
    with torch.autocast("cpu", torch.bfloat16):
        found = [torch.as_tensor(call()) for call in calls]
        assert torch.is_autocast_enabled("cpu")
    assert [torch.equal(a, b) for a, b in zip(found, expected, strict=True)] == [True] * len(calls)


def test_training_keeps_its_autocast() -> None:
    network = ESC(TINY).train()
    image = torch.rand(1, 3, 20, 20)
    expected = network(image)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(network(image), expected)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_the_mean_does_not_depend_on_how_the_pixels_are_summed(height: int, width: int, draw: st.DataObject) -> None:
    x = torch.from_numpy(np.random.default_rng(height * width).normal(3, 2, (1, 5, height, width)).astype(np.float32))
    rows, pixels = sorted(draw.draw(st.sets(st.integers(0, height), max_size=5)) | {0, height}), height * width
    parts = sum(pixel_sum(x[:, :, top:bottom], pixels) for top, bottom in pairwise(rows))
    assert torch.equal(mean_of(parts, pixels), mean_of(pixel_sum(x, pixels), pixels))
    assert torch.equal(parts, pixel_sum(x, pixels))
    torch.testing.assert_close(mean_of(parts, pixels), x.double().mean((2, 3)).float(), rtol=0, atol=0)


@pytest.mark.parametrize("pixels", [35, 2**20, 2**40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_sum_split_in_float32_is_the_one_split_in_float64(dtype: torch.dtype, pixels: int) -> None:
    """For values of any size, also so small that the finer part is rounded."""
    torch.manual_seed(0)
    x = (torch.randn(1, 30, 5, 7) * 10.0 ** torch.arange(-27.0, 3)[:, None, None]).to(dtype)
    assert torch.equal(pixel_sum(x, pixels), pixel_sum(x.double(), pixels))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="which convolution is taken is the processor's")
@pytest.mark.parametrize(("name", "precision"), [("esc-nano-x2", "float32"), ("esc-nano-x4", "bfloat16")])
def test_chunks_and_threads_change_no_bit(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the sizes of chunks that are planned; see docs/exactness.md."""
    if precision == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor can't compute in bfloat16")
    image = np.random.default_rng(0).random((150, 210, 3)).astype(np.float32)
    upscaler, threads = Upscaler(name, device="cpu", precision=precision), torch.get_num_threads()
    with torch.inference_mode():
        untiled = (
            upscaler.network(getattr(torch, precision))(torch.from_numpy(image).permute(2, 0, 1)[None])[0]
            .permute(1, 2, 0)
            .numpy()
        )
    try:
        for chunk, count in ((12, 2), (4, 1), (48, 2)):
            torch.set_num_threads(count)
            monkeypatch.setattr("esc_plugin.engine.plan.CPU_CHUNK_BYTES", chunk * 2**20)
            np.testing.assert_array_equal(upscaler(image, intensity="range"), untiled)
    finally:
        torch.set_num_threads(threads)
