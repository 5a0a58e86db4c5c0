"""An array as planes that are upscaled one after the other, each with its transparency, all of each or a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..engine import Share, Sink, Source
from ..errors import ImageError
from ..network.grid import Region
from ..network.program import mean_of, pixel_sum
from ..progress import Cancel, Progress, share_of
from .consistency import project
from .interpolate import interpolated_from
from .layout import Index, Layout
from .levels import Levels, type_range
from .planes import Plane, PlaneSink, PlaneSource
from .resample import Size, needed, resize
from .surveyed import PlaneSurvey, RunSurvey

#: A plane of which so many bytes are needed is not read at once, if it can be read in parts.
LARGEST_READ = 256 * 2**20


class Enlarge(Protocol):
    """Upscales a plane, or a part of it, from a source into a sink."""

    @property
    def share(self) -> Share | None:
        """The other processes that work on bands of the same planes."""
        ...

    def reads(self, size: Size, target: Size, region: Region) -> Region:
        """Return the pixels of a plane of `size` that are read to make a region of the target."""
        ...

    def __call__(
        self,
        source: Source,
        sink: Sink | None,
        size: Size,
        target: Size,
        *,
        region: Region,
        known: Sequence[RunSurvey] = (),
        linear_light: bool = False,
        caller_bytes: int = 0,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> tuple[RunSurvey, ...]:
        """Fill the sink with a region of the target; without a sink, only find out what its runs must know."""
        ...


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
        if self.layout.alpha and self.alpha == "lanczos":
            region = region.hull(needed(self.size, self.target, self.area))
        return region

    @property
    def _factors(self) -> tuple[int, int]:
        return self.target[0] // self.size[0], self.target[1] // self.size[1]

    def check(self, image: Any, known: Sequence[PlaneSurvey] = ()) -> None:
        """Raise an `ImageError` for what can't be done, before anything is done."""
        if self.alpha not in ("network", "lanczos"):
            raise ImageError(f"alpha must be 'network' or 'lanczos', not {self.alpha!r}.")
        if self.layout.alpha and self.dtype.kind == "f" and not known:
            self._check_alpha(image)
        if not self.consistency:
            return
        if any(t % n for t, n in zip(self.target, self.size, strict=True)):
            raise ImageError(
                f"consistency needs a whole factor, {self.target} isn't a multiple of {self.size} (height, width)."
            )
        if self.dtype.kind == "b":
            raise ImageError("consistency needs gray levels, a bool image has none.")
        if self.layout.alpha and not (
            all(plane.opaque for plane in known) if known else all(map(self._opaque, self._alphas(image)))
        ):
            raise ImageError("consistency isn't defined where pixels are transparent.")

    def _check_alpha(self, image: Any) -> None:
        for plane in self._alphas(image):
            for alpha in plane.bands():
                low, high = float(alpha.min()), float(alpha.max())
                if not 0 <= low <= high <= 1:
                    raise ImageError(f"floating transparency must be in 0..1, not {low:g}..{high:g}.")

    def _alphas(self, image: Any) -> list[Plane]:
        whole = Region(0, 0, *self.size)
        return [self.plane(image, index, whole).taken(lambda values: values[..., -1]) for index in self.layout.planes()]

    def plane(self, image: Any, index: Index, reads: Region) -> Plane:
        """Return a plane of which `reads` will be read: at once, but for what is too large for that and needn't be."""

        def read(region: Region) -> np.ndarray:
            return self.layout.plane(image, index, *region.slices)

        size = reads.height * reads.width * self.layout.samples * self.dtype.itemsize
        if isinstance(image, np.ndarray) or size > LARGEST_READ:
            held = Region(0, 0, *self.size) if isinstance(image, np.ndarray) else Region(0, 0, 0, 0)
            return Plane(read, self.size, held, read(held))
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
        planes, reads, found = self.layout.planes(), self.reads, []
        for i, index in enumerate(planes):
            part = share_of(progress, i / len(planes), (i + 1) / len(planes))
            plane, survey = self.plane(image, index, reads), known[i] if known else None
            with_place = Layout(self.shape, self.layout.axes)
            if out is None or isinstance(out, np.ndarray):
                made = None if out is None else with_place.plane(out, index)
                found.append(self._plane(index, plane, made, survey, part, cancel))
                continue
            made, whole = self.empty_plane()
            found.append(self._plane(index, plane, made, survey, part, cancel))
            out[index] = whole
        return found

    def render(self, values: Plane, index: Index, known: PlaneSurvey, cancel: Cancel | None = None) -> np.ndarray:
        """Return one plane of the result, in the order of the array's axes, from the plane that it is made of."""
        made, whole = self.empty_plane()
        self._plane(index, values, made, known, None, cancel)
        return whole

    def empty_plane(self) -> tuple[np.ndarray, np.ndarray]:
        """Return a new plane as (Y, X[, S]), and the same in the order of the array's axes."""
        axes = "".join(a for a in self.layout.axes if a in "YXS")
        whole = np.empty([n for n, a in zip(self.shape, self.layout.axes, strict=True) if a in axes], self.dtype)
        return Layout(whole.shape, axes).plane(whole, (slice(None),) * whole.ndim), whole

    def _plane(
        self,
        index: Index,
        plane: Plane,
        out: np.ndarray | None,
        known: PlaneSurvey | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> PlaneSurvey:
        levels = self.levels[self.layout.channel(index)]
        colours = plane.taken(_colours_of if self.layout.alpha else _flat)
        source = PlaneSource(colours, levels)
        if self.keep:
            source.stand_in = known.stand_in if known else self._finite_mean(colours, levels)
        stand_in = source.stand_in or 0.0
        made = None if out is None else _flat(out[..., :-1] if self.layout.alpha else out)
        if not self.layout.alpha:
            runs = self._colours(source, made, None, known, progress, cancel)
            return PlaneSurvey(runs, stand_in=stand_in)
        alpha = plane.taken(lambda values: values[..., -1])
        if known.opaque if known else self._opaque(alpha):
            if out is not None:
                out[..., -1] = self._alpha_levels.high
            return PlaneSurvey(self._colours(source, made, None, known, progress, cancel), stand_in=stand_in)
        transparency = None if out is None else np.empty((self.area.height, self.area.width), self.dtype)
        alpha_runs = self._transparency(alpha, transparency, known, share_of(progress, 0, 0.5), cancel)
        if out is not None and transparency is not None:
            out[..., -1] = transparency[self.wanted.within(self.area).slices]
        source.alpha, source.alpha_levels = alpha, self._alpha_levels
        runs = self._colours(source, made, transparency, known, share_of(progress, 0.5, 1), cancel)
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
        made = out if area == self.wanted else np.empty((area.height, area.width, *out.shape[2:]), self.dtype)
        sink = PlaneSink(made, source.levels, alpha, self._alpha_levels, source, area=area, size=self.target)
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
        alpha: Plane,
        made: np.ndarray | None,
        known: PlaneSurvey | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> tuple[RunSurvey, ...]:
        source, sink = PlaneSource(alpha, self._alpha_levels), None
        if made is not None:
            sink = PlaneSink(made, self._alpha_levels, clip=True, area=self.area, size=self.target)
        if self.alpha == "network":
            return self._enlarge(source, sink, known.alpha if known else (), progress, cancel)
        if sink is not None:
            resize(source, sink, self.size, self.target, region=self.area)
        return ()

    def _enlarge(
        self,
        source: PlaneSource,
        sink: PlaneSink | None,
        known: Sequence[RunSurvey],
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> tuple[RunSurvey, ...]:
        return self.enlarge(
            source,
            sink,
            self.size,
            self.target,
            region=self.area,
            known=known,
            linear_light=self.linear_light,
            caller_bytes=_bytes_held(sink.plane) if sink else 0,  # the input was there before
            progress=progress,
            cancel=cancel,
        )

    @property
    def _alpha_levels(self) -> Levels:
        return Levels(0, type_range(self.dtype)[1], self.dtype)

    def _opaque(self, alpha: Plane) -> bool:
        clear = torch.zeros(1, dtype=torch.float64)
        for band in alpha.bands(*self._own_rows()):
            clear += float(band.min() < self._alpha_levels.high)
        return not self._sum(clear)

    def _finite_mean(self, plane: Plane, levels: Levels) -> float:
        """Average what is finite, in 0..1 of the network; 0 if nothing is. The sums are exact, see `pixel_sum`."""
        size = self.size[0] * self.size[1] * 3
        total = torch.zeros(3, 1, 1, dtype=torch.float64)
        for band in plane.bands(*self._own_rows()):
            finite = torch.from_numpy(levels.to_unit(band[np.isfinite(band)]))
            total[:2] += pixel_sum(finite[None, None, None], size)
            total[2] += len(finite)
        total = self._sum(total)
        return float(mean_of(total[:2], max(int(total[2]), 1)))

    def _own_rows(self) -> tuple[int, int]:
        share = self.enlarge.share
        return share.part(self.size[0]) if share else (0, self.size[0])

    def _sum(self, values: Tensor) -> Tensor:
        share = self.enlarge.share
        return share.reduce(values) if share else values


def _colours_of(values: np.ndarray) -> np.ndarray:
    return _flat(values[..., :-1])


def _flat(plane: np.ndarray) -> np.ndarray:
    """(Y, X, 1) -> (Y, X); others as they are."""
    return plane[..., 0] if plane.ndim == 3 and plane.shape[-1] == 1 else plane


def _bytes_held(plane: np.ndarray) -> int:
    """Return the memory behind a view, 0 for a mapped file."""
    while isinstance(plane.base, np.ndarray) and not isinstance(plane, np.memmap):
        plane = plane.base
    return 0 if isinstance(plane, np.memmap) else plane.nbytes


def make_output(image: Any, shape: tuple[int, ...], out: Any = None) -> Any:
    """Return an empty array for the result, or `out` if it fits.

    Raises
    ------
    ImageError
        If it doesn't fit, or there is no memory for one.
    """
    dtype = np.dtype(image.dtype)
    if out is None:
        try:
            return np.empty(shape, dtype)
        except (MemoryError, ValueError):
            raise ImageError(f"there is no memory for a result of {shape} {dtype}; give a mapped file as out.") from None
    if not hasattr(out, "shape") or not hasattr(out, "dtype"):
        raise ImageError(f"out must be an array of {shape} {dtype}, not {type(out).__name__}.")
    if tuple(out.shape) != shape or np.dtype(out.dtype).newbyteorder("=") != dtype.newbyteorder("="):
        raise ImageError(f"out must be {shape} {dtype}, not {tuple(out.shape)} {out.dtype}.")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ImageError("out is read-only.")
    if isinstance(out, np.ndarray) and isinstance(image, np.ndarray) and np.may_share_memory(out, image):
        raise ImageError("out must not share its memory with the image.")
    return out
