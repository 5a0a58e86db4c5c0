"""What is to be done: a part of an image, and all that is wanted of its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from ..arrays.consistency import Part
from ..arrays.layout import Layout, layout_of
from ..arrays.passes import cleaning_passes
from ..arrays.sizes import enlarged_span, target_size

#: What labels of axes mean: entries of C have levels of their own, and frames of T show what others of them show.
LABELS = {"c": "C", "channel": "C", "channels": "C", "t": "T", "time": "T", "z": "Z", "depth": "Z", "plane": "Z"}
#: Rows and columns that a part of a plane keeps, where there are so many.
LEAST_EDGE = 16

#: A box of whole pixels of an image: one slice with start and stop per axis, without the axis of RGB samples.
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Settings:
    """What a user chose.

    Attributes
    ----------
    model : str
        A name on offer, a path, or a repository of the Hub.
    factor : tuple of float
        New pixels per pixel, down and across. What doesn't grow is cleaned: the network runs once, and its result shrinks.
    intensity : str or tuple of float
        What the network sees as black and white, see `esc_plugin.Upscaler`.
    consistency, difference : bool
        Whether to keep local averages, and whether to show what differs.
    device : str
        ``"auto"`` or a torch device.
    memory_limit : int, optional
        In bytes.
    threads : int
        Cores to compute on, at most; 0 for all.
    store : Path, optional
        Where to write the result; by default it stays in memory.
    sampled : bool
        Whether to look at samples of what isn't in the part, instead of at all of it.
    isotropic : bool
        Whether to put planes between those of a stack instead, see `StackTask`; then the factor is 1.
    strength : float
        How much of the result is the network's, see `esc_plugin.Upscaler`.
    reason : str
        Why the model was taken, if the user hasn't named it.
    """

    model: str
    factor: tuple[float, float]
    intensity: str | tuple[float, float] = "auto"
    consistency: bool = False
    difference: bool = False
    device: str = "auto"
    memory_limit: int | None = None
    threads: int = 0
    store: Path | None = None
    sampled: bool = False
    isotropic: bool = False
    strength: float = 1.0
    reason: str = ""


@dataclass(frozen=True)
class Task:
    """A part of an image and what to do with it: its result is that part of the result of the whole, to the bit.

    Attributes
    ----------
    pyramid : list of array
        The image at its resolutions, finest first, as lazy as it is: (..., Y, X[, S]).
    axes : str
        A letter for each axis, see `letters_of`.
    region : tuple of slice
        The part, of the finest resolution.
    settings : Settings
        What to do.
    name : str
        Of the image.

    Raises
    ------
    ImageError
        If the image or the factor is one that can't be worked with.
    """

    pyramid: list[Any]
    axes: str
    region: Box
    settings: Settings
    name: str = "image"

    def __post_init__(self) -> None:
        """Say now what can't be."""
        _ = self.shape

    def central(self, pixels: int) -> Task:
        """Return the task for the middle of the part, of the same proportions, with about `pixels` pixels in a plane."""
        shrink = min(1.0, (pixels / self.pixels) ** 0.5)
        return replace(self, region=(*self.region[:-2], *(_middle(part, shrink) for part in self.region[-2:])))

    def of_planes(self) -> Task:
        """Return the task for all of the planes that the part is of."""
        rows, columns = (slice(0, length) for length in self.size)
        return replace(self, region=(*self.region[:-2], rows, columns))

    def to_look_at(self) -> Task:
        """Return the task without what only a result deserves: a file, and what differs."""
        return replace(self, settings=replace(self.settings, store=None, difference=False))

    def as_image(self) -> Task:
        """Return the task for the part as if it were a whole image."""
        return replace(self, pyramid=[self.image], region=tuple(slice(0, part.stop - part.start) for part in self.region))

    @property
    def rgb(self) -> bool:
        """Whether the last axis holds the samples of a pixel."""
        return self.axes.endswith("S")

    @property
    def whole(self) -> Any:
        """The image at full resolution."""
        return self.pyramid[0]

    @property
    def image(self) -> Any:
        """The part."""
        return self.whole[self.region]

    @cached_property
    def layout(self) -> Layout:
        """The axes of the planes that the part is of."""
        return layout_of(self.whole[self.region[:-2]], self.axes)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a plane."""
        return self.layout.height, self.layout.width

    @property
    def target(self) -> tuple[int, int]:
        """Height and width of an upscaled plane."""
        return target_size(*self.size, self.settings.factor)

    @property
    def passes(self) -> int | None:
        """How often the network runs, None for as often as it must."""
        return cleaning_passes(self.size, self.target)

    @property
    def span(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The rows and columns of an upscaled plane that are the result."""
        (h, w), (height, width), (rows, columns) = self.size, self.target, self.region[-2:]
        return enlarged_span(rows.start, rows.stop, h, height), enlarged_span(columns.start, columns.stop, w, width)

    @property
    def part(self) -> Part:
        """Where the part lies in its planes."""
        rows, columns = ((part.start, part.stop) for part in self.region[-2:])
        return Part(rows, columns, self.size, self.target)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        (top, bottom), (left, right) = self.span
        return self.layout.resized(bottom - top, right - left)

    @property
    def pixels(self) -> int:
        """How many pixels of a plane are in the part."""
        return prod(part.stop - part.start for part in self.region[-2:])

    @property
    def count(self) -> int:
        """How many planes there are in the part."""
        return self.layout.count

    @property
    def nbytes(self) -> int:
        """Size of the result."""
        return prod(self.shape) * int(self.whole.dtype.itemsize)

    @property
    def factors(self) -> list[float]:
        """New pixels per pixel, per axis but that of samples."""
        return [1.0] * (len(self.region) - 2) + [new / old for new, old in zip(self.target, self.size, strict=True)]

    @property
    def start(self) -> list[int]:
        """The first pixel of the result in that of the whole, per axis but that of samples."""
        return [part.start for part in self.region[:-2]] + [start for start, _ in self.span]

    @property
    def title(self) -> str:
        """Name of the result: that of the image, and the enlargement as users write it."""
        if self.target == self.size:
            return f"{self.name} [cleaned]"
        rows, columns = self.factors[-2:]
        factor = f"x{columns:.4g}" if abs(rows - columns) < 0.005 * rows else f"x{rows:.4g} x{columns:.4g}"
        return f"{self.name} [{factor}]"


