"""The microscope's forward model: against scipy and its own formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from esc_plugin.arrays.filters import gaussian_blur
from esc_plugin.train.pairs.microscopy import Exposure, Microscope
from esc_plugin.train.pairs.registry import make_maker
from esc_plugin.train.recipe import RecipeError


@given(sigma=st.floats(0.2, 3), height=st.integers(1, 40), width=st.integers(1, 40))
@settings(max_examples=20)
def test_the_point_spread_is_scipys_gaussian(sigma: float, height: int, width: int) -> None:
    image = np.random.default_rng(height).random((height, width)).astype(np.float32)
    expected = ndimage.gaussian_filter(image.astype(np.float64), sigma, mode="mirror", radius=int(np.ceil(4 * sigma)))
    assert np.allclose(gaussian_blur(torch.from_numpy(image)[None], sigma, int(np.ceil(4 * sigma)))[0], expected, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_binning_is_the_mean_and_keeps_the_light(scale: int) -> None:
    high = torch.rand(1, 12 * scale, 9 * scale)
    recorded = Exposure(sigma=0, photons=1e12, read_noise=0).record(high, scale, np.random.default_rng(0))
    expected = high.reshape(1, 12, scale, 9, scale).mean((2, 4))
    assert torch.allclose(recorded, expected, atol=1e-5)
    assert recorded.mean().item() == pytest.approx(high.mean().item(), abs=1e-5)


@pytest.mark.parametrize("intensity", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("photons", "read_noise"), [(50, 0), (400, 6), (5000, 2)])
def test_noise_is_poisson_gaussian(intensity: float, photons: float, read_noise: float) -> None:
    exposure = Exposure(sigma=1.0, photons=photons, read_noise=read_noise)
    recorded = exposure.record(torch.full((1, 400, 400), intensity), 2, np.random.default_rng(1))
    expected = intensity / photons + (read_noise / photons) ** 2
    assert recorded.var().item() == pytest.approx(expected, rel=0.03)
    assert recorded.mean().item() == pytest.approx(intensity, abs=5 * (expected / 40_000) ** 0.5)


def test_gain_and_background_act_on_both_images() -> None:
    high = torch.rand(1, 16, 16)
    exposure = Exposure(sigma=0, photons=1e12, read_noise=0, gain=0.5, background=0.2)
    assert torch.allclose(exposure.sample(high), 0.5 * high + 0.2)
    binned = torch.nn.functional.avg_pool2d(0.5 * high + 0.2, 2)
    assert torch.allclose(exposure.record(high, 2, np.random.default_rng(0)), binned, atol=1e-5)


@given(h=st.integers(1, 20), w=st.integers(1, 20), scale=st.sampled_from([2, 3, 4]), channels=st.sampled_from([1, 3]))
@settings(max_examples=20)
def test_pairs_are_images_and_depend_on_the_seed_alone(h: int, w: int, scale: int, channels: int) -> None:
    high = torch.rand(channels, h * scale, w * scale)
    low, target = Microscope().pair(high, scale, np.random.default_rng(h), levels=65535)
    again = Microscope().pair(high, scale, np.random.default_rng(h), levels=65535)
    assert torch.equal(low, again[0])
    assert torch.equal(target, again[1])
    assert low.shape == (channels, h, w)
    assert target.shape == (channels, h * scale, w * scale)
    assert 0 <= low.min() <= low.max() <= 1
    assert 0 <= target.min() <= target.max() <= 1


def test_files_have_whole_levels() -> None:
    low, _ = Microscope().pair(torch.rand(1, 32, 32), 2, np.random.default_rng(0), levels=255)
    assert torch.allclose(low * 255, (low * 255).round(), atol=1e-4)


def test_exposures_stay_in_their_ranges() -> None:
    microscope, rng = Microscope(), np.random.default_rng(0)
    drawn = [microscope.draw(rng) for _ in range(2000)]
    photons = np.log10([e.photons for e in drawn])
    assert 2 <= photons.min() < 2.05
    assert 3.95 < photons.max() <= 4
    assert photons.mean() == pytest.approx(3, abs=0.05)  # uniform on the logarithm
    assert all(e.gain + e.background <= 1 for e in drawn)
    assert max(e.background for e in drawn) > 0.09


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_maker_of_a_recipe_gives_patches(dtype) -> None:
    maker = make_maker("microscopy", 2, 16, {"photons": [1e12, 1e12], "sigma": [0, 0], "gain": [1, 1], "read_noise": [0, 0]})
    edge = maker.size(np.random.default_rng(0)) + 2 * maker.margin
    hr = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (edge, edge, 1), dtype)
    low, target = maker.make(hr, np.random.default_rng(0))
    assert low.shape == (1, 16, 16)
    assert target.shape == (1, 32, 32)
    assert torch.allclose(low, torch.nn.functional.avg_pool2d(target, 2), atol=1 / 255)


def test_gray_in_three_channels_stays_gray_and_colour_stays_colour() -> None:
    maker = make_maker("microscopy", 2, 16, {"photons": [100, 100]})
    hr = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    low, _ = maker.make(hr, np.random.default_rng(0))
    assert low.shape == (3, 16, 16)
    low, target = maker.make(np.repeat(hr[..., :1], 3, 2), np.random.default_rng(0))
    assert low.shape == (1, 16, 16)
    assert target.shape == (1, 32, 32)


def test_what_can_not_be_drawn_is_said() -> None:
    with pytest.raises(RecipeError, match=r"photons=\[0, 10\] must be a range"):
        make_maker("microscopy", 2, 16, {"photons": [0, 10]})
    with pytest.raises(RecipeError, match="blur: unknown"):
        make_maker("microscopy", 2, 16, {"blur": [0, 10]})
