"""What is to be done: a region of a layer, and all that is wanted of its result. It knows no viewer and no Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esc_plugin.arrays.consistency import Part
from esc_plugin.arrays.layout import Layout, layout_of
from esc_plugin.arrays.lazy import sliceable
from esc_plugin.arrays.sizes import enlarged_span, target_size

from .geometry import Grid, Region, central_part, lengths
from .source import copied, levels_of
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
    sampled : bool
        Whether to look at samples of what isn't in the region, instead of at all of it.
    """

    model: str
    factor: tuple[float, float]
    intensity: str | tuple[float, float] = "auto"
    consistency: bool = False
    difference: bool = False
    device: str = "auto"
    memory_limit: int | None = None
    store: Path | None = None
    sampled: bool = False


@dataclass(frozen=True)
class Task:
    """A region of a layer and what to do with it: its result is a part of that of the whole layer, to the bit.

    All of the layer that is needed is taken when the task is made.

    Attributes
    ----------
    pyramid : list of array
        The levels of the layer, finest first, as lazy as the layer is: (..., Y, X[, S]).
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

    pyramid: list[Any]
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
        task = cls(
            pyramid=[sliceable(level) for level in levels_of(layer)],
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
        return replace(self, region=central_part(self.region, pixels))

    def of_planes(self) -> Task:
        """Return the task for all of the planes that the region is of."""
        rows, columns = (slice(0, length) for length in self.size)
        return replace(self, region=(*self.region[:-2], rows, columns))

    def to_look_at(self) -> Task:
        """Return the task without what only a result deserves: a file, and a difference layer."""
        return replace(self, settings=replace(self.settings, store=None, difference=False))

    def as_image(self) -> Task:
        """Return the task for the region as if it were a whole layer."""
        return replace(self, pyramid=[self.image], region=tuple(slice(0, length) for length in lengths(self.region)))

    @property
    def identity(self) -> tuple[Any, Region, Settings]:
        """Equal for tasks that would make the same."""
        return self.source, self.region, self.settings

    @property
    def whole(self) -> Any:
        """The layer at full resolution."""
        return self.pyramid[0]

    @property
    def image(self) -> Any:
        """The region."""
        return self.whole[self.region]

    @property
    def planes(self) -> Any:
        """The planes that the region is of, whole."""
        return self.whole[self.region[:-2]]

    @cached_property
    def layout(self) -> Layout:
        """The axes of the planes in the core's words: C where a label says channel, other letters for what counts planes."""
        labels = [str(label).lower() for label in self.state.get("axis_labels") or ()][: len(self.region) - 2]
        channel = next((i for i, label in enumerate(labels) if label in CHANNEL), None)
        others = iter("ABDEFGHIJKLMNOPQ")
        letters = ["C" if i == channel else next(others) for i in range(len(self.region) - 2)]
        return layout_of(self.planes, "".join(letters) + "YX" + "S" * self.rgb)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a plane of the layer."""
        return self.layout.height, self.layout.width

    @property
    def target(self) -> tuple[int, int]:
        """Height and width of an upscaled plane."""
        return target_size(*self.size, self.settings.factor)

    @property
    def span(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The rows and columns of an upscaled plane that are the result."""
        (h, w), (height, width), (rows, columns) = self.size, self.target, self.region[-2:]
        return enlarged_span(rows.start, rows.stop, h, height), enlarged_span(columns.start, columns.stop, w, width)

    @property
    def part(self) -> Part:
        """Where the region lies in its planes."""
        rows, columns = ((part.start, part.stop) for part in self.region[-2:])
        return Part(rows, columns, self.size, self.target)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        (top, bottom), (left, right) = self.span
        return self.layout.resized(bottom - top, right - left)

    @property
    def pixels(self) -> int:
        """How many pixels of a plane are in the region."""
        return prod(lengths(self.region[-2:]))

    @property
    def count(self) -> int:
        """How many planes there are in the region."""
        return len(self.layout.planes())

    @property
    def nbytes(self) -> int:
        """Size of the result."""
        return prod(self.shape) * int(self.whole.dtype.itemsize)

    @property
    def factors(self) -> list[float]:
        """New pixels per pixel, per axis."""
        return [1.0] * (len(self.region) - 2) + [new / old for new, old in zip(self.target, self.size, strict=True)]

    @property
    def place(self) -> dict[str, list[float]]:
        """Scale and translate of the result."""
        leading = [part.start for part in self.region[:-2]]
        return self.grid.placement(leading + [start for start, _ in self.span], self.factors)

    @property
    def place_of_region(self) -> dict[str, list[float]]:
        """Scale and translate of the region itself, for what has the pixels of the input."""
        return self.grid.placement([part.start for part in self.region], [1.0] * len(self.region))

    @property
    def title(self) -> str:
        """Name of the layer to come."""
        return f"{self.name} [{factor_text(self.size, self.target)}]"
