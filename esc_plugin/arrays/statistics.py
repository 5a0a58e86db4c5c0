"""What is found out about the values of a channel by looking at one plane after the other, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from math import floor, frexp, inf, isfinite, prod
from typing import Protocol

import numpy as np

from ..errors import ImageError
from .rows import Rows

#: Values of a plane that are looked at together.
BAND_VALUES = 2**20
#: Chosen levels are multiples of this share of the power of two below their distance. A little noise, or a part that is
#: missing, then leaves them as they are, and they are numbers a person can read.
STEPS = 16
#: Levels lie no further beyond these percentiles than so many times their distance.
TAILS, TAIL_REACH = (0.1, 99.9), 4


class Statistic(Protocol):
    """Something that is found out about a channel by looking at one plane after the other."""

    def add(self, plane: np.ndarray | Rows, keep: bool) -> None:
        """Take (Y, X) or (Y, X, S); NaN and infinity are passed over if `keep`, and are an `ImageError` otherwise."""

    def pair(self) -> tuple[float, float]:
        """Return low and high."""


def _bands(plane: np.ndarray | Rows, keep: bool, halo: int = 0) -> Iterator[np.ndarray]:
    """Yield a plane in pieces of about a million values, grown by `halo` rows above and below, with NaN for what to ignore.

    Raises
    ------
    ImageError
        If a value isn't finite and `keep` is ``False``.
    """
    rows = max(BAND_VALUES // max(prod(plane.shape[1:]), 1), 1)
    for top in range(0, len(plane), rows):
        band = plane[max(top - halo, 0) : top + rows + halo]
        if band.dtype.kind == "f" and not (finite := np.isfinite(band)).all():
            if not keep:
                raise ImageError("the image holds NaN or infinity; nan='keep' puts them back into the result.")
            band = np.where(finite, band, np.nan)
        yield band.astype(band.dtype.newbyteorder("="), copy=False)


class Finite:
    """Nothing but whether all values are finite."""

    def add(self, plane: np.ndarray | Rows, keep: bool) -> None:
        """See `Statistic`."""
        for _ in _bands(plane, keep):
            pass

    def pair(self) -> tuple[float, float]:
        """See `Statistic`."""
        return 0.0, 1.0


class Extremes:
    """The lowest and the highest value; 0 and 0 if there is none."""

    def __init__(self) -> None:
        self.low, self.high = inf, -inf

    def add(self, plane: np.ndarray | Rows, keep: bool) -> None:
        """See `Statistic`."""
        for band in _bands(plane, keep):
            self.take(band)

    def take(self, values: np.ndarray) -> None:
        """Widen to values, but for NaN."""
        # fmin and fmax pass over NaN.
        low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
        if isfinite(low):
            self.low, self.high = min(self.low, low), max(self.high, high)

    def pair(self) -> tuple[float, float]:
        """See `Statistic`."""
        return (self.low, self.high) if self.low <= self.high else (0.0, 0.0)


class Typical:
    """Levels that hold what has neighbours of its kind, whatever single pixels do.

    The values of each 3 x 3 neighbourhood are ranked. The highest second rank of all is what a hot pixel can't change, the
    third what two that touch can't, and the highest median says how much to expect: a rank that lies further above it than
    the lowest median lies below it isn't believed, and the next is taken. A line from the median through that rank leads to
    the level, so that the top of a spot isn't cut off; the same below. At last both are rounded outwards, see `STEPS`.
    Saturated values, the largest of an integer type, and neighbourhoods that hold one don't count. Something small and very
    bright, such as a bead or a grain of dust, would leave next to nothing for all the rest: so levels end at `TAIL_REACH`.
    """

    def __init__(self) -> None:
        self.second, self.third, self.median, self.all = Extremes(), Extremes(), Extremes(), Extremes()
        self.bulk = Ranks(TAILS)

    def add(self, plane: np.ndarray | Rows, keep: bool) -> None:
        """See `Statistic`."""
        self.bulk.add(plane, keep)
        for band in _bands(plane, keep, halo=1):
            self.all.take(band)
            # Windows inside only: repeated at the border, a pixel in the corner would have neighbours of its kind.
            missing = [(0, max(3 - n, 0)) for n in band.shape[:2]] + [(0, 0)] * (band.ndim - 2)
            windows = _ranks(np.pad(_without_saturation(band), missing, "edge"))
            for found, ranks in zip((self.second, self.third, self.median), windows, strict=True):
                for values in ranks:
                    found.take(values)

    def pair(self) -> tuple[float, float]:
        """See `Statistic`."""
        if not isfinite(self.median.low):  # every neighbourhood has a NaN
            return self.all.pair()
        (dark, bright), seconds, thirds = self.median.pair(), self.second.pair(), self.third.pair()
        if dark == bright:
            return _rounded(*seconds)
        low = dark - _reach([dark - rank for rank in (seconds[0], thirds[0])], bright - dark)
        high = bright + _reach([rank - bright for rank in (seconds[1], thirds[1])], bright - dark)
        least, most = self.bulk.bounds()
        reach = TAIL_REACH * (most - least)
        return _rounded(max(low, least - reach), min(high, most + reach))


def _without_saturation(values: np.ndarray) -> np.ndarray:
    """Replace the largest value of an integer type by NaN: it says that something was too bright, not how bright."""
    if values.dtype.kind not in "iu" or not (saturated := values == np.iinfo(values.dtype).max).any():
        return values
    return np.where(saturated, np.nan, values.astype(np.float64))


def _reach(ranks: Sequence[float], most: float) -> float:
    """Return how far beyond the median the values go: by the straight line from it through the first rank to believe.

    Parameters
    ----------
    ranks : sequence of float
        How far the second and the third of nine lie from the median, the fifth.
    most : float
        What to believe.
    """
    for place, rank in enumerate(ranks, 2):
        if rank <= most:
            return min(rank * 5 / (5 - place), most)
    return most


def _ranks(values: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Rank each 3 x 3 neighbourhood inside: the second from both ends, the third from both ends, and the median.

    Columns are sorted first, then neighbours are merged (Smith, "Implementing median filters in XC4000E FPGAs", 1996).
    """
    columns = _sorted(values[:-2], values[1:-1], values[2:])
    low, middle, high = (_sorted(v[:, :-2], v[:, 1:-1], v[:, 2:]) for v in columns)
    second = np.minimum(low[1], middle[0]), np.maximum(high[1], middle[2])
    third_low = reduce(np.minimum, (np.maximum(low[1], middle[0]), low[2], middle[1], high[0]))
    third_high = reduce(np.maximum, (np.minimum(high[1], middle[2]), high[0], middle[1], low[2]))
    return [second, (third_low, third_high), (_sorted(low[2], middle[1], high[0])[1],)]


