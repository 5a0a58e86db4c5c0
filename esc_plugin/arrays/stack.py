"""An array as planes that are upscaled one after the other, each with its transparency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ImageError
from ..progress import Cancel, Progress, share_of
from .consistency import project
from .layout import Index, Layout
from .levels import Levels, type_range
from .planes import PlaneSink, PlaneSource
from .resample import Size, resize

#: Upscales a plane from a source into a sink: ``enlarge(source, sink, size, target, linear_light=, caller_bytes=, ...)``.
Enlarge = Callable[..., None]


@dataclass
class Stack:
    """What is the same for all planes of an array.

    Attributes
    ----------
    enlarge : callable
        See `Enlarge`.
    layout : Layout
        Of the input.
    levels : list of Levels
        By channel.
    target : tuple of int
        Height and width of an upscaled plane.
    keep, alpha, linear_light, consistency
        See `Upscaler.__call__`; `keep` is ``nan="keep"``.
    """

    enlarge: Enlarge
    layout: Layout
    levels: list[Levels]
    target: Size
    keep: bool = False
    alpha: str = "network"
    linear_light: bool = False
    consistency: bool = False

    @property
    def dtype(self) -> np.dtype:
        """Of the input and the output."""
        return self.levels[0].dtype

    def check(self, image: Any) -> None:
        """Raise an `ImageError` for what can't be done, before anything is done."""
        if self.alpha not in ("network", "lanczos"):
            raise ImageError(f"alpha must be 'network' or 'lanczos', not {self.alpha!r}.")
        if self.layout.alpha and self.dtype.kind == "f":
            self._check_alpha(image)
        if not self.consistency:
            return
        size = self.layout.height, self.layout.width
        if any(t % n for t, n in zip(self.target, size, strict=True)):
            raise ImageError(f"consistency needs a whole factor, {self.target} isn't a multiple of {size} (height, width).")
        if self.dtype.kind == "b":
            raise ImageError("consistency needs gray levels, a bool image has none.")
        planes = (self.layout.plane(image, index) for index in self.layout.planes())
        if self.layout.alpha and not all(self._opaque(plane[..., -1]) for plane in planes):
            raise ImageError("consistency isn't defined where pixels are transparent.")

    def _check_alpha(self, image: Any) -> None:
        for index in self.layout.planes():
            alpha = self.layout.plane(image, index)[..., -1]
            low, high = float(alpha.min()), float(alpha.max())
            if not 0 <= low <= high <= 1:
                raise ImageError(f"floating transparency must be in 0..1, not {low:g}..{high:g}.")

    def run(self, image: Any, out: Any, progress: Progress | None, cancel: Cancel | None) -> None:
        """Fill `out`, which may be any array that takes a plane by its index."""
        planes = self.layout.planes()
        shape = self.layout.resized(*self.target)
        made = Layout(shape, self.layout.axes)
        for i, index in enumerate(planes):
            plane = self.layout.plane(image, index)
            part = share_of(progress, i / len(planes), (i + 1) / len(planes))
            if isinstance(out, np.ndarray):
                self._plane(index, plane, made.plane(out, index), part, cancel)
                continue
            whole = np.empty([n for n, a in zip(shape, made.axes, strict=True) if a in "YXS"], self.dtype)
            everything: tuple[slice, ...] = (slice(None),) * whole.ndim
            kept = Layout(whole.shape, "".join(a for a in made.axes if a in "YXS"))
            self._plane(index, plane, kept.plane(whole, everything), part, cancel)
            out[index] = whole

    def _plane(
        self, index: Index, plane: np.ndarray, out: np.ndarray, progress: Progress | None, cancel: Cancel | None
    ) -> None:
        levels = self.levels[self.layout.channel(index)]
        if not self.layout.alpha:
            self._colours(PlaneSource(_flat(plane), levels, keep=self.keep), _flat(out), None, progress, cancel)
            return
        alpha, made = plane[..., -1], out[..., -1]
        plane, out = _flat(plane[..., :-1]), _flat(out[..., :-1])
        if self._opaque(alpha):
            made[...] = self._alpha_levels.high
            self._colours(PlaneSource(plane, levels, keep=self.keep), out, None, progress, cancel)
        else:
            self._transparency(alpha, made, share_of(progress, 0, 0.5), cancel)
            source = PlaneSource(plane, levels, alpha, self._alpha_levels, self.keep)
            self._colours(source, out, made, share_of(progress, 0.5, 1), cancel)

    def _colours(
        self,
        source: PlaneSource,
        out: np.ndarray,
        made: np.ndarray | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> None:
        self._enlarge(source, PlaneSink(out, source.levels, made, self._alpha_levels, source), progress, cancel)
        if self.consistency:
            project(out, source.plane, cancel)

    def _transparency(self, alpha: np.ndarray, made: np.ndarray, progress: Progress | None, cancel: Cancel | None) -> None:
        source, sink = PlaneSource(alpha, self._alpha_levels), PlaneSink(made, self._alpha_levels, clip=True)
        if self.alpha == "lanczos":
            resize(source, sink, (self.layout.height, self.layout.width), self.target)
        else:
            self._enlarge(source, sink, progress, cancel)

    def _enlarge(self, source: PlaneSource, sink: PlaneSink, progress: Progress | None, cancel: Cancel | None) -> None:
        self.enlarge(
            source,
            sink,
            (self.layout.height, self.layout.width),
            self.target,
            linear_light=self.linear_light,
            caller_bytes=_bytes_held(sink.plane),  # the input was there before
            progress=progress,
            cancel=cancel,
        )

    @property
    def _alpha_levels(self) -> Levels:
        return Levels(0, type_range(self.dtype)[1], self.dtype)

    def _opaque(self, alpha: np.ndarray) -> bool:
        return bool(alpha.min() >= self._alpha_levels.high)


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
