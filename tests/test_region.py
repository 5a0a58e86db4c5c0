"""Any region is, to the bit, that rectangle of the whole, and the whole the same on any number of threads."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from esc_plugin import device, load_model
from esc_plugin.arrays.planes import TensorImage
from esc_plugin.engine import Means, Need, Run, areas_for, image_area
from esc_plugin.network import ESC
from esc_plugin.network.config import released
from esc_plugin.network.grid import Geometry, Region
from esc_plugin.network.layers import Conv2d
from esc_plugin.weights.model import read_model

from .golden import Golden, golden_cases
from .small import small_config
from .test_engine import CPU, STORAGE, plan_of

#: Elsewhere oneDNN's programs may add in an order that depends on the size of a tensor.
TO_THE_BIT = platform.machine() in ("x86_64", "AMD64") and torch.backends.mkldnn.is_available()
DTYPES = [torch.float32]
if TO_THE_BIT and torch.ops.mkldnn._is_mkldnn_bf16_supported():
    DTYPES.append(torch.bfloat16)
MIB = 2**20
#: What a chunk may take: what is planned where there is memory, down to the least, and less than that.
CHUNKS = st.sampled_from([300_000, MIB, 4 * MIB, 12 * MIB, 64 * MIB])
HOMES = st.lists(STORAGE, min_size=3, max_size=3)
THREADS = st.sampled_from([1, 2])


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have four cores: threads of one core share the work in the same way."""
    monkeypatch.setattr(device, "cores", lambda: 4)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_same(found: Tensor, expected: Tensor, spread: float) -> None:
    """Compare to the bit, on other processors than those to 5e-5 of the output's standard deviation."""
    if TO_THE_BIT:
        assert torch.equal(found, expected)
    assert float((found - expected).abs().max()) <= 5e-5 * spread


@st.composite
def spans(draw: st.DrawFn, length: int) -> tuple[int, int]:
    start = draw(st.integers(0, length - 1))
    return start, draw(st.integers(start + 1, length))


def region_in(draw: st.DataObject, size: tuple[int, int]) -> Region:
    (top, bottom), (left, right) = draw.draw(spans(size[0])), draw.draw(spans(size[1]))
    return Region(top, left, bottom, right)


class Part(TensorImage):
    """Only a part of an image: reads beyond it fail."""

    def __init__(self, tensor: Tensor, held: Region) -> None:
        super().__init__(tensor)
        self.held = held

    def read(self, region: Region) -> Tensor:
        assert self.held.holds(region)
        return super().read(region)


def dtype_of(network: ESC) -> torch.dtype:
    return network.last.weight.dtype


def whole_of(network: ESC, geometry: Geometry, image: Tensor, chunk_bytes: int, homes: list[str]) -> tuple[Tensor, Means]:
    program, out, means = network.program(geometry), torch.full((len(image), 3, *geometry.output), float("nan")), Means()
    plan, source, sink = plan_of(chunk_bytes, homes), TensorImage(image), TensorImage(out)
    Run(program, geometry, plan, source, sink, CPU, dtype_of(network), len(image), means=means).execute()
    assert len(means.values) == program.means
    return out, means


def rendered(
    network: ESC, geometry: Geometry, image: Tensor, means: Means, region: Region, chunk_bytes: int, homes: list[str]
) -> Tensor:
    program, wanted = network.program(geometry), geometry.feature_region(region)
    areas = areas_for(program, geometry, wanted)
    out = torch.full((len(image), 3, *geometry.output), float("nan"))
    # How far some heads look depends on the data; for all others it is known what will be read.
    held = Region(0, 0, *geometry.image) if network.to_img.asks else image_area(program, geometry, areas)
    source, plan, dtype = Part(image, held), plan_of(chunk_bytes, homes), dtype_of(network)
    assert Need(program, geometry, 1, 4, areas=areas).chunks(chunk_bytes) >= len(areas)
    Run(program, geometry, plan, source, TensorImage(out), CPU, dtype, len(image), means=means, wanted=wanted).execute()
    return out[(..., *region.slices)]


def check_regions(network: ESC, largest: int, examples: int) -> None:
    """Render regions of random images, both in chunks and with maps in files, and compare with the whole.

    Thin images are as likely as others, as few pixels are shared by threads in another way.
    """
    length = st.one_of(st.integers(1, 8), st.integers(1, largest))

    @settings(max_examples=examples)
    @given(st.sampled_from(DTYPES), st.integers(1, 2), st.tuples(length, length), st.data())
    def check(dtype: torch.dtype, batch: int, size: tuple[int, int], draw: st.DataObject) -> None:
        image, target = torch.rand(batch, 3, *size), None
        if network.any_scale:
            zoom = draw.draw(st.floats(0.2, 5))
            target = (max(round(size[0] * zoom), 1), max(round(size[1] * zoom * 0.8), 1))
        network.to(dtype)
        geometry = network.geometry(*size, target)
        with threads(draw.draw(THREADS)):
            whole, means = whole_of(network, geometry, image, draw.draw(CHUNKS), draw.draw(HOMES))
        with threads(draw.draw(THREADS)), torch.inference_mode():
            check_same(whole, network(image, target), spread)
            check_same(whole[:1], network(image[:1], target), spread)
        for _ in range(2):
            region = region_in(draw, geometry.output)
            with threads(draw.draw(THREADS)):
                found = rendered(network, geometry, image, means, region, draw.draw(CHUNKS), draw.draw(HOMES))
            check_same(found, whole[(..., *region.slices)], spread)

    spread = float(network(torch.rand(1, 3, 24, 24)).std())  # that of a single pixel says nothing
    check()


