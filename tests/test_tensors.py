"""Batches of images as tensors (B, H, W, C)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from esc_plugin import Upscaler
from esc_plugin.arrays.framing import Framing
from esc_plugin.engine import plan
from esc_plugin.errors import EscError, ImageError
from esc_plugin.network import ESC, EscConfig
from esc_plugin.network.grid import Region
from esc_plugin.other_model import OtherModel
from esc_plugin.progress import Progress
from esc_plugin.session.recent import Recent
from esc_plugin.tensors import (
    blended,
    check_images,
    thumbnail,
    total_bytes,
    upscale_images,
    upscale_part,
    wanted_bytes,
    words_for,
)
from esc_plugin.weights.model import Model

TINY = EscConfig(dim=12, pdim=4, n_blocks=1, conv_blocks=1, window_size=6, num_heads=3, proj_hidden=18, conv_hidden=15)


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    torch.manual_seed(0)
    return Upscaler(Model(ESC(TINY).eval(), TINY, "tiny", "", ""))


SIDES = st.integers(1, 16)
#: Factors of these don't differ so much that they are refused.
MIDDLE = st.integers(4, 16)


@settings(max_examples=15)
@given(
    frames=st.integers(1, 3),
    side=st.tuples(MIDDLE, MIDDLE),
    channels=st.sampled_from([3, 4]),
    target=st.none() | st.tuples(MIDDLE, MIDDLE),
)
def test_equals_the_array_call(
    upscaler: Upscaler, frames: int, side: tuple[int, int], channels: int, target: tuple[int, int] | None
) -> None:
    images = torch.rand(frames, *side, channels)
    framing = Framing(height=target[0], width=target[1], mode="stretch") if target else None
    found = upscale_images(upscaler, images, framing)
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


def doubled(image: Tensor, progress: Progress | None = None) -> Tensor:
    """A model that is none: each pixel becomes four."""
    return image.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_what_goes_beyond_one_is_kept(upscaler: Upscaler) -> None:
    images = torch.rand(2, 8, 10, 3)
    images[0, 3:6, 2:7] = 7.5  # a lamp
    found = upscale_images(upscaler, images)
    assert 7 < found[0].max() <= 7.5
    assert found[0].min() >= 0
    assert torch.equal(found[0, 13:].clamp(0, 1), upscale_images(upscaler, images.clamp(0, 1))[0, 13:])  # away from it
    assert found[1].max() <= 1
    assert upscale_images(OtherModel(2, doubled), images)[0].max() == 7.5


def test_other_models_get_the_layout_in_which_convolutions_are_fast() -> None:
    """Strides from which torch sees that; those of an axis of one image, which never matter else, decide it too."""
    seen = []

    def watched(image: Tensor, progress: object) -> Tensor:
        seen.append(image.stride())
        return doubled(image)

    upscale_images(OtherModel(2, watched), torch.rand(1, 6, 8, 3), Framing(scale=4))
    assert seen == [(6 * 8 * 3, 1, 8 * 3, 3), (12 * 16 * 3, 1, 16 * 3, 3)]


@pytest.mark.parametrize("channels", [3, 4])
def test_other_models_get_all_that_is_done_around_a_network(channels: int) -> None:
    images = torch.rand(2, 6, 8, channels) * 0.5 + 0.25  # nothing is clipped
    images[..., 3:] = 1
    found = upscale_images(OtherModel(2, doubled), images)
    assert torch.equal(found, doubled(images.movedim(3, 1)).movedim(1, 3))
    weak = upscale_images(OtherModel(2, doubled), images, strength=0.25)
    without = upscale_images(OtherModel(2, doubled), images, strength=0.0)
    assert torch.allclose(weak, found * 0.25 + without * 0.75, atol=1e-5)
    twice = upscale_images(OtherModel(2, doubled), images, Framing(scale=4))
    assert torch.equal(twice, doubled(doubled(images.movedim(3, 1))).movedim(1, 3))
    same = upscale_images(OtherModel(2, doubled), images, Framing(scale=1), passes=1)
    assert same.shape == images.shape
    half = torch.zeros(12, 16)
    half[:, 8:] = 1
    masked = upscale_images(OtherModel(2, doubled), images, mask=half)
    assert torch.allclose(masked[:, :, 8:], found[:, :, 8:], atol=1e-6)
    assert torch.allclose(masked[:, :, :8], without[:, :, :8], atol=1e-6)


def test_a_mask_for_each_image(upscaler: Upscaler) -> None:
    images, masks = torch.rand(2, 6, 8, 3), torch.stack([torch.zeros(6, 8), torch.ones(6, 8)])
    found = upscale_images(upscaler, images, mask=masks)
    assert torch.equal(found[0], upscale_images(upscaler, images, strength=0.0)[0])
    assert torch.allclose(found[1], upscale_images(upscaler, images)[1], atol=1e-6)
    for wrong in (torch.ones(3, 6, 8), torch.ones(6), torch.ones(1, 1, 6, 8)):
        with pytest.raises(ImageError, match="a mask must be a tensor"):
            upscale_images(upscaler, images, mask=wrong)


def test_fill_crops_the_middle_of_the_whole(upscaler: Upscaler) -> None:
    images = torch.rand(1, 9, 14, 3)
    whole = upscale_images(upscaler, images)  # 18 x 28
    found = upscale_images(upscaler, images, Framing(width=20, height=18, mode="fill"))
    assert torch.equal(found, whole[:, :, 4:24])


@settings(max_examples=10)
@given(data=st.data(), side=st.tuples(SIDES, SIDES), channels=st.sampled_from([3, 4]))
def test_a_part_is_that_part_of_the_whole(
    upscaler: Upscaler, data: st.DataObject, side: tuple[int, int], channels: int
) -> None:
    images = torch.rand(2, *side, channels)
    whole, surveys = upscale_images(upscaler, images), Recent()
    for _ in range(2):
        (top, bottom), (left, right) = (sorted(data.draw(st.tuples(*2 * [st.integers(0, n)]))) for n in side)
        part = Region(top, left, bottom, right)
        if top < bottom and left < right:
            found = upscale_part(upscaler, images, part, remember=surveys.get)
            assert torch.equal(found, whole[:, 2 * top : 2 * bottom, 2 * left : 2 * right])
        else:
            with pytest.raises(ImageError, match="isn't inside of the image"):
                upscale_part(upscaler, images, part, remember=surveys.get)


def test_averages_are_kept_within_the_range(upscaler: Upscaler) -> None:
    images = torch.rand(2, 9, 14, 3).round(decimals=1)  # many of 0 and 1, which the network passes
    images[1, 2:4, 3] = 3
    whole = upscale_images(upscaler, images, consistency=True)
    assert torch.allclose(whole.reshape(2, 9, 2, 14, 2, 3).mean((2, 4)), images, atol=1e-5)
    assert whole.min() >= 0
    assert whole[0].max() <= 1
    assert whole[1].max() <= 3
    part = upscale_part(upscaler, images, Region(1, 2, 5, 9), remember=Recent().get, consistency=True)
    assert torch.equal(part, whole[:, 2:10, 4:18])
    filled = Framing(width=21, height=18, mode="fill")  # which cuts through blocks
    cropped = upscale_images(upscaler, images, filled, consistency=True)
    assert torch.equal(cropped, whole[:, :, 3:24])
    seen = upscale_part(upscaler, images, Region(1, 0, 5, 9), filled, remember=Recent().get, consistency=True)
    assert torch.equal(seen, whole[:, 2:10, 3:18])


def test_a_changed_image_is_looked_at_again(upscaler: Upscaler) -> None:
    images, surveys = torch.rand(1, 40, 50, 3), Recent()
    for place in [(0, 0, 0, 0), (0, 17, 23, 1), (0, 39, 49, 2)]:
        images[place] = 1 - images[place].round()
        found = upscale_part(upscaler, images, Region(0, 0, 4, 4), remember=surveys.get)
        assert torch.equal(found, upscale_images(upscaler, images)[:, :8, :8])


def test_says_in_words_what_is_done(upscaler: Upscaler) -> None:
    images = torch.zeros(1, 480, 640, 3)
    assert words_for(upscaler, images, None) == "640 x 480 to 1280 x 960: 1 pass x2."
    assert words_for(upscaler, images, Framing(scale=1), 1) == "640 x 480 to 640 x 480: 1 pass x2, then Lanczos x0.5."
    filled = Framing(width=1280, height=720, mode="fill")
    assert words_for(upscaler, images, filled) == "640 x 480 to 1280 x 720: 1 pass x2, cropped from 1280 x 960."


def test_blends() -> None:
    first, second = torch.rand(1, 4, 4, 3), torch.rand(1, 4, 4, 3)
    assert torch.allclose(blended(first.clone(), second, 0.25), 0.75 * first + 0.25 * second)


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
