"""Batches of images as tensors (B, H, W, C)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin import Upscaler
from esc_plugin.engine import plan
from esc_plugin.errors import EscError, ImageError
from esc_plugin.network import ESC, EscConfig
from esc_plugin.tensors import check_images, render_images, resize, thumbnail, total_bytes, upscale_images, wanted_bytes
from esc_plugin.weights.model import Model

TINY = EscConfig(dim=12, pdim=4, n_blocks=1, conv_blocks=1, window_size=6, num_heads=3, proj_hidden=18, conv_hidden=15)


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    torch.manual_seed(0)
    return Upscaler(Model(ESC(TINY).eval(), TINY, "tiny", "", ""))


SIDES = st.integers(1, 16)


@settings(max_examples=15)
@given(
    frames=st.integers(1, 3),
    side=st.tuples(SIDES, SIDES),
    channels=st.sampled_from([3, 4]),
    target=st.none() | st.tuples(SIDES, SIDES),
)
def test_equals_the_array_call(
    upscaler: Upscaler, frames: int, side: tuple[int, int], channels: int, target: tuple[int, int] | None
) -> None:
    images = torch.rand(frames, *side, channels)
    found = upscale_images(upscaler, images, size=target)
    options = {"size": target} if target else {}
    for image, result in zip(images, found, strict=True):
        expected = upscaler(image.numpy(), axes="YXS", intensity="range", **options)
        assert np.allclose(result.numpy(), expected.clip(0, 1), atol=1e-5)


def test_takes_any_layout_and_floating_type(upscaler: Upscaler) -> None:
    images = torch.rand(2, 3, 8, 10).permute(0, 2, 3, 1)
    expected = upscale_images(upscaler, images.contiguous())
    assert torch.allclose(upscale_images(upscaler, images), expected, atol=1e-5)
    half = upscale_images(upscaler, images.half())
    assert half.dtype == torch.float32
    assert torch.allclose(half, upscale_images(upscaler, images.half().float()), atol=1e-5)


def test_watching_sees_every_image_before_its_pixels(upscaler: Upscaler) -> None:
    images, seen = torch.rand(2, 5, 6, 3), []

    def watch(image: torch.Tensor, result: torch.Tensor) -> None:
        assert result.isnan().all()
        seen.append((image, result))

    found = upscale_images(upscaler, images, watch=watch)
    assert torch.equal(torch.stack([image for image, _ in seen]), images)
    assert torch.equal(torch.stack([result for _, result in seen]), found)


@pytest.mark.parametrize("shape", [(5, 6, 3), (1, 5, 6, 2), (0, 5, 6, 3), (1, 5, 0, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="must be a tensor"):
        check_images(torch.zeros(shape))


@pytest.mark.parametrize("images", [torch.zeros(1, 5, 6, 3, dtype=torch.uint8), np.zeros((1, 5, 6, 3))])
def test_other_types_are_refused(images: object) -> None:
    with pytest.raises(ImageError):
        check_images(images)  # type: ignore[arg-type]


def test_rendering_brings_opacity_along() -> None:
    images = torch.rand(2, 6, 8, 4)
    found = render_images(images, None, lambda _, image: image.repeat_interleave(2, 0).repeat_interleave(2, 1))
    assert torch.equal(found[..., :3], images[..., :3].repeat_interleave(2, 1).repeat_interleave(2, 2))
    alpha = torch.stack([resize(image[..., 3:].expand(-1, -1, 3), (12, 16))[..., 0] for image in images])
    assert torch.equal(found[..., 3], alpha.clamp(0, 1))


def test_resizing_keeps_what_is_flat_and_what_fits() -> None:
    image = torch.rand(7, 9, 3)
    assert torch.equal(resize(image, (7, 9)), image)
    assert torch.allclose(resize(torch.full((7, 9, 3), 0.25), (20, 4)), torch.full((20, 4, 3), 0.25), atol=1e-6)


def test_asks_for_what_it_plans_to_take(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.zeros(1, 300, 400, 3)
    assert wanted_bytes(upscaler, images) == upscaler.plan(300, 400).device_bytes
    # Where nothing is free, it asks for the memory that lets it work as if alone on the device.
    alone = Upscaler(upscaler.model, memory_limit=total_bytes(torch.device("cpu"))).plan(300, 400).device_bytes
    monkeypatch.setattr(plan, "free_bytes", lambda _: 2**20)
    assert wanted_bytes(upscaler, images) == alone
    assert upscaler.memory_limit is None


def test_asks_for_no_more_than_the_limit(upscaler: Upscaler) -> None:
    images = torch.zeros(1, 300, 400, 3)
    limited = Upscaler(upscaler.model, memory_limit=150 * 2**20)
    assert wanted_bytes(limited, images) <= 150 * 2**20 < wanted_bytes(upscaler, images)
    limited.memory_limit = 2**20
    with pytest.raises(EscError, match="needs at least"):
        wanted_bytes(limited, images)


def test_thumbnail_shows_the_image_where_nothing_is_finished() -> None:
    image, result = torch.rand(30, 20, 4), torch.rand(60, 40, 4)
    finished = result.clone()
    result[31:] = torch.nan
    found = np.asarray(thumbnail(image, result, edge=30))
    assert found.shape == (30, 20, 3)
    assert np.array_equal(found[:16], (finished[:31:2, ::2, :3] * 255).round().byte().numpy())
    assert np.array_equal(found[16:], (image[16:, :, :3] * 255).round().byte().numpy())
