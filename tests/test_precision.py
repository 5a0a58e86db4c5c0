"""Which precision is chosen, what it costs, and what happens when it overflows."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from esc_plugin import ImageError, Model, Upscaler, list_models, load_model
from esc_plugin.network import ESC
from esc_plugin.network.attention import Bias, attend
from esc_plugin.network.layers import Conv2d
from esc_plugin.tensors import bits_of, upscale_images

from .small import random_upscaler, small_config

native = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor can't compute in bfloat16"
)


@pytest.fixture
def quick_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)


@native
@pytest.mark.usefixtures("quick_cpu")
@pytest.mark.parametrize("name", [entry.name for entry in list_models() if entry.bundled and entry.harmless])
def test_8_bit_images_are_done_in_a_precision_that_is_as_good(name: str) -> None:
    photo = smooth_noise(np.uint8, 255)
    upscaler = Upscaler(load_model(name), device="cpu")
    found, exact = upscaler(photo), Upscaler(upscaler.model, device="cpu", precision="float32")(photo)
    assert upscaler.precision_for(photo) == "bfloat16"
    difference = np.abs(found.astype(int) - exact)
    assert 0 < difference.max() <= 4  # it is another precision
    assert np.percentile(difference, 99.9) <= 1


@pytest.mark.usefixtures("quick_cpu")
def test_what_is_for_measuring_stays_in_float32() -> None:
    upscaler = Upscaler(load_model("esc-nano-x2"), device="cpu")
    assert {upscaler.precision_for(np.empty(0, kind)) for kind in ("uint16", "float32", "int32")} == {"float32"}


@pytest.mark.usefixtures("quick_cpu")
def test_nothing_is_shortened_without_evidence_or_against_the_users_word() -> None:
    model = load_model("esc-nano-x2")
    assert Upscaler(replace(model, card={}), device="cpu").dtype_for(8) == torch.float32
    assert Upscaler(model, device="cpu", precision="float32").dtype_for(8) == torch.float32
    assert Upscaler(model, device="cpu", precision="float16").dtype_for(32) == torch.float16


def test_a_processor_without_the_instructions_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert Upscaler(load_model("esc-nano-x2"), device="cpu").dtype_for(8) == torch.float32


@native
@pytest.mark.usefixtures("quick_cpu")
def test_all_doors_take_the_same_precision_for_the_same_picture() -> None:
    """Arrays of 8 bits, and the tensors of 255ths that a host makes of such a file."""
    photo = smooth_noise(np.uint8, 255)
    tensor = torch.from_numpy(photo / np.float32(255))[None]
    tensor = tensor if tensor.ndim == 4 else tensor[..., None].expand(-1, -1, -1, 3)
    upscaler = Upscaler(load_model("esc-nano-x2"), device="cpu")
    assert (bits_of(tensor), bits_of(tensor.half()), bits_of(tensor * 0.7)) == (8, 8, 32)
    found = (upscale_images(upscaler, tensor)[0].numpy() * 255).round()
    wanted = upscaler(photo if photo.ndim == 3 else np.stack([photo] * 3, -1)).astype(int)
    assert np.abs(found - wanted).max() <= 1


def test_an_overflow_goes_on_in_float32_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    network = ESC(small_config()).eval().requires_grad_(False)
    network.proj.weight.mul_(1e6)  # features beyond 65504, the largest float16
    model = Model(network, network.config, "loud", "test", "")
    image = torch.rand(1, 3, 20, 23)
    expected = Upscaler(model, device="cpu", precision="float32").run(image)
    upscaler = Upscaler(model, device="cpu", precision="float16")
    seen: list[int] = []
    with caplog.at_level(logging.WARNING):
        found = upscaler.run(image, progress=lambda done, total: seen.append(done == total))
        again = upscaler.run(image)
    assert torch.equal(found, expected)
    assert torch.equal(again, expected)
    assert [record.message for record in caplog.records] == ["loud overflows in float16; going on in float32."]
    assert seen[-1]


def test_attention_in_bfloat16_has_the_accuracy_of_float32() -> None:
    torch.manual_seed(0)
    qkv, matrix = torch.randn(2, 64, 3, 2, 8).bfloat16(), torch.randn(2, 64, 64).bfloat16()
    q, k, v = qkv.double().permute(2, 0, 3, 1, 4)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=matrix[None].double())
    assert torch.equal(attend(qkv, Bias(matrix)).transpose(1, 2), expected.bfloat16())


@given(st.integers(1, 12), st.integers(1, 12), st.booleans(), st.booleans())
def test_gelu_in_the_convolution(height: int, width: int, depthwise: bool, part: bool) -> None:
    torch.manual_seed(0)
    conv = Conv2d(8, 8, 3, groups=8) if depthwise else Conv2d(8, 12, 1)
    x = torch.randn(2, height + 2, width + 2, 8).permute(0, 3, 1, 2)
    x = x[..., 1:-1, 1:-1] if part else x
    expected = F.gelu(conv(x))
    with torch.no_grad():
        assert torch.allclose(conv(x, "gelu"), expected, atol=1e-5)
    assert conv(x, "gelu").requires_grad


def smooth_noise(kind: type, high: int) -> np.ndarray:
    """Return (40, 52, 3) with structure at several sizes."""
    rng = np.random.default_rng(0)
    image = sum(np.kron(rng.random((40 // n + 1, 52 // n + 1, 3)), np.ones((n, n, 1)))[:40, :52] * n for n in (1, 4, 8))
    return (image / 13 * high).astype(kind)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("layer", ["proj", "to_img"])
def test_parameters_too_large_for_float32_make_no_picture(dtype: Any, layer: str) -> None:
    upscaler = random_upscaler()
    with torch.no_grad():
        getattr(upscaler.model.network, layer).weight.fill_(3e38)
    with pytest.raises(ImageError, match="no numbers"):
        upscaler(np.random.default_rng(0).integers(0, 200, (8, 9, 3)).astype(dtype), axes="YXS")