def _sorted(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort three arrays value by value; NaN in one is NaN in all."""
    a, b = np.minimum(a, b), np.maximum(a, b)
    b, c = np.minimum(b, c), np.maximum(b, c)
    return np.minimum(a, b), np.maximum(a, b), c


def _rounded(low: float, high: float) -> tuple[float, float]:
    """Move two values apart to multiples of a sixteenth of the power of two below their distance."""
    if low == high or not isfinite(high - low):
        return low, high
    step = 2.0 ** (frexp(high - low)[1] - 1) / STEPS
    return floor(low / step) * step, -floor(-high / step) * step


class Ranks:
    """The values below which given shares lie, found in two passes: by the upper half of their bits, then by the lower.

    Values are float32 here, whose bits, read as an integer, are in the order of the values once the negative ones are
    turned over.

    Parameters
    ----------
    shares : tuple of float
        In percent.
    upper : tuple of int, optional
        The upper halves that the first pass found.
    below : tuple of int
        How many values lie below those.
    """

    HALF = 16

    def __init__(
        self, shares: tuple[float, float], upper: tuple[int, int] | None = None, below: tuple[int, int] = (0, 0)
    ) -> None:
        self.shares, self.upper, self.below = shares, upper, below
        self.total = 0
        self.counts = np.zeros((1 if upper is None else 2, 2**self.HALF), np.int64)

    def add(self, plane: np.ndarray | Rows, keep: bool) -> None:
        """See `Statistic`."""
        for band in _bands(plane, keep):
            keys = _ordered_bits(band[~np.isnan(band)] if band.dtype.kind == "f" else band.ravel())
            self.total += keys.size
            upper, lower = keys >> self.HALF, keys & (2**self.HALF - 1)
            parts = [upper] if self.upper is None else [lower[upper == wanted] for wanted in self.upper]
            for counts, part in zip(self.counts, parts, strict=True):
                counts += np.bincount(part, minlength=2**self.HALF)

    def _found(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the bins in which the wanted ranks lie, and how many values lie below those."""
        bins, below = [], []
        for place, share in enumerate(self.shares):
            running = np.cumsum(self.counts[place if self.upper else 0]) + self.below[place]
            rank = min(floor(share / 100 * self.total), self.total - 1)
            found = int(np.searchsorted(running, rank, side="right"))
            bins.append(min(found, 2**self.HALF - 1))
            below.append(int(running[found - 1]) if found else self.below[place])
        return (bins[0], bins[1]), (below[0], below[1])

    def bounds(self) -> tuple[float, float]:
        """Return values between which the shares lie for sure, to a hundredth of their size: what one pass can tell."""
        if not self.total:
            return 0.0, 0.0
        low, high = self._found()[0]
        return _value_of_bits(low << self.HALF), _value_of_bits((high << self.HALF) | (2**self.HALF - 1))

    def refined(self) -> Ranks:
        """Return what to use for the second pass."""
        return Ranks(self.shares, *self._found())

    def pair(self) -> tuple[float, float]:
        """See `Statistic`."""
        if not self.total or self.upper is None:
            return 0.0, 0.0
        low, high = (upper << self.HALF | lower for upper, lower in zip(self.upper, self._found()[0], strict=True))
        return _value_of_bits(low), _value_of_bits(high)


def _ordered_bits(values: np.ndarray) -> np.ndarray:
    limits = np.finfo(np.float32)
    values = values.clip(limits.min, limits.max) if values.dtype.itemsize == 8 else values
    bits = values.astype(np.float32).view(np.uint32).astype(np.int64)
    return np.where(bits >> 31, 2**32 - 1 - bits, bits + 2**31)


def _value_of_bits(key: int) -> float:
    bits = key - 2**31 if key >> 31 else 2**32 - 1 - key
    return float(np.array(bits, np.uint32).view(np.float32))
