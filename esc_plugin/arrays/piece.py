"""A piece of work: what shall be made of a plane, and what makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..engine import ProcessGroup, Sink, Source
from ..network.grid import Region
from ..progress import Cancel, Progress
from .resample import Size, resize
from .surveyed import RunSurvey


@dataclass(frozen=True)
class Piece:
    """What shall be made of a plane, all of it or a part.

    Attributes
    ----------
    source
        Gives the plane, (1, 3, h, w) in 0..1.
    sink : optional
        Takes (1, 3, h, w) float32, not clipped, in bands from top to bottom, in pixels of the whole target. Without it,
        only the means are looked for.
    size, target : tuple of int
        Height and width of the whole plane and of the whole target.
    region : Region
        What of the target is wanted.
    known : sequence of RunSurvey
        Of the runs; without it they are found, for which `region` must be the whole target, or the band of a group.
    linear_light : bool
        Whether the filter works in linear light.
    caller_bytes, progress, cancel
        See `esc_plugin.runner.Runner.stream`.
    """

    source: Source
    sink: Sink | None
    size: Size
    target: Size
    region: Region
    known: Sequence[RunSurvey] = ()
    linear_light: bool = False
    caller_bytes: int = 0
    progress: Progress | None = None
    cancel: Cancel | None = None

    def filter(self, made: Source | None = None, size: Size | None = None) -> None:
        """Fill the sink, if there is one, without a network: from the plane, or what was `made` of it, of another size."""
        if self.sink:
            size = size or self.size
            resize(made or self.source, self.sink, size, self.target, self.linear_light, self.region, self.cancel)


class Enlarge(Protocol):
    """Upscales planes, piece by piece."""

    @property
    def group(self) -> ProcessGroup | None:
        """The other processes that work on bands of the same planes."""
        ...

    def runs(self, size: Size, target: Size) -> int:
        """Return how many runs of networks bring a plane of `size` to the target."""
        ...

    def reads(self, size: Size, target: Size, region: Region) -> Region:
        """Return the pixels of a plane of `size` that are read to make a region of the target."""
        ...

    def __call__(self, piece: Piece) -> tuple[RunSurvey, ...]:
        """Fill the sink of a piece, and return what the runs found, or what was known of them."""
        ...
