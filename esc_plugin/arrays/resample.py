"""Any target size: the antialiased filter that goes the rest of the way where networks have stopped."""

from __future__ import annotations

from math import floor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..engine import Sink, Source
from ..network.grid import Region
from .sizes import LARGEST_SCALE, Size, fit_size, runs_needed, target_size

__all__ = ["LARGEST_SCALE", "Resampler", "Size", "fit_size", "resize", "runs_needed", "target_size", "to_gamma", "to_linear"]

#: Half the width of the Lanczos filter, in pixels of the coarser grid.
LANCZOS = 3
#: Values of the output that the filter makes at a time.
BAND_VALUES = 2**22


class Resampler:
    """A sink that resizes what it takes with a Lanczos filter, antialiased, and hands it on in bands.

    It keeps only the rows that the filter still needs.

    Parameters
    ----------
    sink
        Takes the output.
    size, target : tuple of int
        Height and width of what comes and of what goes.
    linear : bool
        Whether to filter in linear light, that is, to undo the sRGB curve before and redo it after.
    """

    def __init__(self, sink: Sink, size: Size, target: Size, linear: bool = False) -> None:
        self.sink, self.size, self.target, self.linear = sink, size, target, linear
        self.ratio = size[0] / target[0]
        self.reach = LANCZOS * max(self.ratio, 1.0) + 1
        self.rows = np.empty((3, 0, size[1]), np.float32)
        self.first = 0  # the row of the input that is rows[:, 0]
        self.done = 0  # rows of the output that are out

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `esc_plugin.engine.Sink`; regions come in reading order."""
        if (missing := region.bottom - self.first - self.rows.shape[1]) > 0:
            self.rows = np.pad(self.rows, ((0, 0), (0, missing), (0, 0)))
        values = tensor[0].cpu().numpy()
        rows = slice(region.top - self.first, region.bottom - self.first)
        self.rows[:, rows, region.left : region.right] = to_linear(values) if self.linear else values
        if region.right == self.size[1]:
            self._flush(region.bottom)

    def _flush(self, complete: int) -> None:
        """Hand on all rows that no later row of the input reaches, and forget what is no longer needed."""
        ready = self.target[0] if complete == self.size[0] else floor((complete - self.reach) / self.ratio)
        step = max(BAND_VALUES // (3 * self.target[1]), 1)
        for top in range(self.done, ready, step):
            self._emit(top, min(top + step, ready))
        self.done = max(self.done, ready)
        keep = max(floor(self.done * self.ratio - self.reach), self.first)
        if keep > self.first:
            self.rows, self.first = self.rows[:, keep - self.first :].copy(), keep

    def _emit(self, top: int, bottom: int) -> None:
        box = (0.0, top * self.ratio - self.first, float(self.size[1]), bottom * self.ratio - self.first)
        # Pillow keeps positions as float32; so that the last row's can't be rounded beyond the end.
        box = (*box[:3], min(box[3], self.rows.shape[1]))
        shape = (self.target[1], bottom - top)
        bands = [Image.fromarray(rows).resize(shape, Image.Resampling.LANCZOS, box) for rows in self.rows]
        values = np.stack([np.asarray(band) for band in bands])
        values = to_gamma(values) if self.linear else values
        self.sink.write(Region(top, 0, bottom, self.target[1]), torch.from_numpy(values)[None])


def resize(source: Source, sink: Sink, size: Size, target: Size, linear: bool = False) -> None:
    """Resize an image without a network, in bands; see `Resampler`."""
    if size != target:
        sink = Resampler(sink, size, target, linear)
    step = max(BAND_VALUES // (3 * size[1]), 1)
    for top in range(0, size[0], step):
        region = Region(top, 0, min(top + step, size[0]), size[1])
        sink.write(region, source.read(region))


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
