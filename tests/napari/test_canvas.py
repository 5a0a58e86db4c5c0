"""What is drawn, and what is in view, in a window that really is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Layer

from esc_plugin import ImageError
from napari_esc import upscale_layer
from napari_esc.geometry import visible_region, whole_region

from .layers_to_try import kinds, lengths, pixels

KINDS = kinds()


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any], qtbot: Any) -> Any:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(700, 600)
    qtbot.wait(100)
    return viewer


def camera(viewer: Any) -> Any:
    return viewer.scene.camera


def picture(viewer: Any, qtbot: Any) -> np.ndarray:
    qtbot.wait(150)
    return viewer.screenshot(canvas_only=True, flash=False)


def result_of(layer: Image, region: Any, model: str) -> Image:
    return Layer.create(*upscale_layer(layer, model, region=region, device="cpu"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "NaN" not in kind])
def test_repeated_pixels_change_nothing_on_the_canvas(kind: str, viewer: Any, qtbot: Any, nearest: str) -> None:
    data, properties = KINDS[kind]
    source = viewer.add_layer(Image(data, **{**properties, "interpolation2d": "nearest"}))
    viewer.reset_view()
    before = picture(viewer, qtbot)
    viewer.add_layer(result_of(source, whole_region(source), nearest))
    source.visible = False
    after = picture(viewer, qtbot)
    assert len(np.unique(before)) > 10  # something was drawn
    assert not np.any(before != after)


VIEWS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "fitted": ("gray uint16", lambda viewer: None),
    "zoomed": ("gray uint16", lambda viewer: zoom(viewer, 4)),
    "past the edge": ("gray uint16", lambda viewer: (zoom(viewer, 3), pan(viewer, 9, 12))),
    "rotated": ("rotated, sheared, affine", lambda viewer: zoom(viewer, 4)),
    "multiscale": ("multiscale", lambda viewer: zoom(viewer, 8)),
    "sliders": ("TZCYX dask", lambda viewer: (viewer.dims.set_current_step(0, 1), viewer.dims.set_current_step(1, 2))),
    "anisotropic": ("anisotropic ZYX", lambda viewer: zoom(viewer, 2)),
    "RGB": ("RGB uint8", lambda viewer: zoom(viewer, 2)),
    "transposed": ("gray uint16", lambda viewer: (setattr(viewer.dims, "order", (1, 0)), zoom(viewer, 3))),
}


def zoom(viewer: Any, factor: float) -> None:
    camera(viewer).zoom *= factor


def pan(viewer: Any, down: float, across: float) -> None:
    center = camera(viewer).center
    camera(viewer).center = (*center[:-2], center[-2] + down, center[-1] + across)


@pytest.mark.parametrize("view", VIEWS)
def test_the_visible_region_replaces_what_is_in_view(view: str, viewer: Any, qtbot: Any, nearest: str) -> None:
    kind, change = VIEWS[view]
    data, properties = KINDS[kind]
    source = viewer.add_layer(Image(data, **{**properties, "interpolation2d": "nearest"}))
    viewer.reset_view()
    change(viewer)
    before = picture(viewer, qtbot)
    region = visible_region(viewer, source)
    viewer.add_layer(result_of(source, region, nearest))
    source.visible = False
    after = picture(viewer, qtbot)
    assert len(np.unique(before)) > 10
    # Where the canvas samples exactly between two pixels, rounding may choose the other one.
    assert np.mean(np.any(before != after, axis=-1)) < 0.005
    # And it isn't simply everything.
    if view in ("zoomed", "past the edge", "multiscale"):
        whole = whole_region(source)
        assert np.prod(lengths(region)[-2:]) < 0.5 * np.prod(lengths(whole)[-2:])


def test_the_visible_region_is_right_beside_a_layer_in_other_units(viewer: Any, qtbot: Any) -> None:
    """1000 nm are 1 um: the same place on the canvas, whatever unit the viewer chooses."""
    if not hasattr(viewer.dims, "units"):
        pytest.skip("this napari draws layers without their units")
    micro = viewer.add_image(pixels(100, 100), scale=(1, 1), units=("um", "um"))
    nano = viewer.add_image(pixels(100, 100), scale=(1000, 1000), units=("nm", "nm"))
    viewer.reset_view()
    zoom(viewer, 5)
    qtbot.wait(150)
    assert visible_region(viewer, micro) == visible_region(viewer, nano)
    rows, columns = lengths(visible_region(viewer, nano))
    assert 10 < rows < 40
    assert 10 < columns < 40


def test_what_has_no_visible_region_says_so(viewer: Any, qtbot: Any) -> None:
    layer = viewer.add_image(pixels(3, 20, 20), name="cells")
    viewer.reset_view()
    pan(viewer, 1000, 0)
    with pytest.raises(ImageError, match="nothing of layer 'cells' is in view"):
        visible_region(viewer, layer)
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(ImageError, match="other axes"):
        visible_region(viewer, layer)
    viewer.dims.order = (0, 1, 2)
    (viewer.canvas if hasattr(viewer, "canvas") else viewer).grid.enabled = True
    with pytest.raises(ImageError, match="grid"):
        visible_region(viewer, layer)
    viewer.dims.ndisplay = 3
    with pytest.raises(ImageError, match="2-D display"):
        visible_region(viewer, layer)
