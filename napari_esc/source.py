"""What is taken of a layer: from it to tasks, and from their results to new layers with its identity."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from esc_plugin import ImageError
from esc_plugin.arrays.lazy import sliceable
from esc_plugin.arrays.sizes import isotropic_planes
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_notes import Channel
from esc_plugin.session.task import Settings, StackTask, Task, letters_of

from .facts import copied, levels_of
from .geometry import Grid, Region
from .writer import LayerData, channel_of

if TYPE_CHECKING:
    from napari.layers import Image

    from esc_plugin.session.work import Result

#: What places a difference layer. Its values and colours are its own.
PLACED_BY = ("rotate", "shear", "affine", "units", "axis_labels")
#: Red where the input is brighter than the averaged result, blue where it is darker.
BLUE_WHITE_RED = [[0.13, 0.4, 0.67, 1], [0.97, 0.97, 0.97, 1], [0.7, 0.09, 0.17, 1]]


@dataclass(frozen=True)
class Source:
    """What is taken of a layer when work on it begins; the layer may change or go afterwards.

    Attributes
    ----------
    key : hashable
        Tells the layer from all others.
    name : str
        Of the layer.
    pyramid : list of array
        Its levels, finest first, as lazy as the layer is: (..., Y, X[, S]).
    state, metadata : dict
        Every property that the result keeps, see `copied`, and what the layer says of itself.
    limits : list of float, optional
        Between which its contrast limits can be set; ``None`` of RGB layers.
    grid : Grid
        Where its pixels lie.
    """

    key: Hashable
    name: str
    pyramid: list[Any]
    state: dict[str, Any]
    metadata: dict[str, Any]
    limits: list[float] | None
    grid: Grid

    @classmethod
    def of(cls, layer: Image) -> Source:
        """Take it from a layer."""
        pyramid = [sliceable(level) for level in levels_of(layer)]
        limits = None if layer.rgb else list(layer.contrast_limits_range)
        return cls(layer.unique_id, layer.name, pyramid, copied(layer), dict(layer.metadata), limits, Grid.of(layer))

    def task(self, region: Region, settings: Settings) -> Task:
        """Return the task of upscaling a region.

        Raises
        ------
        ImageError
            If the layer or the factor is one that can't be worked with.
        """
        axes = letters_of(self.state.get("axis_labels") or (), len(region), self.state["rgb"])
        about = self.pyramid, axes, region, settings, self.name
        return StackTask(*about, self._planes(axes)) if settings.isotropic else Task(*about)

    def _planes(self, axes: str) -> int:
        """Return how many planes make voxels as deep as wide."""
        if "Z" not in axes:
            raise ImageError(f"layer {self.name!r} is no stack: it has no axis z.")
        voxel = [axes.index(letter) for letter in "ZYX"]
        if len({str(self.state["units"][axis]) for axis in voxel}) > 1:
            units = ", ".join(str(self.state["units"][axis]) for axis in voxel)
            raise ImageError(f"z, y and x of layer {self.name!r} are measured in {units}; give them one unit.")
        return isotropic_planes(self.pyramid[0].shape[voxel[0]], self.grid.scale[voxel].tolist())

    def place(self, task: Task) -> dict[str, list[float]]:
        """Return scale and translate of a task's result."""
        return self.grid.placement(task.start, task.factors)

    def described(self, task: Task) -> tuple[Axes, Channel]:
        """Return what a file says of the result of a task."""
        state = self.state | self.place(task) | {"name": task.title}
        return Axes.of(state, len(task.region)), channel_of(state)

    def layer_data(self, result: Result) -> LayerData:
        """Return the layer of a result: its source's in everything but the pixels."""
        made = {"name": result.task.title, "metadata": self.metadata | {"esc": result.record}}
        return (
            result.data,
            self.state | self.place(result.task) | made | {"multiscale": isinstance(result.data, list)},
            "image",
        )

    def difference_data(self, result: Result) -> LayerData:
        """Return the layer of a difference: signed, so with a colormap that is white at 0 and symmetric limits."""
        from napari.utils import Colormap

        largest = (result.agreement.worst if result.agreement else 0) or 1.0
        region, state = result.task.region, {key: self.state[key] for key in PLACED_BY if key in self.state}
        state |= self.grid.placement([part.start for part in region], [1.0] * len(region))
        state |= {"name": f"{result.task.title} difference", "metadata": self.metadata | {"esc": result.record}}
        colors = Colormap(BLUE_WHITE_RED, name="blue-white-red")
        return result.difference, state | {"rgb": False, "colormap": colors, "contrast_limits": (-largest, largest)}, "image"
