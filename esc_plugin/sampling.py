"""Means that are estimated from samples of an image, and what that costs.

A sample is a cell of the feature grid, seen with all that it depends on, so that it is what it is in the whole image. All
samples of a plane run in lockstep: each mean is taken over all of them before the next is looked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import sqrt
from numbers import Integral
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .arrays.piece import Enlarge, Piece
from .arrays.planes import TensorImage
from .arrays.sizes import Size
from .arrays.surveyed import RunSurvey
from .device import precision_name
from .engine import NotFiniteError, Plan, Run, Source, areas_for, choose_cells, image_area, make_plan, walk_together
from .engine.cells import EDGE, LEAST
from .engine.plan import Need
from .enlarge import Enlarger
from .errors import EscError, ImageError
from .network.grid import Geometry, Region
from .progress import UNITS, Cancel, Progress, share_of
from .runner import Runner
from .survey import Sampling
from .texts import quoted

LEAST_PIXELS = LEAST * EDGE**2
#: How often a sample is rendered with other means, to see what their uncertainty does to pixels. Some parts of an image
#: may answer twenty times as strongly as others, so it should be different samples.
DRAWS = 8


def checked_pixels(pixels: Any) -> int:
    """Return how many pixels to sample.

    Raises
    ------
    ImageError
        If it is no whole number, or too small.
    """
    if not isinstance(pixels, Integral) or isinstance(pixels, bool):
        raise ImageError(f"pixels must be a whole number of pixels to sample, not {quoted(pixels)}.")
    if pixels < LEAST_PIXELS:
        raise ImageError(
            f"pixels must be at least {LEAST_PIXELS}, {LEAST} samples of {EDGE} x {EDGE}, not {quoted(pixels)}."
        )
    return int(pixels)


@dataclass(frozen=True)
class Estimate:
    """What samples say about one run.

    Attributes
    ----------
    survey : RunSurvey
        The estimate.
    errors : numpy.ndarray
        (pairs, ConvAttn, P): sums of them, weighted by independent normal numbers, are errors as the means may have.
    cells : list of Region
        The samples, in pixels of the feature grid.
    geometry : Geometry
        Of the run.
    """

    survey: RunSurvey
    errors: np.ndarray
    cells: list[Region]
    geometry: Geometry

    def drawn(self, chance: np.random.Generator) -> RunSurvey:
        """Return means as other samples might have found them."""
        error = np.tensordot(chance.standard_normal(len(self.errors)), self.errors, 1)
        return replace(self.survey, means=(self.survey.means + error).astype(np.float32))


class Estimator(Enlarge, Protocol):
    """Finds the means of planes from samples, and says what it did."""

    @property
    def sampling(self) -> Sampling:
        """What was done for all planes."""
        ...


@dataclass
class Sampler:
    """Finds the means of planes as `Enlarger` does, but from samples.

    Attributes
    ----------
    enlarge : Enlarger
        What renders.
    pixels : int
        About how many pixels of the input of each run to look at.
    found : list of Sampling
        What was done, by plane and run.
    """

    enlarge: Enlarger
    pixels: int
    found: list[Sampling] = field(default_factory=list)

    @property
    def group(self) -> None:
        """See `Enlarger`: a few samples aren't worth sharing."""
        return

    @property
    def sampling(self) -> Sampling:
        """What was done for all planes: the difference is the largest."""
        if not self.found:
            return Sampling(0, 0, 0.0)  # nothing runs
        return max(self.found, key=lambda sampling: sampling.difference)

    def runs(self, size: Size, target: Size) -> int:
        """See `Enlarger`."""
        return self.enlarge.runs(size, target)

    def reads(self, size: Size, target: Size, region: Region) -> Region:
        """See `Enlarger`."""
        return self.enlarge.reads(size, target, region)

    def __call__(self, piece: Piece) -> tuple[RunSurvey, ...]:
        """Estimate the means of all runs; see `Enlarger`. Nothing is written to the sink, and the region is not used."""
        sizes, found = self.enlarge.sizes(piece.size, piece.target), list[Estimate]()
        if len(sizes) < 2:
            return ()
        if self.pixels >= sizes[-2][0] * sizes[-2][1]:  # that is all of it
            self.found.append(Sampling(1, piece.size[0] * piece.size[1], 0.0))
            return self.enlarge(replace(piece, sink=None, known=()))
        rendering = _Rendering(self.enlarge, piece)
        for i in range(1, len(sizes)):
            told = share_of(piece.progress, (i - 1) / len(sizes), i / len(sizes))
            found.append(self._estimated(rendering, sizes[i - 1], sizes[i], found, told, piece.cancel))
        self.found.append(_sampling(rendering, found))
        if piece.progress:
            piece.progress(UNITS, UNITS)
        return tuple(estimate.survey for estimate in found)

    def _estimated(
        self,
        rendering: _Rendering,
        size: Size,
        made: Size,
        before: list[Estimate],
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> Estimate:
        upscaler, dtype = self.enlarge.upscaler, self._dtype
        geometry = upscaler.network(dtype).geometry(*size, made)
        program = upscaler.network(dtype).program(geometry).for_survey(features=dtype != torch.float32)
        cells = choose_cells(geometry.grid, self.pixels // geometry.unshuffle**2)
        areas = [areas_for(program, geometry, cell) for cell in cells]
        largest = max(areas, key=lambda steps: steps[0].height * steps[0].width)
        bias = upscaler.network(dtype).resident_bytes()
        plan = _plan(upscaler, Need(program, geometry, 1, dtype.itemsize, 0, bias, largest), len(cells))
        reports = _joined(progress, len(cells))
        runs: list[Run] = []
        for cell, steps, told in zip(cells, areas, reports, strict=True):
            seen = rendering.part(size, image_area(program, geometry, steps), before)
            run = Run(program, geometry, plan, seen, None, upscaler.device, dtype, 1, told, cancel)
            run.wanted = run.counted = cell
            runs.append(run)
        return _estimate(runs, cells, geometry, upscaler)

    @property
    def _dtype(self) -> torch.dtype:
        # Samples are few: there is no need to save their time.
        upscaler = self.enlarge.upscaler
        return torch.float32 if upscaler.precision == "auto" else upscaler.dtype_for(self.enlarge.bits)


def _plan(upscaler: Runner, need: Need, count: int) -> Plan:
    """Plan for `count` samples whose maps live together, or say how many pixels would fit."""

    def fits(together: int) -> bool:
        try:
            make_plan(replace(need, together=together), upscaler.device, upscaler.memory_limit)
        except EscError:
            return False
        return True

    if fits(count):
        return make_plan(replace(need, together=count), upscaler.device, upscaler.memory_limit)
    most = bisect_left(range(1, count), True, key=lambda together: not fits(together))
    edge = EDGE * need.geometry.unshuffle
    raise EscError(
        f"the feature maps of {count} samples don't fit into memory and the disk for temporary files; those of {most} do: "
        f"take up to pixels={most * edge**2}."
    )


def _estimate(runs: list[Run], cells: list[Region], geometry: Geometry, upscaler: Runner) -> Estimate:
    pixels = np.array([cell.height * cell.width for cell in cells], np.float64)
    dtype = runs[0].dtype
    try:
        means, sums = walk_together(runs, int(pixels.sum()))
    except NotFiniteError:
        name = precision_name(dtype)
        raise EscError(f"{upscaler.model.name} overflows in {name} here; make the survey in float32.") from None
    vectors = torch.cat(means).cpu().numpy()  # (ConvAttn, P)
    apart = torch.stack(sums, 1).numpy() - pixels[:, None, None] * vectors  # (samples, ConvAttn, P)
    seen = pixels.sum() / (geometry.grid[0] * geometry.grid[1])
    return Estimate(RunSurvey(precision_name(dtype), vectors), _errors(apart, float(seen)) / pixels.sum(), cells, geometry)


def _errors(apart: np.ndarray, seen: float) -> np.ndarray:
    """Return errors of a sum over samples, one for each pair of neighbours, whose squares add up to its variance.

    Samples are spread evenly, so that what varies slowly over the image is in all of them: their variance is that between
    neighbours, not that between all (Wolter, "Introduction to Variance Estimation", 2007, chapter 8). A few samples may be
    nearer to each other than to all else: so errors are as wide as Student's t.

    Parameters
    ----------
    apart : numpy.ndarray
        (samples, ...): by how much each sample's sum differs from what the mean lets expect.
    seen : float
        The part of the image that was sampled. Of what has been seen, nothing is uncertain.
    """
    count = len(apart)
    if seen >= 1:
        return np.zeros_like(apart[:0])
    variance, student = count / (2 * (count - 1)), (count - 1) / (count - 3)
    return np.diff(apart, axis=0) * sqrt((1 - seen) * variance * student)


def _sampling(rendering: _Rendering, found: list[Estimate]) -> Sampling:
    first = found[0]
    looked_at = [first.geometry.image_region(cell) for cell in first.cells]
    pixels = sum(part.height * part.width for part in looked_at)
    return Sampling(len(looked_at), pixels, _difference(rendering, found, looked_at))


def _difference(rendering: _Rendering, found: list[Estimate], parts: list[Region]) -> float:
    """Render some parts of the image with the estimated means and with others; return the root mean square difference."""
    if not any(len(estimate.errors) for estimate in found):  # all has been seen
        return 0.0
    chance, squares = np.random.default_rng(0), []
    known, target = [estimate.survey for estimate in found], rendering.piece.target
    rendered = min(DRAWS, len(parts))
    for i in np.linspace(0, len(parts) - 1, rendered).round().astype(int):
        region = _under(parts[i], rendering.piece.size, target)
        expected = rendering(target, region, known)
        for _ in range(DRAWS // rendered):
            other = rendering(target, region, [estimate.drawn(chance) for estimate in found])
            squares.append(float((other - expected).square().mean()))
    return sqrt(np.mean(squares))


def _under(part: Region, size: Size, target: Size) -> Region:
    """Return the pixels of the target over a part of the image."""
    (height, width), (h, w) = target, size
    top, left = part.top * height // h, part.left * width // w
    return Region(top, left, max(-(-part.bottom * height // h), top + 1), max(-(-part.right * width // w), left + 1))


@dataclass(frozen=True)
class _Rendering:
    """What parts of a plane become once means are known."""

    enlarge: Enlarger
    piece: Piece

    def __call__(self, target: Size, region: Region, known: Sequence[RunSurvey]) -> Tensor:
        """Return a region of the target, (1, 3, h, w)."""
        patch = TensorImage(torch.empty(1, 3, region.height, region.width), region)
        wanted = replace(self.piece, sink=patch, target=target, region=region, known=known, caller_bytes=0, progress=None)
        replace(self.enlarge, passes=len(known))(wanted)
        return patch.tensor

    def part(self, size: Size, area: Region, before: list[Estimate]) -> Source:
        """Return an area of what runs have made, of `size`, or of the plane if there were none."""
        if not before:
            return self.piece.source
        return _Rendered(self, size, area, [estimate.survey for estimate in before])


@dataclass
class _Rendered:
    """An area of what runs have made; it is rendered when it is read for the first time."""

    rendering: _Rendering
    size: Size
    area: Region
    known: Sequence[RunSurvey]
    _patch: TensorImage | None = None

    def read(self, region: Region) -> Tensor:
        """See `Source`."""
        if self._patch is None:
            self._patch = TensorImage(self.rendering(self.size, self.area, self.known), self.area)
        return self._patch.read(region)


def _joined(progress: Progress | None, count: int) -> list[Progress | None]:
    """Return progress callbacks for runs that take turns."""
    if progress is None:
        return [None] * count
    done = [0.0] * count

    def report(i: int, part: int, total: int) -> None:
        done[i] = part / max(total, 1)
        progress(round(UNITS * sum(done) / count), UNITS)

    return [partial(report, i) for i in range(count)]
