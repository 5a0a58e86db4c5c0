"""Pairs whose scale changes from batch to batch."""

from __future__ import annotations

import numpy as np
import pytest

from esc_plugin.arrays.bicubic import imresize
from esc_plugin.train.pairs.registry import make_maker
from esc_plugin.train.recipe import RecipeError


def test_sizes_cover_the_scales_evenly() -> None:
    maker, rng = make_maker("any-scale", 4, 20, {}), np.random.default_rng(0)
    sizes = np.array([maker.size(rng) for _ in range(3000)])
    assert set(sizes) == set(range(20, 81))
    assert sizes.mean() == pytest.approx(50, abs=1)


@pytest.mark.parametrize("edge", [20, 33, 80])
def test_patches_are_bicubic_reductions(edge: int) -> None:
    maker, hr = make_maker("any-scale", 4, 20, {}), np.random.default_rng(1).integers(0, 256, (edge, edge, 3), np.uint8)
    low, target = maker.make(hr, np.random.default_rng(0))
    assert low.shape == (3, 20, 20)
    assert np.array_equal((target * 255).round().byte().permute(1, 2, 0).numpy(), hr)
    assert np.array_equal((low * 255).round().byte().permute(1, 2, 0).numpy(), imresize(hr, (20, 20)))


def test_a_scale_below_one_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"smallest=0\.5 must be from 1"):
        make_maker("any-scale", 4, 20, {"smallest": 0.5})
