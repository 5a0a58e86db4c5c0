"""How an image lies in OME-Zarr: the order of its axes, its levels, and the pieces in which they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..arrays.pyramid import level_shapes
from ..errors import ImageError
from .ngff import attributes_of
from .ome_axes import LETTERS, Axes
from .ome_notes import Channel, one_for_each


@dataclass(frozen=True)
class StoredLayout:
    """How an image lies in OME-Zarr.

    Attributes
    ----------
    shape : tuple of int
        Of the image as it comes in: (..., Y, X), or (..., Y, X, S) if `rgb`.
    dtype : str
        Name of the type of its values.
    axes : Axes
        Of the image, without S.
    rgb : bool
        Whether the last axis holds the samples of a pixel; on disk they become channels.
    version : str
        Of OME-Zarr.
    """

    shape: tuple[int, ...]
    dtype: str
    axes: Axes
    rgb: bool
    version: str

    def __post_init__(self) -> None:
        letters = self.stored_axes.letters
        if len(set(letters)) < len(letters):
            raise ImageError("OME-Zarr can't hold an image that has both channels and RGB samples.")
        if len(letters) != len(self.shape) or not self.axes.letters.endswith("yx"):
            raise ImageError(
                f"the axes {self.axes.letters!r} don't fit an image of {self.shape}; the last two must be 'yx'."
            )

    @property
    def stored_axes(self) -> Axes:
        """The axes as they come in, with channels behind them where there are samples."""
        return self.axes.with_channel() if self.rgb else self.axes

    @cached_property
    def order(self) -> list[int]:
        """For each axis on disk, the axis of the image: OME-Zarr prescribes the order."""
        letters = self.stored_axes.letters
        return sorted(range(len(letters)), key=lambda axis: LETTERS.index(letters[axis]))

    @property
    def axes_on_disk(self) -> Axes:
        """The axes in the order on disk."""
        return self.stored_axes.in_order(self.order)

    @cached_property
    def levels(self) -> list[tuple[int, ...]]:
        """Shapes of the levels on disk, finest first."""
        return level_shapes(tuple(self.shape[axis] for axis in self.order), rgb=False)

    def attributes(self, name: str, channels: Sequence[Channel], record: dict[str, Any] | None) -> dict[str, Any]:
        """Return the metadata of the image, see `attributes_of`; one channel will do if it holds for all."""
        letters = self.stored_axes.letters
        shown = one_for_each(channels, self.shape[letters.index("c")] if "c" in letters else 1, self.rgb)
        return attributes_of(self.axes_on_disk, len(self.levels), shown, name, self.version, record)


@dataclass(frozen=True)
class Block:
    """A piece of a level that is written at once and by nobody else: a whole shard (in OME-Zarr 0.4, a whole chunk).

    Attributes
    ----------
    level : int
        0 is the image itself.
    index : int
        Its number within the level.
    plane : tuple of int
        Index of the axes before Y and X, in the order in which the image comes in; () where there are none.
    region : tuple
        Rows and columns ((y0, y1), (x0, x1)) in pixels of the level, ends excluded. All samples belong to it.
    """

    level: int
    index: int
    plane: tuple[int, ...]
    region: tuple[tuple[int, int], tuple[int, int]]

    def __str__(self) -> str:
        (top, bottom), (left, right) = self.region
        where = f"rows {top} to {bottom}, columns {left} to {right}"
        plane = f"plane {', '.join(map(str, self.plane))}, " if self.plane else ""
        return f"block {self.index} of level {self.level} ({plane}{where})"

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        (top, bottom), (left, right) = self.region
        return bottom - top, right - left

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns as an index."""
        return slice(*self.region[0]), slice(*self.region[1])


