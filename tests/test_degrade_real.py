"""The degradation of photos: its pieces against other programs and formulas."""

from __future__ import annotations

from dataclasses import replace
from math import pi

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, special

from esc_plugin.arrays.degrade import gaussian_noise, jpeg
from esc_plugin.arrays.filters import blur_kernel, convolve, sharpen, sinc_kernel
from esc_plugin.train.pairs.real import (
    LUMA,
    SECOND,
    RealDegradation,
    Round,
    add_noise,
    factor,
    poisson_noise,
)
from esc_plugin.train.pairs.registry import make_maker
from esc_plugin.train.recipe import RecipeError


def picture(height: int = 48, width: int = 64, seed: int = 0) -> torch.Tensor:
    """Return a smooth picture (3, H, W) with an edge."""
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.random((3, height, width)), (0, 2, 2))
    image = (image - image.min()) / np.ptp(image)
    image[:, :, width // 2 :] *= 0.4
    return torch.from_numpy(image.astype(np.float32))


@pytest.mark.parametrize("size", [7, 13, 21])
@pytest.mark.parametrize("plateau", [False, True])
def test_kernels_sum_to_one_and_turn(size: int, plateau: bool) -> None:
    kernel = blur_kernel(size, (2.5, 0.7), 0.3, 1.4, plateau)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
    assert (kernel >= 0).all()
    turned = blur_kernel(size, (2.5, 0.7), 0.3 + pi / 2, 1.4, plateau)
    assert torch.allclose(turned, torch.rot90(kernel), atol=1e-7)


def test_the_gaussian_is_scipys_and_its_widths_are_what_was_asked() -> None:
    kernel = blur_kernel(21, (1.2, 1.2), 0.0)
    point = np.zeros((21, 21))
    point[10, 10] = 1
    assert np.allclose(kernel, ndimage.gaussian_filter(point, 1.2, truncate=9), atol=1e-6)
    kernel = blur_kernel(21, (2.0, 1.0), 0.0).double()
    axis = torch.arange(21.0).double() - 10
    assert (kernel.sum(0) * axis**2).sum().item() == pytest.approx(4, abs=0.01)  # the first sigma lies along x
    assert (kernel.sum(1) * axis**2).sum().item() == pytest.approx(1, abs=0.01)


def test_a_sinc_is_a_circular_low_pass() -> None:
    """Its frequency response is near 1 well below the cut-off and near 0 well above."""
    cutoff = pi / 2
    kernel = sinc_kernel(21, cutoff).double().numpy()
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    expected = cutoff * special.j1(cutoff * 3) / (2 * pi * 3)
    assert kernel[10, 13] / kernel[10, 10] == pytest.approx(expected / (cutoff**2 / (4 * pi)), rel=1e-5)
    response = np.abs(np.fft.fft2(kernel, (64, 64)))
    y, x = np.meshgrid(*[2 * pi * np.fft.fftfreq(64)] * 2, indexing="ij")
    radius = np.hypot(x, y)
    assert np.abs(response[radius < 0.6 * cutoff] - 1).max() < 0.2  # the square support ripples
    assert response[radius > 1.4 * cutoff].max() < 0.1


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    rows=st.sampled_from([1, 7, 21]),
    columns=st.sampled_from([1, 7, 21]),
)
@settings(max_examples=25)
def test_convolution_is_scipys_at_every_size(height: int, width: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(height * 31 + width)
    image, kernel = rng.random((2, height, width)).astype(np.float32), rng.random((rows, columns)).astype(np.float32)
    found = convolve(torch.from_numpy(image), torch.from_numpy(kernel)).numpy()
    for plane, result in zip(image, found, strict=True):
        expected = ndimage.correlate(plane.astype(np.float64), kernel.astype(np.float64), mode="mirror")
        assert np.allclose(result, expected, rtol=1e-4, atol=1e-4)


def test_noise_has_the_variance_that_it_should() -> None:
    rng = np.random.default_rng(0)
    gray = torch.full((3, 200, 200), 0.5)
    assert gaussian_noise(gray, 0.1, rng).std().item() == pytest.approx(0.1, rel=0.02)
    ramp = torch.linspace(0, 255, 256).round().div(255).repeat(3, 400, 1)  # all 256 levels
    noise = poisson_noise(ramp, rng)
    for level in (51, 128, 255):
        assert noise[..., level].var().item() == pytest.approx(level / 255 / 256, rel=0.12)
    assert noise.mean().item() == pytest.approx(0, abs=5e-4)


@pytest.mark.parametrize("gaussian", [0.0, 1.0])
def test_gray_noise_is_the_same_in_all_channels(gaussian: float) -> None:
    image = torch.full((3, 40, 40), 0.5)
    stage = Round(gaussian_prob=gaussian, gray_prob=1.0)
    noise = add_noise(image, stage, np.random.default_rng(3)) - image
    assert noise.abs().max() > 0
    assert torch.equal(noise[0], noise[1])
    assert torch.equal(noise[0], noise[2])
    noise = add_noise(image, replace(stage, gray_prob=0.0), np.random.default_rng(3)) - image
    assert not torch.equal(noise[0], noise[1])


def test_factors_follow_their_probabilities() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([factor(SECOND, rng) for _ in range(4000)])
    assert (drawn > 1).mean() == pytest.approx(0.3, abs=0.03)
    assert (drawn < 1).mean() == pytest.approx(0.4, abs=0.03)
    assert 0.3 <= drawn.min() < 0.32
    assert 1.18 < drawn.max() <= 1.2


def test_jpeg_loses_more_at_lower_quality_and_keeps_a_flat_gray() -> None:
    image = picture()
    errors = [(jpeg(image, quality) - image).abs().mean().item() for quality in (95, 60, 30)]
    assert 0 < errors[0] < errors[1] < errors[2] < 0.1
    flat = torch.full((3, 16, 24), 128 / 255)
    assert torch.equal(jpeg(flat, 30), flat)


def test_sharpening_steepens_edges_and_leaves_small_differences() -> None:
    x = torch.full((1, 3, 64, 64), 0.3)
    x[..., 32:] = 0.7
    sharp = sharpen(x)
    assert sharp[..., 31].max() < 0.25
    assert sharp[..., 32].min() > 0.75
    faint = torch.full((1, 1, 64, 64), 0.3)
    faint[..., 32:] = 0.33
    assert torch.allclose(sharpen(faint), faint, atol=1e-6)


def test_sharpening_is_unsharp_masking_by_opencv() -> None:
    """Blur by OpenCV's 51 pixels, half of the difference added where it is above 10 levels, that mask blurred too."""
    image = picture(90, 70).permute(1, 2, 0).numpy()

    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(x, (51, 51), 0, borderType=cv2.BORDER_REFLECT_101)

    difference = image - blur(image)
    mask = blur((np.abs(difference) * 255 > 10).astype(np.float32))
    expected = mask * np.clip(image + 0.5 * difference, 0, 1) + (1 - mask) * image
    found = sharpen(torch.from_numpy(image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    assert np.allclose(found, expected, atol=1e-4)


@given(h=st.integers(1, 20), w=st.integers(1, 20), scale=st.sampled_from([1, 2, 3, 4]), seed=st.integers(0, 2**32))
@settings(max_examples=25)
def test_results_of_every_size_are_images_and_depend_on_the_seed_alone(h: int, w: int, scale: int, seed: int) -> None:
    high = picture(h * scale, w * scale)
    before = high.clone()
    low = RealDegradation().degrade(high, scale, np.random.default_rng(seed))
    assert low.shape == (3, h, w)
    assert low.dtype == torch.float32
    assert torch.equal(low * 255, (low * 255).round())
    assert 0 <= low.min() <= low.max() <= 1
    assert torch.equal(high, before)
    assert torch.equal(low, RealDegradation().degrade(high, scale, np.random.default_rng(seed)))


def test_seeds_differ_and_the_degraded_image_shows_the_original() -> None:
    high = picture(96, 96)
    small = (torch.nn.functional.avg_pool2d(high, 4) * LUMA).sum(0).ravel()
    results = [RealDegradation().degrade(high, 4, np.random.default_rng(seed)) for seed in range(20)]
    assert len({result.numpy().tobytes() for result in results}) == 20
    assert np.median([np.corrcoef((r * LUMA).sum(0).ravel(), small)[0, 1] for r in results]) > 0.8


def test_the_maker_of_a_recipe_gives_colour_patches() -> None:
    maker = make_maker("real", 4, 16, {"first": {"jpeg_quality": [90, 95]}})
    edge = maker.size(np.random.default_rng(0)) + 2 * maker.margin
    hr = np.random.default_rng(0).integers(0, 256, (edge, edge, 1), np.uint8)
    low, target = maker.make(hr, np.random.default_rng(0))
    assert low.shape == (3, 16, 16)
    assert target.shape == (3, 64, 64)
    inner = hr[maker.margin : -maker.margin, maker.margin : -maker.margin, 0]
    assert np.array_equal((target[1] * 255).round().byte().numpy(), inner)
    with pytest.raises(RecipeError, match="jpeg"):
        make_maker("real", 4, 16, {"first": {"jpeg": 3}})
