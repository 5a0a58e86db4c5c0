"""Any target size: the antialiased filter that goes the rest of the way where networks have stopped."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..engine import Sink, Source
from ..network.grid import Region
from ..progress import Cancel, stop_if_asked
from .sizes import Size
from .taps import LANCZOS, make_filter

__all__ = ["Resampler", "Size", "needed", "resize", "to_gamma", "to_linear"]

#: Values that the filter reads or makes at a time.
BAND_VALUES = 2**22


class Resampler:
    """A sink that resizes what it takes with a Lanczos filter, antialiased, and hands it on in bands from top to bottom.

    It keeps only the rows that the filter still needs. A region of the result is, to the bit, that rectangle of the whole.

    Parameters
    ----------
    sink
        Takes the output, in pixels of the whole result.
    size, target : tuple of int
        Height and width of the whole image and of the whole result.
    linear : bool
        Whether to filter in linear light, that is, to undo the sRGB curve before and redo it after.
    region : Region, optional
        The part of the result to make; all of it by default.

    Attributes
    ----------
    source : Region
        The part of the image that must come, and nothing else: see `needed`.
    """

    def __init__(self, sink: Sink, size: Size, target: Size, linear: bool = False, region: Region | None = None) -> None:
        self.sink, self.linear = sink, linear
        self.region = region or Region(0, 0, *target)
        self.filter = make_filter(LANCZOS, size, target, self.region)
        self.source = self.filter.source
        self.starts, self.lasts = self.filter.rows.places.min(0), self.filter.rows.places.max(0)
        self.rows = np.empty((3, 0, self.source.width), np.float32)
        self.first = self.source.top  # the row of the image that is rows[:, 0]
        self.done = 0  # rows of the region that are out

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `esc_plugin.engine.Sink`; regions come in reading order."""
        if (missing := region.bottom - self.first - self.rows.shape[1]) > 0:
            self.rows = np.pad(self.rows, ((0, 0), (0, missing), (0, 0)))
        values = tensor[0].cpu().numpy()
        rows = slice(region.top - self.first, region.bottom - self.first)
        columns = slice(region.left - self.source.left, region.right - self.source.left)
        self.rows[:, rows, columns] = to_linear(values) if self.linear else values
        if region.right == self.source.right:
            self._flush(region.bottom)

    def _flush(self, complete: int) -> None:
        """Hand on all rows that no later row of the image reaches, and forget what is no longer needed."""
        ready = int(np.searchsorted(self.lasts, complete))
        step = _band_rows(max(self.region.width, self.source.width))
        for top in range(self.done, ready, step):
            self._emit(top, min(top + step, ready))
        self.done = ready
        keep = int(self.starts[ready]) if ready < self.region.height else complete
        self.rows, self.first = self.rows[:, keep - self.first :].copy(), keep

    def _emit(self, top: int, bottom: int) -> None:
        band = self.filter.part(top, bottom)
        values = band(self.rows[:, band.rows.first - self.first : band.rows.end - self.first], axis=1)
        values = to_gamma(values) if self.linear else values
        place = Region(self.region.top + top, self.region.left, self.region.top + bottom, self.region.right)
        self.sink.write(place, torch.from_numpy(np.ascontiguousarray(values))[None])


def needed(size: Size, target: Size, region: Region) -> Region:
    """Return the pixels of an image of `size` (height, width) that a region of it, resized to `target`, is filtered from."""
    return make_filter(LANCZOS, size, target, region).source


def resize(
    source: Source,
    sink: Sink,
    size: Size,
    target: Size,
    linear: bool = False,
    region: Region | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Resize an image without a network, in bands, reading only what is needed; see `Resampler`."""
    region = region or Region(0, 0, *target)
    if size != target:
        sink = Resampler(sink, size, target, linear, region)
        region = sink.source
    step = _band_rows(region.width)
    for top in range(region.top, region.bottom, step):
        stop_if_asked(cancel)
        band = Region(top, region.left, min(top + step, region.bottom), region.right)
        sink.write(band, source.read(band))


def _band_rows(width: int) -> int:
    return max(BAND_VALUES // (3 * width), 1)


def to_linear(values: np.ndarray) -> np.ndarray:
    """Turn sRGB values into light, IEC 61966-2-1; odd around 0, so that values outside of 0..1 come back."""
    size = np.abs(values)
    light: np.ndarray = np.sign(values) * np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    return light


def to_gamma(values: np.ndarray) -> np.ndarray:
    """Invert `to_linear`."""
    size = np.abs(values)
    coded: np.ndarray = np.sign(values) * np.where(size <= 0.0031308, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055)
    return coded
