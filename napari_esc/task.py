"""What is to be done: a region of a layer, and all that is wanted of its result. It knows no viewer and no Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esc_plugin.arrays.layout import Layout, layout_of
from esc_plugin.arrays.lazy import sliceable
from esc_plugin.arrays.sizes import target_size

from .geometry import Grid, Region, central_part, lengths
from .source import copied, finest
from .texts import factor_text

if TYPE_CHECKING:
    from napari.layers import Image

#: Labels of an axis whose entries have levels of their own.
CHANNEL = ("c", "channel", "channels")


@dataclass(frozen=True)
class Settings:
    """What a user chose.

    Attributes
    ----------
    model : str
        A name on offer, a path, or a repository of the Hub.
    factor : tuple of float
        New pixels per pixel, down and across.
    intensity : str or tuple of float
        What the network sees as black and white, see `esc_plugin.Upscaler`.
    consistency, difference : bool
        Whether to keep local averages, and whether to make a layer of what differs.
    device : str
        ``"auto"`` or a torch device.
    memory_limit : int, optional
        In bytes.
    store : Path, optional
        Where to write an OME-Zarr image; by default the result stays in memory.
    """

    model: str
    factor: tuple[float, float]
    intensity: str | tuple[float, float] = "auto"
    consistency: bool = False
    difference: bool = False
    device: str = "auto"
    memory_limit: int | None = None
    store: Path | None = None


@dataclass(frozen=True)
class Task:
    """A region of a layer and what to do with it. All of the layer that is needed is taken when the task is made.

    Attributes
    ----------
    image, whole : array
        The region, and the layer's finest level, whose levels of intensity count for all of its regions; lazy where the
        layer is: (..., Y, X[, S]).
    region : tuple of slice
        Of the layer's finest level.
    rgb : bool
        Whether the last axis holds samples.
    settings : Settings
        What to do.
    source : hashable
        Tells the source from all other layers.
    name : str
        Of the source.
    state : dict
        Every property that the result keeps, see `napari_esc.source.copied`.
    limits : list of float, optional
        Between which contrast limits can be set; ``None`` of RGB layers.
    metadata : dict
        Of the source.
    grid : Grid
        Where the pixels of the source lie.
    """

    image: Any
    whole: Any
    region: Region
    rgb: bool
    settings: Settings
    source: Any
    name: str
    state: dict[str, Any]
    limits: list[float] | None
    metadata: dict[str, Any]
    grid: Grid

    @classmethod
    def of(cls, layer: Image, region: Region, settings: Settings) -> Task:
        """Take from a layer what the task needs.

        Raises
        ------
        ImageError
            If the layer or the factor is one that can't be worked with.
        """
        whole = sliceable(finest(layer))
        task = cls(
            image=whole[region],
            whole=whole,
            region=region,
            rgb=bool(layer.rgb),
            settings=settings,
            source=layer.unique_id,
            name=layer.name,
            state=copied(layer),
            limits=None if layer.rgb else list(layer.contrast_limits_range),
            metadata=dict(layer.metadata),
            grid=Grid.of(layer),
        )
        _ = task.shape  # so that what can't be is said now
        return task

    def central(self, pixels: int) -> Task:
        """Return the task for the middle of the region, with at most about `pixels` pixels in a plane."""
        region = central_part(self.region, pixels)
        inside = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(region, self.region, strict=True))
        return replace(self, region=region, image=self.image[inside])

    def for_preview(self) -> Task:
        """Return the task without what only a result deserves: a file, and a difference layer."""
        return replace(self, settings=replace(self.settings, store=None, difference=False))

    @property
    def identity(self) -> tuple[Any, Region, Settings]:
        """Equal for tasks that would make the same."""
        return self.source, self.region, self.settings

    @property
    def layout(self) -> Layout:
        """The axes of the region in the core's words: C where a label says channel, other letters for what counts planes."""
        labels = [str(label).lower() for label in self.state.get("axis_labels") or ()][: len(self.region) - 2]
        channel = next((i for i, label in enumerate(labels) if label in CHANNEL), None)
        others = iter("ABDEFGHIJKLMNOPQ")
        letters = ["C" if i == channel else next(others) for i in range(len(self.region) - 2)]
        return layout_of(self.image, "".join(letters) + "YX" + "S" * self.rgb)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a plane of the input."""
        return self.layout.height, self.layout.width

    @property
    def target(self) -> tuple[int, int]:
        """Height and width of a plane of the result."""
        return target_size(*self.size, self.settings.factor)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return self.layout.resized(*self.target)

    @property
    def planes(self) -> int:
        """How many planes there are."""
        return prod(self.shape[: len(self.region) - 2])

    @property
    def nbytes(self) -> int:
        """Size of the result."""
        return prod(self.shape) * int(self.image.dtype.itemsize)

    @property
    def place(self) -> dict[str, list[float]]:
        """Scale and translate of the result."""
        return self.grid.placement(self.region, self.shape[: len(self.region)])

    @property
    def place_of_region(self) -> dict[str, list[float]]:
        """Scale and translate of the region itself, for what has the pixels of the input."""
        return self.grid.placement(self.region, lengths(self.region))

    @property
    def title(self) -> str:
        """Name of the layer to come."""
        return f"{self.name} [{factor_text(self.size, self.target)}]"