@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: case.name)
def test_a_region_of_every_family_is_that_of_the_whole(shared, case: Golden) -> None:
    check_regions(read_model(case.path, window_size=case.window_size).network, largest=70, examples=2)


@pytest.mark.parametrize("name", ["esc-nano-x2", "esc-nano-x4"])
def test_a_region_of_the_bundled_models_is_that_of_the_whole(name: str) -> None:
    check_regions(load_model(name).network, largest=100, examples=3)


@pytest.mark.parametrize("zoom", [0.9, 0.7, 0.5, 0.3, 0.1])
def test_a_network_for_any_scale_looks_further_where_it_shrinks(zoom: float) -> None:
    torch.manual_seed(0)
    network, image = ESC(small_config(head="lte")).eval().requires_grad_(False), torch.rand(1, 3, 40, 31)
    size = round(40 * zoom), 60
    with torch.inference_mode():  # with gradients the attention is torch's, which rounds otherwise than our kernel
        expected = network(image, size)
    whole, _ = whole_of(network, network.geometry(40, 31, size), image, 60_000, ["device"] * 3)
    check_same(whole, expected, float(expected.std()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ESC", "ESC-lt", "ESC-FP", "ESC-Real"])
def test_a_region_of_the_published_networks_is_that_of_the_whole(name: str) -> None:
    """As wide as they are published, where other programs may be the fastest; the weights are random."""
    torch.manual_seed(0)
    check_regions(ESC(released(name, 4)).eval().requires_grad_(False), largest=70, examples=2)


@settings(max_examples=30)
@given(
    st.sampled_from(DTYPES),
    st.sampled_from(
        [(1, 1, "none"), (1, 1, "gelu"), (1, 1, "sigmoid"), (3, 1, "none"), (3, 8, "gelu"), (13, 1, "none"), (13, 8, "none")]
    ),
    st.integers(1, 2),
    st.data(),
)
@pytest.mark.skipif(not TO_THE_BIT, reason="which convolution is taken is the processor's")
def test_a_convolution_of_a_part_is_a_part_of_the_convolution(
    dtype: torch.dtype, kind: tuple[int, int, str], batch: int, draw: st.DataObject
) -> None:
    """However small, down to a pixel, and whatever its strides: torch has other programs then, which round otherwise."""
    kernel, groups, activation = kind
    torch.manual_seed(0)
    conv, image = Conv2d(8, 8, kernel, groups).to(dtype), torch.randn(batch, 60, 50, 8).to(dtype).permute(0, 3, 1, 2)
    region, clone = region_in(draw, (60, 50)), draw.draw(st.booleans())
    grown = region.grow(kernel // 2, (60, 50))
    part = image[(..., *grown.slices)]
    with torch.no_grad():
        whole, found = conv(image, activation), conv(part.clone() if clone else part, activation)
    assert torch.equal(found[(..., *region.within(grown).slices)], whole[(..., *region.slices)])


@pytest.mark.parametrize("size", [(1, 2), (40, 4), (1, 9), (2, 8), (1, 29), (13, 31)])
@pytest.mark.parametrize("kernel", [3, 7, 9, 13])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.skipif(not TO_THE_BIT, reason="which convolution is taken is the processor's")
def test_a_convolution_of_few_pixels_is_that_amid_zeros(dtype: torch.dtype, kernel: int, size: tuple[int, int]) -> None:
    """Whatever its width, and however many threads share its rows: padding by itself, oneDNN leaves out taps then."""
    torch.manual_seed(0)
    conv, image = Conv2d(16, 16, kernel).to(dtype), torch.randn(1, 16, *size).to(dtype)
    with torch.no_grad():
        with threads(1):
            expected = conv(F.pad(image, (20, 20, 20, 20)))[..., 20:-20, 20:-20]
        for count in (1, 2, 4):
            with threads(count):
                assert torch.equal(conv(image), expected)


def test_few_pixels_are_the_same_on_any_number_of_threads() -> None:
    torch.manual_seed(0)
    network, image = ESC(replace(small_config(), kernel_size=13)).eval().requires_grad_(False), torch.rand(1, 3, 1, 9)
    results: list[Tensor] = []
    for count in (1, 2, 4):
        with threads(count), torch.inference_mode():
            results.append(network(image))
    for result in results[1:]:
        check_same(result, results[0], float(results[0].std()))
