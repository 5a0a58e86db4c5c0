"""Which values of an array a network sees as 0 and 1, and the way between the two.

Levels belong to a whole image, so that its planes, parts and previews agree: one pair for each channel (C), the same for all
T, Z and colour samples (S). What lies beyond them is kept from the network and not lost, see `esc_plugin.arrays.planes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import floor, frexp, inf, isfinite
from typing import Any, Protocol

import numpy as np

from ..errors import ImageError
from ..progress import Cancel, stop_if_asked
from .layout import Layout

#: Values of a plane that are looked at together.
BAND_VALUES = 2**20
#: Chosen levels are multiples of this share of the power of two below their distance. A little noise, or a part that is
#: missing, then leaves them as they are, and they are numbers a person can read.
STEPS = 16
#: What ``"percentile"`` takes without numbers.
PERCENTILES = (0.1, 99.9)

#: What a user may ask for: a word, (low, high), such a pair for each channel, or what `measure_levels` returned.
Intensity = str | Sequence[Any] | np.ndarray


@dataclass(frozen=True)
class Levels:
    """A straight map between the values of an array and 0..1.

    Attributes
    ----------
    low, high : float
        The values that become 0 and 1. If they are equal, everything becomes 0, and 0 comes back as `low`.
    dtype : numpy.dtype
        Of the array.
    """

    low: float
    high: float
    dtype: np.dtype

    @property
    def pair(self) -> tuple[float, float]:
        """The two values, for people and records."""
        return self.low, self.high

    @property
    def hold_all(self) -> bool:
        """Whether no value of the type can lie beyond them."""
        low, high = type_range(self.dtype)
        return self.dtype.kind in "biu" and self.low <= low and high <= self.high

    @property
    def _calculation(self) -> type[np.floating]:
        return np.float64 if self.dtype.itemsize >= 4 else np.float32

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Return values in 0..1, clipped to it, float32 and contiguous."""
        unit = np.array(values, self._calculation, order="C").clip(self.low, self.high)
        unit -= self._calculation(self.low)
        unit /= self._calculation((self.high - self.low) or 1)
        return unit.astype(np.float32, copy=False)

    def beyond(self, values: np.ndarray) -> np.ndarray:
        """Return by how much values lie above `high`, or (negative) below `low`; NaN where they are NaN."""
        exact = values.astype(self._calculation)
        return exact - exact.clip(self.low, self.high)

    def from_unit(self, values: np.ndarray, beyond: np.ndarray | None = None) -> np.ndarray:
        """Invert `to_unit`, and add what lies beyond the levels: integers are rounded and clipped to their type.

        Of bool, everything from 0.5 on is ``True``.
        """
        if self.dtype.kind == "b":
            return values >= 0.5
        result = values.astype(self._calculation) * self._calculation(self.high - self.low)
        result += self._calculation(self.low)
        if beyond is not None:
            result += beyond
        if self.dtype.kind == "f":
            limits: Any = np.finfo(self.dtype)
        else:
            limits = np.iinfo(self.dtype)
            np.rint(result, out=result)
        # float16 ends at 65504, which a network can pass.
        return np.clip(result, limits.min, limits.max, out=result).astype(self.dtype)


def type_range(dtype: np.dtype) -> tuple[float, float]:
    """Return the range of an integer type; 0..1 of others."""
    if dtype.kind in "iu":
        return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return 0.0, 1.0


def measure_levels(
    image: Any, layout: Layout, intensity: Intensity = "auto", nan: str = "error", cancel: Cancel | None = None
) -> list[Levels]:
    """Choose the values that a network sees as 0 and 1, once for each channel; an image without C has one.

    Parameters
    ----------
    image : array
        Of the axes in `layout`; it is read plane by plane, and not at all where nothing needs to be known.
    intensity : str, or pair of float, or a pair for each channel
        ``"range"``: of the type, floating is 0..1. ``"minmax"``: the lowest and the highest value, without transparency.
        ``"percentile"``, or ``"percentile:1,99"`` with other numbers: the values below which so much of the channel lies.
        ``"auto"``: the range of uint8; of others what `Typical` finds, which single outliers don't change.
        Of bool it is always the range.
        Levels that were measured before are taken as they are.
    nan : {"error", "keep"}
        Whether NaN and infinity are allowed.
    cancel : callable, optional
        ``cancel() -> bool`` is asked before each plane.

    Returns
    -------
    list of Levels
        By channel.

    Raises
    ------
    ImageError
        If an argument is none of these, or the values aren't finite.
    Cancelled
        If `cancel` returned ``True``.
    """
    if nan not in ("error", "keep"):
        raise ImageError(f"nan must be 'error' or 'keep', not {nan!r}.")
    dtype = np.dtype(image.dtype)
    pairs = _stated(intensity, layout, dtype)
    if pairs is None:
        pairs = _measured(image, layout, str(intensity), nan == "keep", cancel)
    elif dtype.kind == "f" and nan == "error":
        _scan(image, layout, [Finite() for _ in range(layout.channels)], False, cancel)
    for low, high in pairs:
        if not isfinite(high - low):
            raise ImageError(f"the intensities {low!r} to {high!r} are too far apart for {dtype}.")
    return [Levels(low, high, dtype) for low, high in pairs]


