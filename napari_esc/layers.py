"""From a source layer and an upscaled array to a new layer with the source's identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Image

    from .job import Result, Task

#: What is said in pixels of the source, or belongs to its own life in the viewer, and so isn't handed on.
NOT_COPIED = (
    "name",
    "metadata",
    "scale",
    "translate",
    "visible",
    "plane",
    "experimental_clipping_planes",
    "multiscale",
    "locked_data_level",
    "custom_interpolation_kernel_2d",
    "cache",
)
#: Of a difference layer: what places it. Its values and colours are its own.
PLACED_BY = ("rotate", "shear", "affine", "units", "axis_labels")


def copied(layer: Image) -> dict[str, Any]:
    """Return every property of a layer that its upscaled version keeps, as keyword arguments of `napari.layers.Image`."""
    state = dict(layer.as_layer_data_tuple()[1])
    return {key: value for key, value in state.items() if key not in NOT_COPIED}


def factor_text(size: tuple[int, int], target: tuple[int, int]) -> str:
    """Return the enlargement of a plane as users write it: ``"x2"``, or ``"x2 x3"`` where height and width differ."""
    rows, columns = (new / old for old, new in zip(size, target, strict=True))
    return f"x{columns:.4g}" if abs(rows - columns) < 0.005 * rows else f"x{rows:.4g} x{columns:.4g}"


def result_layer(task: Task, result: Result) -> Image:
    """Make the layer of a result: its source's in everything but the pixels."""
    from napari.layers import Image

    layer = Image(
        result.data,
        **task.state,
        **task.place,
        name=task.title,
        metadata=result.metadata,
        multiscale=isinstance(result.data, list),
    )
    if task.limits is not None:
        layer.contrast_limits_range = task.limits
        layer.contrast_limits = task.state["contrast_limits"]
    return layer


def difference_layer(task: Task, result: Result) -> Image:
    """Make the layer of a difference: signed, so with a colormap that is white at 0 and symmetric limits."""
    from napari.layers import Image
    from napari.utils import Colormap

    assert result.difference is not None
    largest = float(np.nanmax(np.abs(result.difference), initial=0)) or 1.0
    # Red where the input is brighter than the averaged result, blue where it is darker.
    colors = Colormap([[0.13, 0.4, 0.67, 1], [0.97, 0.97, 0.97, 1], [0.7, 0.09, 0.17, 1]], name="blue-white-red")
    return Image(
        result.difference,
        **{key: task.state[key] for key in PLACED_BY if key in task.state},
        **task.place_of_region,
        name=f"{task.title} difference",
        metadata=result.metadata,
        rgb=False,
        colormap=colors,
        contrast_limits=(-largest, largest),
    )
