"""Where a layer lies in the world, which part of it is in view, and where its upscaled part belongs.

Napari draws pixel k of an axis *centred* at ``k * scale + translate``. A pixel that is cut into s smaller ones keeps its
outer edges, so the centre of the first small one lies half of a new pixel, not half of an old one, from the edge: without
that shift a result lies up to half a pixel beside its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np

from esc_plugin import ImageError

from .facts import finest

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Shapes

#: A box of whole pixels in the data of a layer: one slice with start and stop per axis, without the axis of RGB samples.
Region = tuple[slice, ...]
#: Less of a pixel than this isn't counted as part of a region: napari keeps what is drawn in single precision.
SLIVER = 0.01


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a layer lie, before its affine.

    Attributes
    ----------
    scale, translate : numpy.ndarray
        Of the layer, per axis.
    linear : numpy.ndarray
        The matrix that its rotate, shear and scale make together.
    """

    scale: np.ndarray
    translate: np.ndarray
    linear: np.ndarray

    @classmethod
    def of(cls, layer: Image) -> Grid:
        """Take it from a layer."""
        from napari.utils.transforms import Affine

        linear = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim).linear_matrix
        return cls(np.array(layer.scale, float), np.array(layer.translate, float), np.array(linear, float))

    def placement(self, start: Sequence[int], factor: Sequence[float]) -> dict[str, list[float]]:
        """Return the ``scale`` and ``translate`` that put a part of an upscaled layer exactly onto its source.

        Rotate, shear, affine and units stay what they are.

        Parameters
        ----------
        start : sequence of int
            Its first pixel in the upscaled layer, per axis, without the axis of RGB samples.
        factor : sequence of float
            How many pixels of the upscaled layer a pixel of the source becomes.
        """
        factors = np.array(factor, float)
        # Where the centre of the first new pixel lies, in pixels of the source.
        first = (np.array(start, float) + 0.5) / factors - 0.5
        return {"scale": (self.scale / factors).tolist(), "translate": (self.translate + self.linear @ first).tolist()}


def whole_region(layer: Image) -> Region:
    """Return all pixels of a layer; of a multiscale layer, those of its finest level."""
    return tuple(slice(0, length) for length in finest(layer).shape[: layer.ndim])


def plane_region(viewer: Any, layer: Image) -> Region:
    """Return the plane (the last two axes) at which the viewer's sliders stand."""
    whole = whole_region(layer)
    return (*_at(_to_data(viewer, layer, viewer.dims.point), whole), *whole[-2:])


def visible_region(viewer: Any, layer: Image) -> Region:
    """Return the pixels of the current plane that are inside the canvas.

    ``layer.corner_pixels`` isn't used: it is stale after zooming into a multiscale layer, and wrong where layers have
    different units.

    Raises
    ------
    ImageError
        If nothing of the layer is in view, or the view shows no single (Y, X) plane.
    """
    _check_view(viewer, layer)
    whole = whole_region(layer)
    corners = np.array([_to_data(viewer, layer, corner) for corner in _canvas_corners(viewer)])
    low, high = corners.min(0), corners.max(0)
    # Pixel k reaches from k - 1/2 to k + 1/2; one more on each side covers rounding at the edge of the canvas.
    shown = [
        slice(max(floor(start + 0.5) - 1, 0), min(ceil(stop + 0.5) + 1, part.stop))
        for start, stop, part in zip(low[-2:], high[-2:], whole[-2:], strict=True)
    ]
    if any(part.start >= part.stop for part in shown):
        raise ImageError(f"nothing of layer {layer.name!r} is in view; move it into the canvas or choose another region.")
    return (*_at((low + high) / 2, whole), *shown)


def shapes_regions(viewer: Any, layer: Image, shapes: Shapes) -> list[Region]:
    """Return the bounding box of each shape in pixels of a layer, or of each selected one if some are selected.

    A shape on a plane gives that plane. Along axes that the shapes don't have, as for 2-D shapes on a stack, a region is as
    long as the layer. Regions may overlap.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose units count where those of the layers differ.
    layer : napari.layers.Image
        Whose pixels are meant; of a multiscale layer, those of its finest level.
    shapes : napari.layers.Shapes
        Of any transform, units and number of axes.

    Raises
    ------
    ImageError
        If there are no shapes, or one of them lies beside the layer.
    """
    chosen = sorted(shapes.selected_data) or range(shapes.nshapes)
    if not chosen:
        raise ImageError(f"layer {shapes.name!r} has no shapes; draw one or choose another region.")
    return [_box(viewer, layer, shapes, index) for index in chosen]


