"""Parts of one result, rendered wherever they are asked for: in threads, in other processes, on other machines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from threading import Condition
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays.layout import Index
from .arrays.lazy import CancellableArray, Place, Span
from .arrays.stack import Stack
from .device import cores, limited_threads, usable_threads
from .network.grid import Region
from .progress import Cancel

if TYPE_CHECKING:
    from .survey import Survey
    from .upscaler import Upscaler

#: Of the memory that a worker of dask may have: from here on it moves results to the disk, and soon takes no more work.
FILLED = 0.7
#: Image pixels that are given beyond what is foreseen, where a model looks as far as its data say.
MARGIN = 64


@dataclass(frozen=True)
class Renderer:
    """What makes any part of one result. It is safe in threads, and it travels.

    Attributes
    ----------
    upscaler : Upscaler
        What runs.
    survey : Survey
        Of the image. Whoever makes a renderer has checked it.
    dtype : numpy.dtype
        Of the image and of the result.
    mask : numpy.ndarray, optional
        Where the network counts, see `esc_plugin.arrays.blend.checked_mask`.
    """

    upscaler: Upscaler
    survey: Survey
    dtype: np.dtype
    mask: np.ndarray | None = field(default=None, repr=False, compare=False)
    _known: dict[tuple[str, Span], Span] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole result."""
        return self.survey.request.layout.resized(*self.survey.request.target)

    def reads(self, place: Place) -> Place:
        """Return the part of the image that a part of the result is made of; some more if that depends on the data."""
        found = dict(zip(self.survey.request.axes, place, strict=True))
        return tuple((found | {a: self._read_along(a, found[a]) for a in "YX"}).values())

    def _read_along(self, letter: str, span: Span) -> Span:
        """Return what is read along Y or X, which doesn't depend on the other one: a grid of n x n parts asks 2 n times."""
        if (letter, span) not in self._known:
            request, least = self.survey.request, (0, 1)
            place = tuple(span if a == letter else least for a in request.axes)
            part = self._stack(self.upscaler, place).reads
            if any(upscaler.network().to_img.asks for upscaler in self.upscaler.parts):
                part = part.grow(MARGIN, (request.layout.height, request.layout.width))
            self._known[letter, span] = (part.top, part.bottom) if letter == "Y" else (part.left, part.right)
        return self._known[letter, span]

    def __call__(self, image: Any, place: Place, cancel: Cancel | None = None) -> np.ndarray:
        """Return a part of the result.

        Parameters
        ----------
        image : array
            What the survey was made of, or a `esc_plugin.arrays.lazy.Part` of it.
        place : tuple of pair of int
            For each axis, where the part starts and stops. Samples (S) are whole.
        cancel : callable, optional
            ``cancel() -> bool`` is asked after each piece of work.

        Raises
        ------
        ImageError
            If the image can't be read.
        EscError
            If the memory can't be had.
        """
        image = CancellableArray(image, cancel)
        stack = self._stack(self._fitted(), place)
        reads = stack.reads
        out = np.empty([stop - start for start, stop in place], self.dtype)
        for index in self._planes(place):
            plane = stack.plane(image, index, reads)
            with _turn(self.upscaler.threads):
                values = stack.render(plane, index, self.survey.planes[self._number(index)], cancel)
            out[tuple(i if isinstance(i, slice) else i - start for i, (start, _) in zip(index, place, strict=True))] = values
        return out

    def _planes(self, place: Place) -> Iterator[Index]:
        """Iterate over the planes of a part, in the whole."""
        whole: list[Iterable[int | slice]] = [(slice(None),) if a in "YXS" else () for a in self.survey.request.axes]
        return product(*(all_of_it or range(*span) for all_of_it, span in zip(whole, place, strict=True)))

    def _stack(self, upscaler: Upscaler, place: Place) -> Stack:
        (top, bottom), (left, right) = (place[self.survey.request.axes.index(a)] for a in "YX")
        levels = self.survey.levels_of(self.dtype)
        stack = upscaler.stack(self.survey.request, levels, Region(top, left, bottom, right), mask=self.mask)
        return stack if self.survey.request.strength else stack.without_network

    def _number(self, index: Index) -> int:
        """Return which plane that is, see `Layout.planes`."""
        number = 0
        for i, count in zip(index, self.survey.request.shape, strict=True):
            number = number if isinstance(i, slice) else number * count + i
        return number

    def _fitted(self) -> Upscaler:
        """Return an upscaler that stays within what a worker of dask may have; above that, it would be killed."""
        limits = [limit for limit in (self.upscaler.memory_limit, _worker_bytes(self.upscaler.threads)) if limit is not None]
        return self.upscaler.with_memory_limit(min(limits)) if limits else self.upscaler


def _worker_bytes(threads: int) -> int | None:
    """Return the bytes that a part may take where this is run by a worker of dask that has a limit."""
    if "distributed" not in sys.modules:
        return None
    import psutil
    from distributed import get_worker

    try:
        limit = get_worker().memory_manager.memory_limit
    except ValueError:  # run by anybody else
        return None
    if not limit:
        return None
    total, own = _threads(threads)
    return max(int(limit * FILLED - psutil.Process().memory_info().rss) // (total // own), 1)


class _Threads:
    """So many threads, lent to whoever renders.

    A scheduler with n threads would else run n parts with as many torch threads each as there are cores, in n times the
    memory. Reading goes on meanwhile.
    """

    def __init__(self, total: int) -> None:
        self._left, self._changed = total, Condition()

    @contextmanager
    def lent(self, count: int) -> Iterator[None]:
        """Wait until so many are left, of all that there are at most, and have them."""
        with self._changed:
            self._changed.wait_for(lambda: self._left >= count)
            self._left -= count
        try:
            yield
        finally:
            with self._changed:
                self._left += count
                self._changed.notify_all()


_lender = cache(_Threads)


def _threads(limit: int) -> tuple[int, int]:
    """Return how many threads there are for all calls together, and how many this thread uses; others may use more."""
    total, own = limit or cores(), usable_threads()
    return total, min(own, total)


@contextmanager
def _turn(limit: int) -> Iterator[None]:
    """Compute on this thread's share of the threads that there are for all calls together."""
    total, own = _threads(limit)
    with _lender(total).lent(own), limited_threads(own):
        yield
