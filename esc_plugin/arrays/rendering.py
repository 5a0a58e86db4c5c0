"""How a plane becomes its upscaled version, or a part of that: colours, transparency, and what is done about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..engine import Sink
from ..network.grid import Region
from ..progress import Cancel, Progress, share_of
from .blend import BlendSink, Interpolated, Weight
from .consistency import project
from .facts import alpha_levels, alpha_of, colours_of, finite_mean, flat, is_opaque
from .interpolate import interpolated_from
from .levels import Levels
from .output import bytes_held
from .piece import Enlarge, Piece
from .planes import Plane, PlaneSink, PlaneSource
from .resample import Size, needed, resize
from .surveyed import PlaneSurvey, RunSurvey


@dataclass(frozen=True)
class Rendering:
    """What is done with each plane.

    Attributes
    ----------
    enlarge : Enlarge
        What upscales.
    size, target : tuple of int
        Height and width of a plane and of its upscaled version.
    wanted : Region
        The part of the upscaled version that is made.
    transparent : bool
        Whether the last sample of a pixel is transparency.
    keep, alpha, linear_light, consistency
        See `Upscaler.__call__`; `keep` is ``nan="keep"``.
    weight : Weight, optional
        Of what `enlarge` makes, beside the interpolated plane; by default it counts alone.
    """

    enlarge: Enlarge
    size: Size
    target: Size
    wanted: Region
    transparent: bool = False
    keep: bool = False
    alpha: str = "network"
    linear_light: bool = False
    consistency: bool = False
    weight: Weight | None = None

    @property
    def area(self) -> Region:
        """What has to be made: consistency holds for whole pixels of the input."""
        if not self.consistency:
            return self.wanted
        (fy, fx), part = self._factors, self.wanted
        return Region(part.top // fy * fy, part.left // fx * fx, -(-part.bottom // fy) * fy, -(-part.right // fx) * fx)

    @property
    def reads(self) -> Region:
        """The part of each plane of the input that is read."""
        region = self.enlarge.reads(self.size, self.target, self.area)
        region = region.hull(interpolated_from(self.size, self.target, self.area))
        if self.weight or (self.transparent and self.alpha == "lanczos"):
            region = region.hull(needed(self.size, self.target, self.area))
        return region

    @property
    def _factors(self) -> tuple[int, int]:
        return self.target[0] // self.size[0], self.target[1] // self.size[1]

    def __call__(
        self,
        plane: Plane,
        levels: Levels,
        out: np.ndarray | None,
        known: PlaneSurvey | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> PlaneSurvey:
        """Fill `out`, of the size of `wanted`, and return what is known of the plane.

        Parameters
        ----------
        plane : Plane
            (Y, X[, S]).
        out : numpy.ndarray, optional
            The same axes. Without it, no pixels are made.
        known : PlaneSurvey, optional
            What is known of the plane already.
        """
        colours = plane.taken(colours_of if self.transparent else flat)
        source = PlaneSource(colours, levels)
        if self.keep and levels.dtype.kind == "f":
            source.stand_in = known.stand_in if known else finite_mean(colours, levels, self.enlarge.group, cancel)
        if not self.transparent:
            runs = self._colours(source, None if out is None else flat(out), None, known, progress, cancel)
            return PlaneSurvey(runs, stand_in=source.stand_in or 0.0)
        return self._with_transparency(source, plane.taken(alpha_of), out, known, progress, cancel)

    def _with_transparency(
        self,
        source: PlaneSource,
        alpha: Plane,
        out: np.ndarray | None,
        known: PlaneSurvey | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> PlaneSurvey:
        made, stand_in = None if out is None else colours_of(out), source.stand_in or 0.0
        opaque = alpha_levels(source.levels.dtype)
        if known.opaque if known else is_opaque(alpha, opaque, self.enlarge.group, cancel):
            if out is not None:
                out[..., -1] = opaque.high
            return PlaneSurvey(self._colours(source, made, None, known, progress, cancel), stand_in=stand_in)
        transparency = None if out is None else np.empty((self.area.height, self.area.width), opaque.dtype)
        first, second = share_of(progress, 0, 0.5), share_of(progress, 0.5, 1)
        alpha_runs = self._transparency(PlaneSource(alpha, opaque), transparency, known, first, cancel)
        if out is not None and transparency is not None:
            out[..., -1] = transparency[self.wanted.within(self.area).slices]
        source.alpha, source.alpha_levels = alpha, opaque
        runs = self._colours(source, made, transparency, known, second, cancel)
        return PlaneSurvey(runs, alpha_runs, False, stand_in)

    def _colours(
        self,
        source: PlaneSource,
        out: np.ndarray | None,
        alpha: np.ndarray | None,
        known: PlaneSurvey | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> tuple[RunSurvey, ...]:
        area, runs = self.area, known.colours if known else ()
        if out is None:
            return self._enlarge(source, None, runs, progress, cancel)
        levels = source.levels
        made = out if area == self.wanted else np.empty((area.height, area.width, *out.shape[2:]), levels.dtype)
        sink = PlaneSink(made, levels, alpha, alpha_levels(levels.dtype), source, area=area, size=self.target)
        found = self._enlarge(source, sink, runs, progress, cancel)
        if self.consistency:
            fy, fx = self._factors
            below = Region(area.top // fy, area.left // fx, area.bottom // fy, area.right // fx)
            project(made, source.plane.cut(below), cancel)
        if made is not out:
            out[...] = made[self.wanted.within(area).slices]
        return found

    def _transparency(
        self,
        source: PlaneSource,
        made: np.ndarray | None,
        known: PlaneSurvey | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> tuple[RunSurvey, ...]:
        sink = None
        if made is not None:
            sink = PlaneSink(made, source.levels, clip=True, area=self.area, size=self.target)
        if self.alpha == "network":
            return self._enlarge(source, sink, known.alpha if known else (), progress, cancel)
        if sink is not None:
            resize(source, sink, self.size, self.target, region=self.area, cancel=cancel)
        return ()

    def _enlarge(
        self,
        source: PlaneSource,
        sink: PlaneSink | None,
        known: Sequence[RunSurvey],
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> tuple[RunSurvey, ...]:
        end: Sink | None = sink
        if sink and self.weight:
            end = BlendSink(sink, Interpolated(source, self.size, self.target, self.linear_light), self.weight)
        held = bytes_held(sink.plane) if sink else 0  # the input was there before
        piece = Piece(source, end, self.size, self.target, self.area, known, self.linear_light, held, progress, cancel)
        return self.enlarge(piece)