@dataclass(frozen=True)
class StackTask(Task):
    """A stack between whose planes others are put, see `esc_plugin.volume`. Rows and columns stay as they are.

    Attributes
    ----------
    planes : int
        How many there shall be along Z.
    """

    planes: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return tuple(self.planes if a == "Z" else n for a, n in zip(self.axes, super().shape, strict=True))

    @property
    def factors(self) -> list[float]:
        """New voxels per voxel, per axis but that of samples."""
        deeper = self.planes / self.layout.shape[self.axes.index("Z")]
        return [deeper if letter == "Z" else 1.0 for letter in self.axes if letter != "S"]

    @property
    def title(self) -> str:
        """Name of the result."""
        return f"{self.name} [{self.planes} planes]"


def letters_of(labels: Sequence[Any], ndim: int, rgb: bool) -> str:
    """Return the axes of an image in the words of `esc_plugin.Upscaler`: C, T and Z where a label says so, S for samples.

    Where no label says Z, it is the last of the axes that have none of these.

    Parameters
    ----------
    labels : sequence of str
        Names of the axes, as people write them. The last two axes are rows and columns.
    ndim : int
        How many axes there are, without that of samples.
    rgb : bool
        Whether there is one of samples.
    """
    names = [str(label).lower() for label in labels][: ndim - 2]
    letters: list[str] = []
    for name in names + [""] * (ndim - 2 - len(names)):
        letter = LABELS.get(name, "")
        letters.append(letter if letter not in letters else "")
    free = [i for i, letter in enumerate(letters) if not letter]
    if free and "Z" not in letters:
        letters[free[-1]] = "Z"
    others = iter("ABDEFGHIJKLMNOPQ")
    return "".join(letter or next(others) for letter in letters) + "YX" + "S" * rgb


def _middle(part: slice, shrink: float) -> slice:
    length = part.stop - part.start
    kept = max(int(length * shrink), min(length, LEAST_EDGE))
    start = part.start + (length - kept) // 2
    return slice(start, start + kept)
