"""The kernel that llvmlite compiles, against a slow reading of the formula."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from esc_plugin.device import instruction_set, limited_threads
from esc_plugin.machine_code import compiled, compiler
from esc_plugin.network import ESC, native_attention
from esc_plugin.network.attention import Bias, attend
from esc_plugin.network.attention_kernel import Shape, kernel_code
from esc_plugin.network.native_attention import has_kernel

from .small import small_config

ROOT = Path(__file__).parents[1]
CAPABILITY = torch.backends.cpu.get_cpu_capability()
pytestmark = pytest.mark.skipif(
    not has_kernel(torch.zeros(1), 16, 16), reason=f"no kernel for {CAPABILITY}, or llvmlite isn't installed"
)
CAPABILITIES = ["AVX512", "AVX2"] if CAPABILITY == "AVX512" else ["AVX2"]


@pytest.fixture(params=CAPABILITIES)
def capability(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let the kernels be those of a processor that can less."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: request.param)
    native_attention._compiled.cache_clear()
    yield request.param
    native_attention._compiled.cache_clear()


def slowly(qkv: Tensor, matrix: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d) + bias) v in float64, from (windows, L, 3, n, d) and (n, L, L): (windows, L, n, d)."""
    q, k, v = qkv.double().permute(2, 0, 3, 1, 4)
    return ((q @ k.mT * q.shape[-1] ** -0.5 + matrix.double()).softmax(-1) @ v).transpose(1, 2)


def matrix_of(table: Tensor) -> Tensor:
    """(n, 2 w - 1, 2 w - 1) -> (n, w w, w w), pair by pair."""
    w = (table.shape[-1] + 1) // 2
    rows, columns = (axis.flatten() for axis in torch.meshgrid(torch.arange(w), torch.arange(w), indexing="ij"))
    return table[:, rows - rows[:, None] + w - 1, columns - columns[:, None] + w - 1]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.usefixtures("capability")
@pytest.mark.parametrize(("window_size", "heads", "depth"), [(8, 1, 8), (16, 2, 16), (24, 3, 16), (32, 4, 16), (16, 1, 32)])
@torch.inference_mode()
def test_it_is_the_formula(window_size: int, heads: int, depth: int) -> None:
    side = 2 * window_size - 1
    table = random(heads, side, side)
    for windows, spread in [(1, 0.1), (3, 1), (2, 6)]:  # with 6, a few keys have all the weight
        qkv = random(windows, window_size**2, 3, heads, depth, seed=windows) * spread
        expected = slowly(qkv, matrix_of(table))
        error, torchs = (
            (attend(qkv, bias) - expected).abs().max() for bias in (Bias(table=table), Bias(matrix=matrix_of(table)))
        )
        assert error < 4 * torchs + 1e-8  # both round float32
        short = qkv.bfloat16()
        assert torch.equal(attend(short, Bias(table=table)), attend(short.float(), Bias(table=table)).bfloat16())


@pytest.mark.usefixtures("capability")
@torch.inference_mode()
def test_a_bias_of_two_factors() -> None:
    query, key = random(2, 256, 5, seed=1), random(2, 256, 5, seed=2)
    qkv = random(2, 256, 3, 2, 16)
    assert has_kernel(qkv, 16, 16)
    found = attend(qkv, Bias(query=query, key=key))
    assert torch.allclose(found.double(), slowly(qkv, query @ key.mT), atol=1e-5)


@given(st.integers(1, 9), st.integers(1, 4), st.data())
@torch.inference_mode()
def test_the_same_bits_for_any_windows_at_once_and_any_threads(windows: int, threads: int, data: st.DataObject) -> None:
    qkv, table = random(windows, 64, 3, 2, 8), random(2, 15, 15)
    together = attend(qkv, Bias(table=table))
    first = data.draw(st.integers(0, windows - 1))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(attend(qkv[first:], Bias(table=table)), together[first:])
    finally:
        torch.set_num_threads(before)


def test_many_threads_compile_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(native_attention, "compiled", lambda code: made.append(1) or compiled(code))
    native_attention._compiled.cache_clear()
    qkv, table = random(1, 64, 3, 1, 8), random(1, 15, 15)
    with ThreadPoolExecutor(4) as pool, limited_threads(1), torch.inference_mode():
        found = list(pool.map(lambda _: native_attention.attend(qkv, table), range(8)))
    assert all(torch.equal(one, found[0]) for one in found)
    assert len(made) == 1


