"""Any region is, to the bit, that rectangle of the whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin.arrays.planes import TensorImage
from esc_plugin.engine import Means, Need, Run, areas_for, image_area
from esc_plugin.network import ESC
from esc_plugin.network.grid import Geometry, Region
from esc_plugin.weights.model import read_model

from .golden import Golden, golden_cases
from .test_engine import CPU, plan_of


@st.composite
def spans(draw: st.DrawFn, length: int) -> tuple[int, int]:
    start = draw(st.integers(0, length - 1))
    return start, draw(st.integers(start + 1, length))


def region_in(draw: st.DataObject, size: tuple[int, int]) -> Region:
    (top, bottom), (left, right) = draw.draw(spans(size[0])), draw.draw(spans(size[1]))
    return Region(top, left, bottom, right)


class Part(TensorImage):
    """Only a part of an image: reads beyond it fail."""

    def __init__(self, tensor: torch.Tensor, held: Region) -> None:
        super().__init__(tensor)
        self.held = held

    def read(self, region: Region) -> torch.Tensor:
        assert self.held.holds(region)
        return super().read(region)


def rendered(
    network: ESC, geometry: Geometry, image: torch.Tensor, means: Means, region: Region, chunk_bytes: int
) -> torch.Tensor:
    program, wanted = network.program(geometry), geometry.feature_region(region)
    areas = areas_for(program, geometry, wanted)
    out = torch.full((1, 3, *geometry.output), float("nan"))
    dtype = next(network.parameters()).dtype
    # How far some heads look depends on the data; for all others it is known what will be read.
    held = Region(0, 0, *geometry.image) if network.to_img.asks else image_area(program, geometry, areas)
    source = Part(image, held)
    plan = plan_of(chunk_bytes)
    assert Need(program, geometry, 1, 4, areas=areas).chunks(chunk_bytes) >= len(areas)
    Run(program, geometry, plan, source, TensorImage(out), CPU, dtype, 1, means=means, wanted=wanted).execute()
    return out[..., region.top : region.bottom, region.left : region.right]


@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: case.name)
def test_a_region_of_every_family_is_that_of_the_whole(shared, case: Golden) -> None:
    network = read_model(case.path, window_size=case.window_size).network
    spread = network(torch.rand(1, 3, 24, 24)).std()

    @settings(max_examples=6)
    @given(st.tuples(st.integers(1, 150), st.integers(1, 150)), st.data())
    def check(size: tuple[int, int], draw: st.DataObject) -> None:
        image, target = torch.rand(1, 3, *size), None
        if network.any_scale:
            zoom = draw.draw(st.floats(0.6, 5))
            target = (max(round(size[0] * zoom), 1), max(round(size[1] * zoom * 0.8), 1))
        geometry = network.geometry(*size, target)
        whole, means = torch.full((1, 3, *geometry.output), float("nan")), Means()
        dtype = next(network.parameters()).dtype
        plan, program = plan_of(12 * 2**20), network.program(geometry)
        Run(program, geometry, plan, TensorImage(image), TensorImage(whole), CPU, dtype, 1, means=means).execute()
        assert len(means.values) == program.means
        region = region_in(draw, geometry.output)
        found = rendered(network, geometry, image, means, region, 12 * 2**20)
        expected = whole[..., region.top : region.bottom, region.left : region.right]
        assert float((found - expected).abs().max() / spread) < 5e-5

    check()
