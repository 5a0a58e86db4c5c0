"""The network as a list of steps over named maps, so that an image of any size can be streamed through it.

Every step of ESC is one of three kinds: local (a few convolutions, so an output pixel needs a small halo of input),
windowed (independent per attention window), or either of them followed by a mean over all pixels of what it wrote. A step
says which maps it reads, with which halo, and which one it writes. Whoever runs the program decides how much of a map to
work on at a time: `run_whole` takes the whole image at once, the engine takes chunks. Both call the same functions, so both
compute the same network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor

from .grid import Geometry, Region
from .layers import Sides

#: The map that the head reads: one in which no block works any more by then.
FEATURES = "b"


@dataclass(frozen=True)
class Chunk:
    """The part of the feature grid that a step is asked for.

    Attributes
    ----------
    region : Region
        Which pixels of the feature grid to compute.
    geometry : Geometry
        Of the whole run.
    read : callable
        ``read(name, halo)`` gives a map's tensor under the region grown by `halo` feature pixels, clipped at the border.
        Declared reads come as arguments; this one is for a halo that depends on the data.
    """

    region: Region
    geometry: Geometry
    read: Callable[[str, int], Tensor] = field(repr=False)

    @property
    def whole(self) -> bool:
        """Whether the region is all of the feature grid, so that there are no neighbours to ask for."""
        return self.region == Region(0, 0, *self.geometry.grid)

    def crop(self, tensor: Tensor, halo: int, scale: int = 1, keep: int = 0) -> Tensor:
        """Cut a tensor (B, C, h, w) computed under the region grown by `halo` down to the region grown by `keep`.

        `scale` is the tensor's pixels per feature pixel.
        """
        grown, kept = (self.region.grow(by, self.geometry.grid) for by in (halo, keep))
        top, left = (kept.top - grown.top) * scale, (kept.left - grown.left) * scale
        return tensor[..., top : top + kept.height * scale, left : left + kept.width * scale]

    def beyond(self, halo: int) -> Sides:
        """Return how much of a halo lies beyond the image: what a tensor under the region grown by `halo` lacks."""
        region, (height, width) = self.region, self.geometry.grid
        distances = (region.left, width - region.right, region.top, height - region.bottom)
        left, right, top, bottom = (max(halo - distance, 0) for distance in distances)
        return left, right, top, bottom

    def output(self, pixels: Tensor) -> Tensor:
        """Cut off what lies beyond the output: folding may have padded the image."""
        region = self.geometry.output_region(self.region)
        return pixels[..., : region.height, : region.width]


class WholeChunk(Chunk):
    """All of the feature grid. There is nothing to cut off, and an exported graph doesn't do as if there were."""

    @property
    def whole(self) -> bool:
        """See `Chunk`."""
        return True

    def crop(self, tensor: Tensor, halo: int, scale: int = 1, keep: int = 0) -> Tensor:
        """See `Chunk`."""
        return tensor

    def beyond(self, halo: int) -> Sides:
        """See `Chunk`."""
        return halo, halo, halo, halo

    def output(self, pixels: Tensor) -> Tensor:
        """See `Chunk`."""
        height, width = self.geometry.output
        return pixels if self.geometry.unshuffle == 1 else pixels[..., :height, :width]


@dataclass(frozen=True)
class Step:
    """One pass over the feature grid.

    Attributes
    ----------
    name : str
        For progress and plans.
    reads : mapping of str to int
        The maps that a chunk needs, with the halo in feature pixels.
    writes : str
        The map that it fills. It may be one that the step reads with halo 0: then the chunk replaces what it read.
    apply : callable
        ``apply(chunk, value, *tensors) -> tensor``: the chunk of `writes` from the chunks of `reads`, in their order. It
        never edits its arguments.
    setup : callable, optional
        ``setup(mean) -> value``, called once before the first chunk.
    mean : int
        If not 0: the mean over all pixels of that many leading channels of what this step writes, (B, mean) in float32, is
        handed to the next step's `setup`.
    asks : mapping of str to int
        For a halo that depends on the data: about how far `Chunk.read` will be asked to go.
    multiple : int
        Chunks start on multiples of it and none is smaller, but for a map that is smaller itself.
    held : int
        Bytes per image that what `setup` returns takes at most, while it is made and used, beside what is kept for later.
    values_per_pixel : float
        About how many values per feature pixel live at once inside `apply`, to plan memory.
    cost : float
        Multiplications per feature pixel, to plan time and show progress.
    """

    name: str
    reads: Mapping[str, int]
    writes: str
    apply: Callable[..., Tensor]
    setup: Callable[[Tensor | None], Any] | None = None
    mean: int = 0
    asks: Mapping[str, int] = field(default_factory=dict)
    multiple: int = 1
    held: int = 0
    values_per_pixel: float = 1.0
    cost: float = 1.0

    def __post_init__(self) -> None:
        """In place is only sound where no neighbour is read."""
        if self.reads.get(self.writes):
            raise ValueError(f"step {self.name!r} overwrites {self.writes!r} while its neighbours still read it.")


