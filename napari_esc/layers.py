"""From a result to new layers in the viewer, with the identity of their source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .geometry import whole_region

if TYPE_CHECKING:
    from napari.layers import Image

    from .task import Task
    from .work import Result

#: What places a difference layer. Its values and colours are its own.
PLACED_BY = ("rotate", "shear", "affine", "units", "axis_labels")
#: Red where the input is brighter than the averaged result, blue where it is darker.
BLUE_WHITE_RED = [[0.13, 0.4, 0.67, 1], [0.97, 0.97, 0.97, 1], [0.7, 0.09, 0.17, 1]]


def add_result(viewer: Any, task: Task, result: Result) -> Image:
    """Add a result to the viewer, and its difference if there is one."""
    layer = viewer.add_layer(result_layer(task, result))
    if result.difference is not None:
        viewer.add_layer(difference_layer(task, result)).visible = False
        viewer.layers.selection.active = layer
    return layer


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
    return Image(
        result.difference,
        **{key: task.state[key] for key in PLACED_BY if key in task.state},
        **task.place_of_region,
        name=f"{task.title} difference",
        metadata=result.metadata,
        rgb=False,
        colormap=Colormap(BLUE_WHITE_RED, name="blue-white-red"),
        contrast_limits=(-largest, largest),
    )


def hide_if_added_up(source: Image | None, task: Task) -> bool:
    """Hide the source of a whole result if the light of both would add up, and tell whether that was so."""
    if source is None or task.state["blending"] != "additive" or task.region != whole_region(source):
        return False
    source.visible = False
    return True
