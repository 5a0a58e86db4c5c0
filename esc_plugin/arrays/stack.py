"""An array as planes that are upscaled one after the other, all of each or a part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ..errors import ImageError
from ..network.grid import Region
from ..progress import Cancel, Progress, part_of, stop_if_asked
from .blend import Interpolation, Weight
from .facts import alpha_levels, alpha_of, check_alpha, is_opaque
from .layout import Index, Layout
from .levels import Levels
from .output import make_output
from .piece import Enlarge
from .planes import Plane
from .rendering import Rendering
from .rows import LARGEST_READ
from .sizes import Size
from .surveyed import PlaneSurvey

__all__ = ["Stack", "make_output"]


@dataclass
class Stack:
    """What is the same for all planes of an array.

    Attributes
    ----------
    enlarge : Enlarge
        What upscales a plane.
    layout : Layout
        Of the input.
    levels : list of Levels
        By channel.
    target : tuple of int
        Height and width of an upscaled plane.
    keep, alpha, linear_light, consistency
        See `Upscaler.__call__`; `keep` is ``nan="keep"``.
    region : Region, optional
        The part of each upscaled plane that is wanted; by default all.
    weight : Weight, optional
        See `Rendering`.
    """

    enlarge: Enlarge
    layout: Layout
    levels: list[Levels]
    target: Size
    keep: bool = False
    alpha: str = "network"
    linear_light: bool = False
    consistency: bool = False
    region: Region | None = None
    weight: Weight | None = None

    @property
    def without_network(self) -> Stack:
        """The same with interpolated planes, for a strength of 0."""
        return replace(self, enlarge=Interpolation(), weight=None)

    @property
    def dtype(self) -> np.dtype:
        """Of the input and the output."""
        return self.levels[0].dtype

    @property
    def size(self) -> Size:
        """Height and width of a plane of the input."""
        return self.layout.height, self.layout.width

    @property
    def wanted(self) -> Region:
        """The part of each upscaled plane that is made."""
        return self.region or Region(0, 0, *self.target)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is made."""
        return self.layout.resized(self.wanted.height, self.wanted.width)

    @property
    def rendering(self) -> Rendering:
        """What is done with each plane."""
        options = self.keep, self.alpha, self.linear_light, self.consistency
        return Rendering(self.enlarge, self.size, self.target, self.wanted, self.layout.alpha, *options, self.weight)

    @property
    def area(self) -> Region:
        """What has to be made of each upscaled plane."""
        return self.rendering.area

    @property
    def reads(self) -> Region:
        """The part of each plane of the input that is read."""
        return self.rendering.reads

    def check(self, image: Any, known: Sequence[PlaneSurvey] = (), cancel: Cancel | None = None) -> None:
        """Raise an `ImageError` for what can't be done, before anything is done."""
        if not self.layout.alpha:
            return
        if self.dtype.kind == "f" and not known:
            for plane in self._alphas(image):
                check_alpha(plane, cancel)
        if self.consistency and not all(self._opaque(image, known, cancel)):
            raise ImageError("consistency isn't defined where pixels are transparent.")

    def _opaque(self, image: Any, known: Sequence[PlaneSurvey], cancel: Cancel | None) -> Iterator[bool]:
        if known:
            return (plane.opaque for plane in known)
        return (is_opaque(plane, alpha_levels(self.dtype), cancel=cancel) for plane in self._alphas(image))

    def _alphas(self, image: Any) -> Iterator[Plane]:
        """Yield the transparency of the planes, one after the other, since all may not fit into memory."""
        whole = Region(0, 0, *self.size)
        return (self.plane(image, index, whole).taken(alpha_of) for index in self.layout.planes())

    def plane(self, image: Any, index: Index, reads: Region) -> Plane:
        """Return a plane of which `reads` will be read: at once, but for what is too large for that and needn't be."""

        def read(region: Region) -> np.ndarray:
            return self.layout.plane(image, index, *region.slices)

        if isinstance(image, np.ndarray):
            return Plane(read, self.size, whole := Region(0, 0, *self.size), read(whole))
        samples = (self.layout.samples,) if "S" in self.layout.axes else ()
        if prod((reads.height, reads.width, *samples)) * self.dtype.itemsize > LARGEST_READ:
            return Plane(read, self.size, Region(0, 0, 0, 0), np.empty((0, 0, *samples), self.dtype))
        return Plane(read, self.size, reads, read(reads))

    def run(
        self,
        image: Any,
        out: Any,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        known: Sequence[PlaneSurvey] = (),
    ) -> list[PlaneSurvey]:
        """Fill `out`, of `shape`, which may be any array that takes a plane by its index.

        Return what is known of each plane.

        Parameters
        ----------
        out : array, optional
            Without it, no pixels are made.
        known : sequence of PlaneSurvey
            Of all planes of the array, if that is known already.
        """
        planes, render, found = self.layout.planes(), self.rendering, []
        reads, with_place = render.reads, Layout(self.shape, self.layout.axes)
        for i, index in enumerate(planes):
            stop_if_asked(cancel)
            part, survey = part_of(progress, i, len(planes)), known[i] if known else None
            plane, levels = self.plane(image, index, reads), self._levels_of(index)
            if out is None or isinstance(out, np.ndarray):
                made = None if out is None else with_place.plane(out, index)
                found.append(render(plane, levels, made, survey, part, cancel))
            else:
                made, whole = self.empty_plane()
                found.append(render(plane, levels, made, survey, part, cancel))
                out[index] = whole
            if part:
                part(1, 1)  # also where no network had to run
        return found

    def render(self, values: Plane, index: Index, known: PlaneSurvey, cancel: Cancel | None = None) -> np.ndarray:
        """Return one plane of the result, in the order of the array's axes, from the plane that it is made of."""
        made, whole = self.empty_plane()
        self.rendering(values, self._levels_of(index), made, known, None, cancel)
        return whole

    def empty_plane(self) -> tuple[np.ndarray, np.ndarray]:
        """Return a new plane as (Y, X[, S]), and the same in the order of the array's axes."""
        axes = "".join(a for a in self.layout.axes if a in "YXS")
        whole = np.empty([n for n, a in zip(self.shape, self.layout.axes, strict=True) if a in axes], self.dtype)
        return Layout(whole.shape, axes).plane(whole, (slice(None),) * whole.ndim), whole

    def _levels_of(self, index: Index) -> Levels:
        return self.levels[self.layout.channel(index)]