@dataclass(frozen=True)
class Program:
    """The steps from ``"image"`` to ``"output"``, and the channels of the maps between."""

    steps: Sequence[Step]
    channels: Mapping[str, int]

    @property
    def cost(self) -> float:
        """Multiplications per feature pixel."""
        return sum(step.cost for step in self.steps)

    @property
    def means(self) -> int:
        """How many means over the whole image there are on the way."""
        return sum(step.mean > 0 for step in self.steps)

    def for_survey(self, features: bool) -> Program:
        """Return the steps up to the last mean, or up to the last features, for who doesn't want pixels."""
        last = max((i for i, step in enumerate(self.steps) if step.mean), default=0)
        return Program(self.steps[: len(self.steps) - 1 if features else last + 1], self.channels)


#: Means are exact sums up to this many times the resolution of float32 around 1.
LARGEST_MEAN = 2**12


def pixel_sum(x: Tensor, pixels: int) -> Tensor:
    """Sum (B, C, H, W) over its pixels, exactly, so that sums of parts can be added in any order, on any machine.

    Each value is split into two multiples of powers of two that are coarse enough for float64 to hold the sums of `pixels`
    values below `LARGEST_MEAN` without rounding. Apple's devices have no float64; where gradients are wanted or a graph is
    traced for other runtimes, it would be a burden.

    Parameters
    ----------
    pixels : int
        Of the whole image, of which `x` may be a part.

    Returns
    -------
    Tensor
        (parts, B, C), what `mean_of` takes once the sums of all parts have been added.
    """
    if x.device.type == "mps" or x.requires_grad or torch.compiler.is_compiling():
        return x.sum((2, 3), dtype=torch.float32)[None]
    bits = (pixels - 1).bit_length()
    coarse = 2.0 ** (bits + LARGEST_MEAN.bit_length() - 54)
    fine = coarse * 2.0 ** (bits - 54)
    # Both parts of a float32 are float32: only the sums need more, and half the bytes are moved.
    x = x if x.dtype == torch.float64 else x.float()
    high = (x / coarse).round_().mul_(coarse)
    low = (x - high).div_(fine).round_().mul_(fine)
    return torch.stack([part.sum((2, 3), dtype=torch.float64) for part in (high, low)])


def mean_of(total: Tensor, pixels: int) -> Tensor:
    """Turn the sum over all parts of an image, (parts, B, C), into its mean (B, C) in float32."""
    return total.sum(0).div(pixels).float()


def run_whole(program: Program, geometry: Geometry, image: Tensor, mean: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Run a program with one chunk, the whole image: the network as a plain function, with gradients.

    `mean` makes (B, C) of (B, C, H, W) where a step wants the mean over all pixels; by default that is what it is.
    """
    maps = {"image": image}
    chunk = WholeChunk(Region(0, 0, *geometry.grid), geometry, lambda name, halo: maps[name])
    pixels, last = prod(geometry.grid), None
    measure = mean or (lambda x: mean_of(pixel_sum(x, pixels), pixels))
    for step in program.steps:
        value = step.setup(last) if step.setup else None
        maps[step.writes] = step.apply(chunk, value, *(maps[name] for name in step.reads))
        last = measure(maps[step.writes][:, : step.mean]) if step.mean else None
    return maps["output"]