@dataclass(frozen=True)
class Grid:
    """A layout with the sizes of its pieces.

    Attributes
    ----------
    layout : StoredLayout
        Of the image.
    shard, chunk : int
        Rows and columns of what is written at once, and of what is read at once; a shard is whole chunks. OME-Zarr 0.4 has
        no shards, so what is written at once is a chunk.
    """

    layout: StoredLayout
    shard: int
    chunk: int

    def __post_init__(self) -> None:
        if not 0 < self.chunk <= self.shard or self.shard % self.chunk:
            raise ImageError(f"a shard must be whole chunks, and {self.shard} isn't a multiple of {self.chunk}.")

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return asdict(self.layout) | {"shard": self.shard, "chunk": self.chunk}

    @classmethod
    def from_json(cls, about: dict[str, Any]) -> Grid:
        """Return what `to_json` gave."""
        axes = Axes(about["axes"]["letters"], *(tuple(about["axes"][key]) for key in ("scale", "translate", "units")))
        layout = StoredLayout(tuple(about["shape"]), about["dtype"], axes, about["rgb"], about["version"])
        return cls(layout, about["shard"], about["chunk"])

    @property
    def planes(self) -> tuple[int, ...]:
        """Sizes of the axes before rows and columns, in the order in which the image comes in."""
        return self.layout.shape[: len(self.layout.axes.letters) - 2]

    def chunks(self, level: int) -> tuple[int, int]:
        """Return rows and columns of a chunk: no larger than the level."""
        height, width = self.layout.levels[level][-2:]
        return min(self.chunk, height), min(self.chunk, width)

    def edges(self, level: int) -> tuple[int, int]:
        """Return rows and columns of a shard: whole chunks, and no more of them than the level has."""
        sizes = zip(self.layout.levels[level][-2:], self.chunks(level), strict=True)
        height, width = (chunk * min(self.shard // chunk, -(-n // chunk)) for n, chunk in sizes)
        return height, width

    def counts(self, level: int) -> tuple[int, ...]:
        """Return how many blocks a level has along each axis of `planes`, and along rows and columns."""
        sizes = zip(self.layout.levels[level][-2:], self.edges(level), strict=True)
        return (*self.planes, *(-(-n // edge) for n, edge in sizes))

    def block(self, level: int, at: tuple[int, ...]) -> Block:
        """Return the block at a place in `counts`."""
        sizes = zip(at[-2:], self.edges(level), self.layout.levels[level][-2:], strict=True)
        rows, columns = ((i * edge, min((i + 1) * edge, n)) for i, edge, n in sizes)
        return Block(level, int(np.ravel_multi_index(at, self.counts(level))), at[:-2], (rows, columns))

    def blocks(self, level: int) -> list[Block]:
        """Return all blocks of a level."""
        return [self.block(level, at) for at in np.ndindex(*self.counts(level))]

    def finer(self, block: Block) -> Iterator[Block]:
        """Iterate over the blocks of the next finer level of which a block is made."""
        level = block.level - 1
        about = zip(block.region, self.edges(level), self.counts(level)[-2:], strict=True)
        rows, columns = (range(2 * a // edge, min(-(-2 * b // edge), count)) for (a, b), edge, count in about)
        return (self.block(level, (*block.plane, row, column)) for row in rows for column in columns)

    def pieces(self, level: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of chunks and shards on disk: one plane, and all samples in one shard."""
        lead = len(self.layout.shape) - 2
        samples = self._lead([1] * len(self.planes), self.layout.shape[-1])
        if self.layout.version == "0.4":
            return {"chunks": (*samples, *self.edges(level))}
        return {"chunks": (*(1,) * lead, *self.chunks(level)), "shards": (*samples, *self.edges(level))}

    def place(self, block: Block) -> tuple[slice, ...]:
        """Return where a block lies, as an index on disk."""
        planes = [slice(i, i + 1) for i in block.plane]
        return (*self._lead(planes, slice(None)), *block.slices)

    def shard_at(self, block: Block) -> tuple[int, ...]:
        """Return which shard of the array on disk a block is."""
        edges = zip(block.slices, self.edges(block.level), strict=True)
        return (*self._lead(block.plane, 0), *(part.start // edge for part, edge in edges))

    def _lead(self, planes: Any, samples: Any) -> list[Any]:
        """Return what is known about the axes of planes and about samples, in the order on disk before rows and columns."""
        about = (*planes, None, None, *[samples] * self.layout.rgb)
        return [about[axis] for axis in self.layout.order[:-2]]