def _stated(intensity: Any, layout: Layout, dtype: np.dtype) -> list[tuple[float, float]] | None:
    """Return the pairs that need no look at the image, or None."""
    if isinstance(intensity, str):
        if intensity == "range" or dtype.kind == "b" or (intensity == "auto" and dtype.name == "uint8"):
            return [type_range(dtype)] * layout.channels
        if intensity not in ("auto", "minmax"):
            _percentiles(intensity)
        return None
    pairs = _pairs(intensity)
    if len(pairs) not in (1, layout.channels):
        raise ImageError(f"intensity has {len(pairs)} pairs, the image {layout.channels} channels: {intensity!r}.")
    return pairs * layout.channels if len(pairs) == 1 else pairs


def _pairs(intensity: Any) -> list[tuple[float, float]]:
    """Read (low, high), such pairs by channel, or `Levels` by channel, which may be equal where there is no contrast."""
    if isinstance(intensity, list | tuple) and intensity and all(isinstance(entry, Levels) for entry in intensity):
        return [levels.pair for levels in intensity]
    try:
        pairs = np.atleast_2d(np.asarray(intensity, np.float64))
        low, high = pairs.T
    except (TypeError, ValueError):
        raise ImageError(
            "intensity must be 'auto', 'range', 'minmax', 'percentile', (low, high), or such a pair for each channel, "
            f"not {intensity!r}."
        ) from None
    if not (np.isfinite(pairs).all() and (low < high).all()):
        raise ImageError(f"intensity must be (low, high) with low < high, not {intensity!r}.")
    return [(float(first), float(last)) for first, last in pairs]


def _percentiles(text: str) -> tuple[float, float]:
    """Read "percentile" or "percentile:LOW,HIGH"."""
    word, colon, numbers = text.partition(":")
    try:
        low, high = map(float, numbers.split(",")) if colon else PERCENTILES
    except ValueError:
        low = high = -1
    if word != "percentile" or not 0 <= low < high <= 100:
        raise ImageError(
            f"intensity must be 'auto', 'range', 'minmax', 'percentile', 'percentile:0.1,99.9' or (low, high), not {text!r}."
        )
    return low, high


class Statistic(Protocol):
    """Something that is found out about a channel by looking at one plane after the other."""

    def add(self, plane: np.ndarray, keep: bool) -> None:
        """Take (Y, X) or (Y, X, S); NaN and infinity are passed over if `keep`, and are an `ImageError` otherwise."""

    def pair(self) -> tuple[float, float]:
        """Return low and high."""


def _measured(image: Any, layout: Layout, intensity: str, keep: bool, cancel: Cancel | None) -> list[tuple[float, float]]:
    channels = range(layout.channels)
    if intensity in ("auto", "minmax"):
        found: list[Any] = [(Typical if intensity == "auto" else Extremes)() for _ in channels]
        _scan(image, layout, found, keep, cancel)
        return [statistic.pair() for statistic in found]
    share = _percentiles(intensity)
    coarse = [Ranks(share) for _ in channels]
    _scan(image, layout, coarse, keep, cancel)
    fine = [statistic.refined() for statistic in coarse]
    _scan(image, layout, fine, keep, cancel)
    return [statistic.pair() for statistic in fine]


def _scan(image: Any, layout: Layout, by_channel: Sequence[Statistic], keep: bool, cancel: Cancel | None) -> None:
    """Show each plane, without transparency, to the statistic of its channel."""
    for index in layout.planes():
        stop_if_asked(cancel)
        plane = layout.plane(image, index)
        by_channel[layout.channel(index)].add(plane[..., :-1] if layout.alpha else plane, keep)


def _bands(plane: np.ndarray, keep: bool, halo: int = 0) -> Iterator[np.ndarray]:
    """Yield a plane in pieces of about a million values, grown by `halo` rows above and below, with NaN for what to ignore.

    Raises
    ------
    ImageError
        If a value isn't finite and `keep` is ``False``.
    """
    rows = max(BAND_VALUES // max(plane[0].size, 1), 1)
    for top in range(0, len(plane), rows):
        band = plane[max(top - halo, 0) : top + rows + halo]
        if band.dtype.kind == "f" and not (finite := np.isfinite(band)).all():
            if not keep:
                raise ImageError("the image holds NaN or infinity; nan='keep' puts them back into the result.")
            band = np.where(finite, band, np.nan)
        yield band.astype(band.dtype.newbyteorder("="), copy=False)


class Finite:
    """Nothing but whether all values are finite."""

    def add(self, plane: np.ndarray, keep: bool) -> None:
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

    def add(self, plane: np.ndarray, keep: bool) -> None:
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
    """

    def __init__(self) -> None:
        self.second, self.third, self.median, self.all = Extremes(), Extremes(), Extremes(), Extremes()

    def add(self, plane: np.ndarray, keep: bool) -> None:
        """See `Statistic`."""
        rows = max(BAND_VALUES // max(plane[0].size, 1), 1)
        for number, band in enumerate(_bands(plane, keep, halo=1)):
            above, below = number == 0, (number + 1) * rows >= len(plane)
            self.all.take(band)
            sides = [(int(above), int(below)), (1, 1), *[(0, 0)] * (band.ndim - 2)]
            for found, ranks in zip(
                (self.second, self.third, self.median), _ranks(np.pad(band, sides, "edge")), strict=True
            ):
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
        return _rounded(low, bright + _reach([rank - bright for rank in (seconds[1], thirds[1])], bright - dark))


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

    def add(self, plane: np.ndarray, keep: bool) -> None:
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
    bits = values.astype(np.float32).view(np.uint32).astype(np.int64)
    return np.where(bits >> 31, 2**32 - 1 - bits, bits + 2**31)


def _value_of_bits(key: int) -> float:
    bits = key - 2**31 if key >> 31 else 2**32 - 1 - key
    return float(np.array(bits, np.uint32).view(np.float32))
