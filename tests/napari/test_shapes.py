"""Regions that are drawn as shapes, whatever the transforms of both layers are. No window is needed for that."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Shapes

from esc_plugin import ImageError
from napari_esc.geometry import shapes_regions

MICROMETERS, NANOMETERS = ("micrometer",) * 3, ("nanometer",) * 3
SQUARE = np.array([[1.8, 2.8], [1.8, 6.2], [5.2, 6.2], [5.2, 2.8]])  # of rows 2 to 5 and columns 3 to 6

moderate = st.floats(0.2, 5)
angles = st.floats(-180, 180)


@st.composite
def transforms(draw: st.DrawFn, ndim: int) -> dict[str, Any]:
    affine = np.eye(ndim + 1)
    affine[:ndim, :ndim] += np.reshape(
        draw(st.lists(st.floats(-0.2, 0.2), min_size=ndim**2, max_size=ndim**2)), (ndim, ndim)
    )
    affine[:ndim, -1] = draw(st.lists(st.floats(-50, 50), min_size=ndim, max_size=ndim))
    shears = ndim * (ndim - 1) // 2
    return {
        "scale": draw(st.lists(moderate, min_size=ndim, max_size=ndim)),
        "translate": draw(st.lists(st.floats(-100, 100), min_size=ndim, max_size=ndim)),
        "rotate": draw(angles) if ndim == 2 else draw(st.tuples(angles, angles, angles)),
        "shear": draw(st.lists(st.floats(-0.5, 0.5), min_size=shears, max_size=shears)),
        "affine": affine,
    }


def regions(image: Image, shapes: Shapes) -> list[list[tuple[int, int]]]:
    """Return start and stop per axis of each region, of layers that are in a viewer together."""
    viewer = ViewerModel()
    viewer.add_layer(image)
    viewer.add_layer(shapes)
    return [[(part.start, part.stop) for part in region] for region in shapes_regions(viewer, image, shapes)]


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@settings(max_examples=40, deadline=None)
@given(data=st.data(), ndim=st.sampled_from([2, 3]), factor=st.sampled_from([1, 1000]))
def test_a_box_of_pixels_that_is_drawn_around_is_the_region(data: st.DataObject, ndim: int, factor: int) -> None:
    """Drawn in a layer with other transforms and units: napari draws 1000 nm where it draws 1 µm."""
    shape = (3, 11, 14)[-ndim:]
    image = Image(np.zeros(shape, "u1"), **data.draw(transforms(ndim)), units=MICROMETERS[:ndim])
    place = data.draw(transforms(ndim))
    shapes = Shapes(ndim=ndim, **place, units=(MICROMETERS if factor == 1 else NANOMETERS)[:ndim])
    starts = [data.draw(st.integers(0, n - 1)) for n in shape]
    box = [(start, data.draw(st.integers(start + 1, n))) for start, n in zip(starts, shape, strict=True)]
    inside = product(*((start - 0.3, stop - 0.7) for start, stop in box))
    vertices = [shapes.world_to_data(np.array(image.data_to_world(corner)) * factor) for corner in inside]
    shapes.add(np.array(vertices), shape_type="path")
    assert regions(image, shapes) == [box]


@pytest.mark.parametrize("shape_type", ["rectangle", "polygon", "path", "ellipse"])
def test_a_shape_is_the_pixels_that_it_touches(shape_type: str) -> None:
    image = Image(np.zeros((20, 30)))
    assert regions(image, Shapes([SQUARE], shape_type=shape_type)) == [[(2, 6), (3, 7)]]


def test_a_line_on_the_edges_of_pixels_takes_no_more_of_them() -> None:
    image = Image(np.zeros((4000, 6000)), scale=(0.3, 0.3))
    edges = (np.array([[2000, 3], [2000, 5000], [3100, 5000], [3100, 3]]) - 0.5) * 0.3
    assert regions(image, Shapes([edges])) == [[(2000, 3100), (3, 5000)]]


def test_a_point_is_one_pixel() -> None:
    image = Image(np.zeros((20, 30)))
    assert regions(image, Shapes([np.full((2, 2), 7.2)], shape_type="path")) == [[(7, 8), (7, 8)]]


def test_a_turned_ellipse_has_its_own_box_and_not_that_of_its_corners() -> None:
    image = Image(np.zeros((100, 100)))
    diamond = np.array([[50, 10], [10, 50], [50, 90], [90, 50]])  # around a circle of radius 28.3
    assert regions(image, Shapes([diamond], shape_type="ellipse")) == [[(22, 79), (22, 79)]]


def test_a_shape_on_a_plane_of_a_stack_is_of_this_plane() -> None:
    image = Image(np.zeros((9, 20, 30)), scale=(2, 1, 1), translate=(10, 0, 0))
    on_plane = np.insert(SQUARE, 0, 10 + 2 * 4, axis=1)
    assert regions(image, Shapes([on_plane])) == [[(4, 5), (2, 6), (3, 7)]]


def test_a_shape_without_a_plane_is_of_all_planes() -> None:
    image = Image(np.zeros((2, 9, 20, 30)), scale=(3, 2, 1, 1), translate=(5, 10, 0, 0))
    assert regions(image, Shapes([SQUARE])) == [[(0, 2), (0, 9), (2, 6), (3, 7)]]


def test_a_shape_on_a_plane_of_other_axes_is_on_all_of_an_image() -> None:
    image = Image(np.zeros((20, 30)))
    assert regions(image, Shapes([np.insert(SQUARE, 0, 77, axis=1)])) == [[(2, 6), (3, 7)]]


def test_regions_are_of_the_finest_level_and_without_samples() -> None:
    levels = [np.zeros((64, 48, 3), "u1"), np.zeros((32, 24, 3), "u1")]
    assert regions(Image(levels, multiscale=True, rgb=True), Shapes([SQUARE * 8])) == [[(14, 43), (22, 48)]]


def test_each_shape_is_a_region_and_selected_ones_are_the_only_ones() -> None:
    image, shapes = Image(np.zeros((20, 30))), Shapes([SQUARE, SQUARE + 1, SQUARE + 10])
    assert regions(image, shapes) == [[(2, 6), (3, 7)], [(3, 7), (4, 8)], [(12, 16), (13, 17)]]
    shapes.selected_data = {2, 0}
    assert regions(image, shapes) == [[(2, 6), (3, 7)], [(12, 16), (13, 17)]]


def test_what_is_drawn_beside_the_layer_is_cut_off() -> None:
    assert regions(Image(np.zeros((20, 30))), Shapes([SQUARE * 10 - 40])) == [[(0, 13), (0, 23)]]


@pytest.mark.parametrize("shift", [100, -100])
def test_a_shape_beside_the_layer_is_refused(shift: float) -> None:
    shapes = Shapes([SQUARE, SQUARE + shift], name="drawn")
    with pytest.raises(ImageError, match="shape 1 of layer 'drawn' lies beside layer 'cells'"):
        regions(Image(np.zeros((20, 30)), name="cells"), shapes)


def test_a_shapes_layer_without_shapes_is_refused() -> None:
    with pytest.raises(ImageError, match="layer 'drawn' has no shapes"):
        regions(Image(np.zeros((20, 30))), Shapes(name="drawn"))
