"""From layers to tasks, and from their results to new layers with the identity of their sources."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from esc_plugin import ImageError
from esc_plugin.arrays.lazy import sliceable
from esc_plugin.arrays.sizes import isotropic_planes
from esc_plugin.device import free_host_bytes
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_notes import Channel
from esc_plugin.progress import Cancel, Progress, part_of
from esc_plugin.session.saved import check_saved, joined
from esc_plugin.session.task import Settings, StackTask, Task, letters_of

from .geometry import Grid, Region
from .source import copied, levels_of
from .writer import LayerData, channel_of

if TYPE_CHECKING:
    from napari.layers import Image

    from esc_plugin.session.work import Estimate, Result

#: Of the free memory, how much results may take.
SHARE_OF_MEMORY = 0.6
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


@dataclass(frozen=True)
class Order:
    """One task or more, each with what it is taken from."""

    parts: tuple[tuple[Source, Task], ...]

    @classmethod
    def of(cls, regions: Sequence[tuple[Image, Region]], settings: Callable[[Image], Settings]) -> Order:
        """Take from layers what is needed; they may change afterwards.

        Raises
        ------
        EscError
            If one of them can't be worked with.
        """
        sources = [(Source.of(layer), region, settings(layer)) for layer, region in regions]
        return cls(tuple((source, source.task(region, chosen)) for source, region, chosen in sources))

    @property
    def tasks(self) -> list[Task]:
        """What is to be done."""
        return [task for _, task in self.parts]

    @property
    def settings(self) -> Settings:
        """What is wanted; of several layers, only levels of intensity may differ."""
        return self.parts[0][1].settings

    @property
    def title(self) -> str:
        """For people."""
        first, more = self.parts[0][1].title, len(self.parts) - 1
        return f"{first} and {more} more" if more else first

    @property
    def identity(self) -> Hashable:
        """Equal for orders that would make the same."""
        return tuple((source.key, str(task.region), task.settings) for source, task in self.parts)

    @property
    def nbytes(self) -> int:
        """Size of all results."""
        return sum(task.nbytes for task in self.tasks)

    @property
    def too_large(self) -> bool:
        """Whether results need more memory than there is, and no file was named."""
        return not self.settings.store and self.nbytes > SHARE_OF_MEMORY * free_host_bytes()

    def check(self) -> None:
        """Raise an `EscError` unless results can go where they are wanted."""
        if self.settings.store:
            check_saved(self.tasks, self._about)

    @property
    def _about(self) -> list[tuple[Axes, Channel]]:
        return [source.described(task) for source, task in self.parts]

    def estimate(self, progress: Progress, cancel: Cancel) -> list[Estimate]:
        """Return what each task takes."""
        return [_work().estimate(task) for task in self.tasks]

    def run(self, progress: Progress | None = None, cancel: Cancel | None = None) -> list[Result]:
        """Make all results: in memory, or as channels of one file."""
        if self.settings.store:
            whole = joined(self.tasks, self._about)
            saved: list[Result] = _work().save(self.tasks, whole, progress=progress, cancel=cancel)
            return saved
        return self._each(_work().run, progress, cancel)

    def preview(self, progress: Progress | None = None, cancel: Cancel | None = None) -> list[Result]:
        """Make previews."""
        return self._each(_work().preview, progress, cancel)

    def lazy(self, progress: Progress | None = None, cancel: Cancel | None = None) -> list[Result]:
        """Prepare results whose pixels are made when they are looked at."""
        return self._each(_work().lazy, progress, cancel)

    def _each(self, do: Callable[..., Result], progress: Progress | None, cancel: Cancel | None) -> list[Result]:
        count = len(self.parts)
        return [do(task, progress=part_of(progress, i, count), cancel=cancel) for i, task in enumerate(self.tasks)]


def _work() -> ModuleType:
    """Return what does it: torch comes with it."""
    from esc_plugin.session import work

    return work