def _box(viewer: Any, layer: Image, shapes: Shapes, index: int) -> Region:
    points = _drawn(viewer, layer, shapes, np.asarray(shapes.data[index], float))
    corners = np.array([_to_data(viewer, layer, point) for point in points])
    ends = _ellipse_ends(corners) if shapes.shape_type[index] == "ellipse" else (corners.min(0), corners.max(0))
    region = tuple(_pixels(low, high, part.stop) for low, high, part in zip(*ends, whole_region(layer), strict=True))
    if any(part.start >= part.stop for part in region):
        raise ImageError(
            f"shape {index} of layer {shapes.name!r} lies beside layer {layer.name!r}; move it onto the image or remove it."
        )
    return region


def _pixels(low: float, high: float, length: int) -> slice:
    """Return which pixels a shape touches: pixel k reaches from k - 1/2 to k + 1/2."""
    start = floor(low + 0.5 + SLIVER)
    stop = max(ceil(high + 0.5 - SLIVER), start + 1)
    return slice(max(start, 0), min(stop, length))


def _drawn(viewer: Any, layer: Image, shapes: Shapes, vertices: np.ndarray) -> np.ndarray:
    """Return the vertices of a shape in the viewer's coordinates, once for each end of axes that only the layer has."""
    world = np.array([shapes.data_to_world(vertex) for vertex in vertices]) / _unit_factors(viewer, shapes)
    missing = max(layer.ndim - shapes.ndim, 0)
    ends = (np.asarray(layer.extent.world) / _unit_factors(viewer, layer))[:, :missing].T
    return np.array([(*leading, *point) for leading in product(*ends) for point in world])


def _ellipse_ends(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far ellipses reach, from the corners of the parallelograms around them: (4 * n, D)."""
    boxes = corners.reshape(-1, 4, corners.shape[-1])
    centre, down, across = (boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 0]
    reach = (down**2 + across**2) ** 0.5 / 2
    return (centre - reach).min(0), (centre + reach).max(0)


def _check_view(viewer: Any, layer: Image) -> None:
    if viewer.dims.ndisplay != 2:
        raise ImageError(
            "the visible region is known in 2-D display only; switch the viewer to 2-D or choose another region."
        )
    if viewer.canvas.grid.enabled:
        raise ImageError("the visible region isn't known while the grid is on; switch it off or choose another region.")
    shown = sorted(axis - viewer.dims.ndim + layer.ndim for axis in viewer.dims.displayed)
    if shown != [layer.ndim - 2, layer.ndim - 1]:
        raise ImageError(
            "the viewer shows other axes than the last two of the layer; reset their order or choose another region."
        )


def _canvas_corners(viewer: Any) -> list[np.ndarray]:
    """Return the four corners of the canvas in world coordinates."""
    camera = viewer.scene.camera
    half = np.array(viewer.canvas.size, float) / camera.zoom / 2
    corners = []
    for sign in product((-1, 1), repeat=2):
        corner = np.array(viewer.dims.point, float)
        corner[list(viewer.dims.displayed)] = np.array(camera.center[-2:]) + sign * half
        corners.append(corner)
    return corners


def _to_data(viewer: Any, layer: Image, world: Sequence[float] | np.ndarray) -> np.ndarray:
    """Convert a point from the viewer's units to pixels of the layer's finest level."""
    point = np.array(world, float)[-layer.ndim :]
    return np.asarray(layer.world_to_data(point * _unit_factors(viewer, layer)))


def _unit_factors(viewer: Any, layer: Layer) -> list[float]:
    """Return how many of the layer's units one of the viewer's is, per axis; 1 where napari draws without units."""
    shared = viewer.dims.units
    if shared is None:
        return [1.0] * layer.ndim
    pairs = zip(shared[-layer.ndim :], layer.units, strict=True)
    return [float((1 * ours).to(theirs).magnitude) for ours, theirs in pairs]


def _at(point: np.ndarray, whole: Region) -> list[slice]:
    """Return where the plane is that a point lies in: the nearest that there is, by the axes before Y and X."""
    indices = (int(np.clip(round(float(x)), 0, part.stop - 1)) for x, part in zip(point[:-2], whole[:-2], strict=True))
    return [slice(index, index + 1) for index in indices]
