"""Which values of an array a network sees as 0 and 1, and the way between the two.

Levels belong to a whole image, so that its planes, parts and previews agree: one pair for each channel (C), the same for all
T, Z and colour samples (S). What lies beyond them is kept from the network and not lost, see `esc_plugin.arrays.planes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from ..errors import ImageError
from ..progress import Cancel, stop_if_asked
from ..texts import quoted
from .layout import Index, Layout
from .rows import Rows
from .statistics import Extremes, Finite, Ranks, Statistic, Typical

#: What ``"percentile"`` takes without numbers.
PERCENTILES = (0.1, 99.9)
#: Channels that are looked at in one pass through the image: what is counted of each takes half a megabyte, or one.
CHANNELS_AT_ONCE = 64

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
        exact: np.ndarray = values.astype(self._calculation)
        exact -= exact.clip(self.low, self.high)
        return exact

    def from_unit(self, values: np.ndarray, beyond: np.ndarray | None = None) -> np.ndarray:
        """Invert `to_unit`, and add what lies beyond the levels: integers are rounded and clipped to their type.

        Of bool, everything from 0.5 on is ``True``.
        """
        if self.dtype.kind == "b":
            return values >= 0.5
        result: np.ndarray = values.astype(self._calculation) * self._calculation(self.high - self.low)
        result += self._calculation(self.low)
        if beyond is not None:
            result += beyond
        if self.dtype.kind == "f":
            limits: Any = np.finfo(self.dtype)
        else:
            limits = np.iinfo(self.dtype)
            np.rint(result, out=result)
        # float16 ends at 65504, which a network can pass.
        np.clip(result, limits.min, limits.max, out=result)
        return result.astype(self.dtype)


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
        raise ImageError(f"nan must be 'error' or 'keep', not {quoted(nan)}.")
    dtype = np.dtype(image.dtype)
    pairs = _stated(intensity, layout, dtype)
    if pairs is None:
        pairs = _measured(image, layout, str(intensity), nan == "keep", cancel)
    elif dtype.kind == "f" and nan == "error":
        _scan(image, layout, dict.fromkeys(range(layout.channels), Finite()), False, cancel)
    for low, high in pairs:
        if not isfinite(high - low):
            raise ImageError(f"the intensities {low!r} to {high!r} are too far apart for {dtype}.")
    return [Levels(low, high, dtype) for low, high in pairs]


def stated_levels(intensity: Any) -> list[tuple[float, float]]:
    """Return the pairs of `Intensity` that is no word.

    Raises
    ------
    ImageError
        If it is none.
    """
    return _pairs(intensity)


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
        raise ImageError(f"intensity has {len(pairs)} pairs, the image {layout.channels} channels: {quoted(intensity)}.")
    return pairs * layout.channels if len(pairs) == 1 else pairs


def _pairs(intensity: Any) -> list[tuple[float, float]]:
    """Read (low, high), such pairs by channel, or `Levels` by channel, which may be equal where there is no contrast."""
    if isinstance(intensity, list | tuple) and intensity and all(isinstance(entry, Levels) for entry in intensity):
        return [levels.pair for levels in intensity]
    try:
        pairs = np.atleast_2d(np.asarray(intensity, np.float64))
        low, high = pairs.T
    except (OverflowError, TypeError, ValueError):
        raise ImageError(
            "intensity must be 'auto', 'range', 'minmax', 'percentile', (low, high), or such a pair for each channel, "
            f"not {quoted(intensity)}."
        ) from None
    if not (np.isfinite(pairs).all() and (low < high).all()):
        raise ImageError(f"intensity must be (low, high) with low < high, not {quoted(intensity)}.")
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
            "intensity must be 'auto', 'range', 'minmax', 'percentile', 'percentile:0.1,99.9' or (low, high), "
            f"not {quoted(text)}."
        )
    return low, high


def _measured(image: Any, layout: Layout, intensity: str, keep: bool, cancel: Cancel | None) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    while len(found) < layout.channels:
        channels = range(len(found), min(len(found) + CHANNELS_AT_ONCE, layout.channels))
        statistics: dict[int, Any]
        if intensity in ("auto", "minmax"):
            statistics = {channel: Typical() if intensity == "auto" else Extremes() for channel in channels}
        else:
            share = _percentiles(intensity)
            statistics = {channel: Ranks(share) for channel in channels}
            _scan(image, layout, statistics, keep, cancel)
            statistics = {channel: coarse.refined() for channel, coarse in statistics.items()}
        _scan(image, layout, statistics, keep, cancel)
        found += [statistic.pair() for statistic in statistics.values()]
    return found


def _scan(image: Any, layout: Layout, by_channel: Mapping[int, Statistic], keep: bool, cancel: Cancel | None) -> None:
    """Show each plane of some channels, without transparency, to the statistic of its channel."""
    for index in layout.planes():
        if statistic := by_channel.get(layout.channel(index)):
            statistic.add(_rows(image, layout, index, cancel), keep)


def _rows(image: Any, layout: Layout, index: Index, cancel: Cancel | None) -> Rows:
    def read(top: int, bottom: int) -> np.ndarray:
        stop_if_asked(cancel)
        part = layout.plane(image, index, slice(top, bottom))
        return part[..., :-1] if layout.alpha else part

    samples = (layout.samples - layout.alpha,) if "S" in layout.axes else ()
    return Rows(read, (layout.height, layout.width, *samples), np.dtype(image.dtype))
