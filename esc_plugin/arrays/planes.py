"""A plane of an array as the source of a run, and as its sink: values are converted where and when they pass.

What lies beyond the levels of a plane, such as hot pixels, is not shown to the network, which would draw patterns around it.
It sees the plane clipped; what was clipped off is enlarged by linear interpolation, which neither rings nor invents, and is
added to what the network made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..network.grid import Region
from .interpolate import interpolated
from .levels import Levels


@dataclass
class PlaneSource:
    """Gray (Y, X) or RGB (Y, X, 3) values as a network wants them.

    Attributes
    ----------
    plane : numpy.ndarray
        Any strides and byte order; it is only read.
    levels : Levels
        Of the plane.
    alpha, alpha_levels : optional
        Transparency (Y, X). The colours are multiplied by it, so that what nobody sees can't bleed into what one sees.
    keep : bool
        Whether there may be NaN and infinite values; the network sees the mean of the others in their place.
    """

    plane: np.ndarray
    levels: Levels
    alpha: np.ndarray | None = None
    alpha_levels: Levels | None = None
    keep: bool = False

    def __post_init__(self) -> None:
        """Take the mean once, so that it doesn't depend on the pieces that are read."""
        self._mean = _finite_mean(self.plane, self.levels) if self.keep else 0.0

    def read(self, region: Region) -> Tensor:
        """See `esc_plugin.engine.Source`."""
        values = self.levels.to_unit(_cut(self.plane, region))
        if self.keep:
            values[~np.isfinite(_cut(self.plane, region))] = self._mean
        if (share := self._share(region)) is not None:
            values *= share
        tensor = torch.from_numpy(values)
        return (tensor.expand(3, -1, -1) if tensor.ndim == 2 else tensor.permute(2, 0, 1))[None]

    def beyond(self, region: Region) -> np.ndarray | None:
        """Return what lies beyond the levels, (Y, X) or (Y, X, 3) floating in units of the plane; None if nothing does."""
        if self.levels.hold_all:
            return None
        values = self.levels.beyond(_cut(self.plane, region))
        if self.keep:
            values[~np.isfinite(values)] = 0
        if not values.any():
            return None
        share = self._share(region)
        return values if share is None else values * share

    def _share(self, region: Region) -> np.ndarray | None:
        """Return by how much the colours of each pixel count, so that it broadcasts to them."""
        if self.alpha is None or self.alpha_levels is None:
            return None
        share = self.alpha_levels.to_unit(_cut(self.alpha, region))
        return share if self.plane.ndim == 2 else share[..., None]


@dataclass
class PlaneSink:
    """Gray (Y, X) or RGB (Y, X, 3) values that are filled in piece by piece.

    Attributes
    ----------
    plane : numpy.ndarray
        What to fill.
    levels : Levels
        Of the plane.
    alpha, alpha_levels : optional
        Transparency of the output, by which the colours that come in were multiplied.
    source : PlaneSource, optional
        What it is made of: what lies beyond its levels is added, and its NaN and infinite values go where they were.
    clip : bool
        Whether to keep values in 0..1, as transparency must be.
    """

    plane: np.ndarray
    levels: Levels
    alpha: np.ndarray | None = None
    alpha_levels: Levels | None = None
    source: PlaneSource | None = None
    clip: bool = False

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `esc_plugin.engine.Sink`. Gray is the mean of what the network made of three equal channels."""
        values = (tensor[0].mean(0) if self.plane.ndim == 2 else tensor[0].permute(1, 2, 0)).cpu().numpy()
        beyond = self._beyond(region)
        if self.alpha is not None and self.alpha_levels is not None:
            share = self.alpha_levels.to_unit(_cut(self.alpha, region))
            share = share if values.ndim == 2 else share[..., None]
            values = _divided(values, share)
            beyond = np.divide(beyond, share, out=np.zeros_like(beyond), where=share > 0) if beyond is not None else None
        part = self.levels.from_unit(values.clip(0, 1) if self.clip else values, beyond)
        if self.source is not None and self.source.keep:
            there = self._original(region)
            part = np.where(np.isfinite(there), part, there)
        _cut(self.plane, region)[...] = part

    def _beyond(self, region: Region) -> np.ndarray | None:
        """Return what lay beyond the levels, enlarged."""
        if self.source is None:
            return None
        return interpolated(self.source.beyond, self.source.plane.shape[:2], self.plane.shape[:2], region)

    def _original(self, region: Region) -> np.ndarray:
        """Return the input's pixels under the centres of a region's pixels."""
        assert self.source is not None
        (height, width), (h, w) = self.plane.shape[:2], self.source.plane.shape[:2]
        rows = (2 * np.arange(region.top, region.bottom) + 1) * h // (2 * height)
        columns = (2 * np.arange(region.left, region.right) + 1) * w // (2 * width)
        there: np.ndarray = self.source.plane[rows[:, None], columns]
        return there


def _cut(plane: np.ndarray, region: Region) -> np.ndarray:
    return plane[region.top : region.bottom, region.left : region.right]


def _divided(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Take transparency out of colours. Where a pixel is opaque nothing changes; where it is invisible, it is black."""
    straight = np.divide(values, share, out=np.zeros_like(values), where=share > 0)
    divided: np.ndarray = np.where(share < 1, straight.clip(0, 1), straight)
    return divided


def _finite_mean(plane: np.ndarray, levels: Levels) -> float:
    """Average what is finite, row by row, in 0..1 of the network; 0 if nothing is."""
    total, count = 0.0, 0
    for row in plane:
        finite = row[np.isfinite(row)]
        total += float(levels.to_unit(finite).sum(dtype=np.float64))
        count += finite.size
    return total / max(count, 1)


class TensorImage:
    """A tensor (1, 3, H, W) as source or sink."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def read(self, region: Region) -> Tensor:
        """See `esc_plugin.engine.Source`."""
        return self.tensor[..., region.top : region.bottom, region.left : region.right].float()

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `esc_plugin.engine.Sink`."""
        self.tensor[..., region.top : region.bottom, region.left : region.right] = tensor
