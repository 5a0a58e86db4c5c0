"""Where results lie: no window is needed for that."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image

from esc_plugin.arrays.sizes import target_size
from napari_esc.geometry import Grid, whole_region

from .layers_to_try import lengths


def outer_corners(layer: Image, region: tuple[slice, ...]) -> np.ndarray:
    """Return the world coordinates of the outermost points of a box of pixels."""
    ends = [(part.start - 0.5, part.stop - 0.5) for part in region]
    return np.array([layer.data_to_world(corner) for corner in product(*ends)])


numbers = st.floats(0.05, 20, allow_nan=False)
angles = st.floats(-180, 180, allow_nan=False)


@st.composite
def transforms(draw: st.DrawFn, ndim: int) -> dict[str, object]:
    affine = np.eye(ndim + 1)
    affine[:ndim, :ndim] += np.array(draw(st.lists(st.floats(-0.3, 0.3), min_size=ndim**2, max_size=ndim**2))).reshape(
        ndim, ndim
    )
    affine[:ndim, -1] = draw(st.lists(st.floats(-50, 50), min_size=ndim, max_size=ndim))
    shears = ndim * (ndim - 1) // 2
    return {
        "scale": draw(st.lists(numbers, min_size=ndim, max_size=ndim)),
        "translate": draw(st.lists(st.floats(-100, 100), min_size=ndim, max_size=ndim)),
        "rotate": draw(angles) if ndim == 2 else draw(st.tuples(angles, angles, angles)),
        "shear": draw(st.lists(st.floats(-0.8, 0.8), min_size=shears, max_size=shears)),
        "affine": affine,
    }


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@settings(max_examples=40)
@given(data=st.data(), ndim=st.sampled_from([2, 3]), factor=st.tuples(st.floats(1, 8), st.floats(1, 8)))
def test_a_result_has_the_outer_corners_of_its_region(data: st.DataObject, ndim: int, factor: tuple[float, float]) -> None:
    shape = (3, 11, 14)[-ndim:]
    layer = Image(np.zeros(shape, np.uint8), **data.draw(transforms(ndim)))
    starts = [data.draw(st.integers(0, n - 1)) for n in shape]
    region = tuple(slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, shape, strict=True))
    before = lengths(region)
    # A part begins somewhere between two pixels of the result unless the factor is whole.
    new = (*before[:-2], *target_size(before[-2], before[-1], factor))
    factors = [n / b for n, b in zip(new, before, strict=True)]
    start = [part.start * f for part, f in zip(region, factors, strict=True)]
    same = {"rotate": layer.rotate, "shear": layer.shear, "affine": layer.affine}
    result = Image(np.zeros(new, np.uint8), **same, **Grid.of(layer).placement(start, factors))
    np.testing.assert_allclose(outer_corners(result, whole_region(result)), outer_corners(layer, region), rtol=0, atol=1e-9)


def test_the_shift_is_half_of_a_new_pixel() -> None:
    layer = Image(np.zeros((4, 4)), scale=(2, 2), translate=(10, 20))
    place = Grid.of(layer).placement((0, 0), (2, 4))
    assert place == {"scale": [1.0, 0.5], "translate": [9.5, 19.25]}


def test_a_mirrored_axis_keeps_its_corners() -> None:
    layer = Image(np.zeros((6, 9)), scale=(-0.5, 2), translate=(3, 4))
    result = Image(np.zeros((12, 18)), **Grid.of(layer).placement((0, 0), (2, 2)))
    np.testing.assert_allclose(
        outer_corners(result, whole_region(result)), outer_corners(layer, whole_region(layer)), atol=1e-12
    )
