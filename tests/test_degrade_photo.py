"""Photos as cameras and the web give them, in measure: each step against what it says, and pairs that fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin.arrays.bicubic import imresize
from esc_plugin.train.pairs.maker import to_tensor
from esc_plugin.train.pairs.photo import BORDER, Photo
from esc_plugin.train.pairs.registry import make_maker
from esc_plugin.train.recipe import RecipeError, read_recipe

NOTHING = {"clean": 0.0, "blur_prob": 0.0, "area_prob": 0.0, "noise_prob": 0.0, "jpeg_prob": 0.0}


def piece(scale: int, channels: int = 3, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Return a smooth image of the size that a patch of 24 pixels wants."""
    edge = scale * (24 + 2 * BORDER)
    rng = np.random.default_rng(seed)
    coarse = (rng.random((edge // 8 + 1, edge // 8 + 1, channels)) * np.iinfo(dtype).max).astype(dtype)
    return imresize(coarse, (edge, edge))


@given(scale=st.sampled_from([2, 3, 4]), channels=st.sampled_from([1, 3]), deep=st.booleans(), seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_pairs_are_photos_and_depend_on_the_generator_alone(scale: int, channels: int, deep: bool, seed: int) -> None:
    hr = piece(scale, channels, np.uint16 if deep else np.uint8, seed)
    before = hr.copy()
    low, high = Photo(scale, 24).make(hr, np.random.default_rng(seed))
    again, _ = Photo(scale, 24).make(hr, np.random.default_rng(seed))
    assert np.array_equal(hr, before)
    assert torch.equal(low, again)
    assert (low.shape, high.shape) == ((3, 24, 24), (3, 24 * scale, 24 * scale))
    assert torch.equal(low, (low * 255).round().clamp(0, 255) / 255)
    assert torch.equal(
        high, to_tensor(hr)[:, BORDER * scale : -BORDER * scale, BORDER * scale : -BORDER * scale].expand(3, -1, -1)
    )


@pytest.mark.parametrize("options", [{"clean": 1.0}, NOTHING])
def test_a_clean_patch_is_matlabs_reduction(options: dict[str, float]) -> None:
    hr = piece(2)
    low, _ = Photo(2, 24, **options).make(hr, np.random.default_rng(0))
    reduced = imresize(hr, (hr.shape[0] // 2, hr.shape[1] // 2))[BORDER:-BORDER, BORDER:-BORDER]
    # MATLAB rounds after each axis, this one after both.
    assert (low - to_tensor(reduced)).abs().max() <= 1.01 / 255


def test_a_reduction_by_area_is_the_mean() -> None:
    hr = piece(2)
    low, _ = Photo(2, 24, **NOTHING | {"area_prob": 1.0}).make(hr, np.random.default_rng(0))
    mean = hr.reshape(40, 2, 40, 2, 3).mean((1, 3))[BORDER:-BORDER, BORDER:-BORDER]
    assert (low * 255 - torch.from_numpy(mean.transpose(2, 0, 1))).abs().max() <= 0.51


@pytest.mark.parametrize("sensor", [0.0, 1.0])
def test_noise_has_the_level_that_is_asked_for(sensor: float) -> None:
    maker = Photo(2, 24, **NOTHING | {"noise_prob": 1.0, "sensor_prob": sensor, "gray_prob": 0.0, "noise": (10.0, 10.0)})
    spreads = {}
    for level in (32, 128, 224):
        flat = np.full((160, 160, 3), level, np.uint8)
        spreads[level] = np.mean([(maker.degrade(to_tensor(flat), np.random.default_rng(i)) * 255).std() for i in range(20)])
    # A sensor's noise grows with the light: at white it is what was asked for.
    expected = {level: 10 * ((0.1 + 0.9 * level / 255) ** 0.5 if sensor else 1) for level in spreads}
    assert spreads == pytest.approx(expected, rel=0.1)


def test_noise_may_be_the_same_in_all_channels() -> None:
    maker = Photo(2, 24, **NOTHING | {"noise_prob": 1.0, "gray_prob": 1.0, "sensor_prob": 0.0, "noise": (10.0, 10.0)})
    low = maker.degrade(torch.full((3, 80, 80), 0.5), np.random.default_rng(0))
    assert low.std() > 5 / 255
    assert torch.equal(low[0], low[1])
    assert torch.equal(low[0], low[2])


def test_jpeg_takes_more_away_the_lower_its_quality() -> None:
    hr = piece(2)
    clean, _ = Photo(2, 24, **NOTHING).make(hr, np.random.default_rng(0))
    losses = []
    for quality in (95, 60, 30):
        low, _ = Photo(2, 24, **NOTHING | {"jpeg_prob": 1.0, "quality": (quality, quality)}).make(
            hr, np.random.default_rng(0)
        )
        losses.append((low - clean).abs().mean().item())
    assert losses == sorted(losses)
    assert losses[0] > 0


def test_the_recipe_trains_on_such_pairs() -> None:
    recipe = read_recipe("photo")
    assert isinstance(make_maker(recipe.data.pairs, 2, recipe.data.patch, recipe.data.options), Photo)
    with pytest.raises(RecipeError, match="grain"):
        make_maker("photo", 2, 48, {"grain": 1})
