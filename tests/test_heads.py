"""The heads: each is told by its own keys alone, and a new one takes its file and a line of the registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esc_plugin.errors import CheckpointError
from esc_plugin.network import ESC, EscConfig
from esc_plugin.network.heads.bicubic import bicubic
from esc_plugin.network.heads.dysample import DySample
from esc_plugin.network.heads.head import Head, HeadKind
from esc_plugin.network.heads.registry import HEADS, find_head
from esc_plugin.network.heads.uni import UNI_METHODS
from esc_plugin.network.layers import ConvTranspose2d
from esc_plugin.network.program import Chunk
from esc_plugin.network.state_dict import KeyCondition, shape_of
from esc_plugin.weights.detect import detect
from esc_plugin.weights.dialects import to_canonical, to_dialect

from .small import small_config
from .test_engine import plan_of, run
from .test_network import relative_error

BASE = replace(small_config(), window_size=4)
UNI = {"head": "uni", "uni_version": 3, "mid_dim": 12}
#: For each head, configurations that between them use every hyper-parameter that it reads.
CONFIGS = {
    "classic": [BASE, replace(BASE, scale=3)],
    "bicubic": [replace(BASE, head="bicubic", large_kernel="separable", scale=scale) for scale in (2, 4)],
    "real": [replace(BASE, head="real", scale=4), replace(BASE, head="real", scale=1, unshuffle=4)],
    "neosr": [replace(BASE, head="neosr", scale=scale) for scale in (2, 4, 8)],
    "dysample": [replace(BASE, head="dysample", scale=3, dysample_kernel=kernel) for kernel in (1, 3)],
    "lte": [replace(BASE, head="lte", scale=4, mid_dim=6, mlp_hidden=hidden) for hidden in ((7,), (5, 8))],
    "uni": [
        replace(BASE, **UNI, uni_method=method, scale=2, dysample_kernel=1 if method == "dysample" else 0)
        for method in UNI_METHODS
        if method not in ("lda", "conv")
    ]
    + [replace(BASE, **UNI, uni_method="conv", scale=1), replace(BASE, **UNI, uni_method="pa_up", scale=1, unshuffle=4)],
}


def every_config() -> list[EscConfig]:
    return [config for configs in CONFIGS.values() for config in configs]


def test_every_head_is_among_the_cases() -> None:
    assert set(CONFIGS) == set(HEADS)


@pytest.mark.parametrize("config", every_config(), ids=lambda config: f"{config.head} {config.uni_method}")
def test_a_network_tells_what_it_was_built_of(config: EscConfig) -> None:
    state = ESC(config).state_dict()
    assert [kind.name for kind in HEADS.values() if kind.keys.holds(state)] == [config.head]
    assert detect(state) == config
    assert detect(to_canonical(to_dialect(state, config))) == config


def test_a_file_that_two_heads_fit_is_refused() -> None:
    state = ESC(BASE).state_dict() | {"to_img.MetaUpsample": torch.zeros(7, dtype=torch.uint8)}
    with pytest.raises(CheckpointError, match="its head could be classic or uni"):
        detect(state)


def test_a_file_that_no_head_fits_is_refused() -> None:
    state = {key: value for key, value in ESC(BASE).state_dict().items() if key != "to_img.weight"}
    with pytest.raises(ValueError, match=r"its head \('to_img\.bias'\) is none of bicubic, classic"):
        find_head(state)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (KeyCondition.has_all("a", "b"), [False, False, True]),
        (KeyCondition.has_any("a", "c"), [True, False, True]),
        (KeyCondition.has_none("a", "c"), [False, True, False]),
        (KeyCondition.has_all("b", KeyCondition.has_none("a")), [False, True, False]),
        (KeyCondition.has_any("c", KeyCondition.has_all("b")), [False, True, True]),
    ],
)
def test_key_conditions(condition: KeyCondition, expected: list[bool]) -> None:
    states = [{"a": 0}, {"b": 0}, {"a": 0, "b": 0}]
    assert [condition.holds(state) for state in states] == expected


# ------------------------------------------------------------------ what is computed in another way than torch's own


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", [(17, 23), (1, 1), (2, 5)])
def test_the_bicubic_image_is_that_of_torch(scale: int, size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    expected = F.interpolate(image.double(), scale_factor=scale, mode="bicubic", align_corners=False)
    torch.testing.assert_close(bicubic(image, scale), expected.float(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (3, 3)])
@pytest.mark.parametrize("size", [(7, 9), (1, 1)])
def test_a_transposed_convolution_by_sub_pixels(kernel: int, stride: int, size: tuple[int, int]) -> None:
    layer, image = ConvTranspose2d(4, 3, kernel, stride, "gelu"), torch.randn(2, 4, *size)
    expected = layer(image)
    assert expected.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(layer(image), expected)


@pytest.mark.parametrize("batch", [1, 3])
def test_dynamic_sampling_is_the_same_with_gradients(batch: int) -> None:
    sampler, x = DySample(8, 2, 3), torch.randn(batch, 8, 9, 11)
    offsets = 4 * torch.randn(batch, 2, 16, 4, 5)  # some lie beyond the border
    expected = sampler.sample(x.clone().requires_grad_(), offsets, 3, 2)
    assert expected.requires_grad
    torch.testing.assert_close(sampler.sample(x, offsets, 3, 2), expected, rtol=0, atol=1e-5)


# ------------------------------------------------------------------ a new head, as CONTRIBUTING.md has it


class ToyHead(Head):
    """A wide convolution and a pixel shuffle, added to the nearest-neighbour image."""

    halo, image_halo = 2, 0

    def __init__(self, dim: int, inner: int, scale: int) -> None:
        super().__init__()
        self.wide, self.pixels = nn.Conv2d(dim, inner, 5, padding=2), nn.Conv2d(inner, 3 * scale**2, 1)
        self.scale = scale
        self.values_per_pixel = dim + 2 * inner + 6 * scale**2
        self.cost = 25 * dim * inner + 3 * inner * scale**2

    def forward(self, chunk: Chunk, features: Tensor, image: Tensor) -> Tensor:
        """(B, C, h, w) with a halo of 2, and the image (B, 3, h', w') without -> (B, 3, s h', s w')."""
        pixels = chunk.crop(self.pixels(self.wide(features)), self.halo).float()
        return F.pixel_shuffle(pixels, self.scale) + F.interpolate(image, scale_factor=self.scale)


TOY = HeadKind(
    name="toy",
    keys=KeyCondition.has_all("to_img.wide.weight"),
    read=lambda state: {
        "scale": round((shape_of(state, "to_img.pixels.weight", 4)[0] / 3) ** 0.5),
        "mid_dim": shape_of(state, "to_img.wide.weight", 4)[0],
    },
    make=lambda config: ToyHead(config.dim, config.mid_dim, config.scale),
    value_range=(-1.0, 1.0),
)


@pytest.fixture
def toy() -> Iterator[EscConfig]:
    HEADS[TOY.name] = TOY
    yield replace(BASE, head="toy", mid_dim=6, scale=3)
    del HEADS[TOY.name]


def test_a_new_head_is_detected(toy: EscConfig) -> None:
    state = ESC(toy).state_dict()
    assert detect(to_canonical(to_dialect(state, toy))) == toy


def test_a_new_head_runs_in_chunks_as_at_once(toy: EscConfig) -> None:
    network, image = ESC(toy).eval().requires_grad_(False), torch.rand(2, 3, 37, 50)
    expected = network(image)
    assert expected.shape == (2, 3, 111, 150)
    for chunk_bytes in (10**5, 10**6):
        assert relative_error(run(network, image, plan_of(chunk_bytes, "disk")), expected) < 5e-5


def test_a_head_that_is_not_registered_is_unknown() -> None:
    with pytest.raises(ValueError, match="head='toy' is not one of"):
        ESC(replace(BASE, head="toy"))