@torch.inference_mode()
def test_what_is_not_a_number_stays_so() -> None:
    qkv, table = random(1, 64, 3, 1, 8), random(1, 15, 15)
    qkv[0, 5, 0] = torch.nan  # a query
    found = attend(qkv, Bias(table=table))[0, :, 0]
    assert found[5].isnan().all()
    assert found[[*range(5), *range(6, 64)]].isfinite().all()
    qkv[0, 7, 1] = torch.inf  # a key, for all queries
    assert attend(qkv, Bias(table=table)).isnan().any(-1).all()


def test_gradients_come_from_torch() -> None:
    network = ESC(replace(small_config(), window_size=16, num_heads=1))
    image = torch.rand(1, 3, 20, 24)
    network(image).mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    network.eval()
    expected = network(image).detach()  # by torch, as it has gradients
    network.requires_grad_(False)
    with torch.inference_mode():
        found = network(image)
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.equal(found, expected)
    assert torch.equal(found, network(image))  # nothing here needs gradients
    network(image.requires_grad_()).mean().backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("weight", "window_size", "depth"),
    [
        (torch.zeros(1), 12, 16),
        (torch.zeros(1), 16, 12),
        (torch.zeros(1).half(), 16, 16),
        (torch.zeros(1, device="meta"), 16, 16),
    ],
)
def test_what_it_is_not_for(weight: Tensor, window_size: int, depth: int) -> None:
    assert not has_kernel(weight, window_size, depth)


def break_llvmlite(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    def fail() -> None:
        error = OSError("could not load libllvmlite.so")
        error.__context__ = OSError(reason)  # as llvmlite raises it
        raise error

    monkeypatch.setitem(sys.modules, "llvmlite.binding", SimpleNamespace(initialize_native_target=fail))
    compiler.cache_clear()


def test_a_broken_llvmlite_leaves_it_to_torch(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """And records don't name it: without it, results round otherwise."""
    break_llvmlite(monkeypatch, "of another version")
    with caplog.at_level(logging.WARNING):
        assert not has_kernel(torch.zeros(1), 16, 16)
        assert "llvmlite" not in instruction_set(torch.device("cpu"))
    compiler.cache_clear()
    assert [record.message.partition(" (")[0] for record in caplog.records] == ["llvmlite can't compile the attention"]


def test_little_memory_makes_no_other_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    break_llvmlite(monkeypatch, "failed to map segment from shared object")
    with pytest.raises(MemoryError, match="could not load"):
        has_kernel(torch.zeros(1), 16, 16)
    compiler.cache_clear()


LITTLE = """
import os, resource, sys
from esc_plugin.machine_code import TRIAL, compiled
code = open(sys.argv[1]).read()
compiled(TRIAL)
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for room in range(0, 32 * 2**20, 2**20):
    if not (child := os.fork()):
        resource.setrlimit(resource.RLIMIT_AS, (taken + room, taken + room))
        try:
            compiled(code)
        except MemoryError:
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="addresses are limited as on Linux")
def test_too_little_memory_to_compile_is_an_error_and_no_end(tmp_path: Path) -> None:
    lanes, (_, queries) = native_attention._lanes(16, 16), native_attention.REGISTERS[CAPABILITY]
    (code := tmp_path / "code").write_text(kernel_code(Shape(4, 16, 16, 0, False, lanes, queries)))
    said = subprocess.run([sys.executable, "-c", LITTLE, str(code)], capture_output=True, text=True, cwd=ROOT, check=True)
    assert said.stdout.split()[0] == "1"
    assert set(said.stdout.split()) <= {"0", "1"}  # -6 is LLVM's end


def test_without_llvmlite_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    network = ESC(replace(small_config(), window_size=16, num_heads=1)).eval().requires_grad_(False)
    image = torch.rand(1, 3, 37, 50)
    with torch.inference_mode():
        fast = network(image)
        monkeypatch.setattr(native_attention, "compiler", lambda: "")
        assert torch.allclose(network(image), fast, atol=1e-5)
        assert not torch.equal(network(image), fast)  # it was another kernel
