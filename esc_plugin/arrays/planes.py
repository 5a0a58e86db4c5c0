"""A plane of an array as the source of a run, and as its sink: values are converted where and when they pass.

What lies beyond the levels of a plane, such as hot pixels, is not shown to the network, which would draw patterns around it.
It sees the plane clipped; what was clipped off is enlarged by linear interpolation, which neither rings nor invents, and is
added to what the network made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError
from ..network.grid import Region
from .interpolate import interpolated
from .levels import Levels
from .rows import Rows

#: Values of a plane that are looked at together.
BAND_VALUES = 2**20


@dataclass(frozen=True)
class Plane:
    """Gray (Y, X) or colour (Y, X, S) values, of which a part is at hand. The rest is read each time that it is asked for.

    Attributes
    ----------
    read : callable
        ``read(region)`` returns the values there; any strides and byte order.
    size : tuple of int
        Height and width.
    held : Region
        What is at hand; without pixels if nothing is.
    values : numpy.ndarray
        Its values.
    """

    read: Callable[[Region], np.ndarray]
    size: tuple[int, int]
    held: Region
    values: np.ndarray

    @classmethod
    def of(cls, array: np.ndarray) -> Plane:
        """Return a plane that is all at hand."""
        height, width = array.shape[:2]
        return cls(lambda region: array[region.slices], (height, width), Region(0, 0, height, width), array)

    def cut(self, region: Region) -> np.ndarray:
        """Return the values of a region."""
        return self.values[region.within(self.held).slices] if self.held.holds(region) else self.read(region)

    def taken(self, take: Callable[[np.ndarray], np.ndarray]) -> Plane:
        """Return a plane of some samples of the pixels."""
        return replace(self, read=lambda region: take(self.read(region)), values=take(self.values))

    def bands(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield rows, some at a time."""
        stop = self.size[0] if stop is None else stop
        width, step = self.size[1], max(BAND_VALUES // self.size[1], 1)
        shape, dtype = (*self.size, *self.values.shape[2:]), self.values.dtype
        rows = Rows(lambda top, bottom: self.cut(Region(top, 0, bottom, width)), shape, dtype)
        for top in range(start, stop, step):
            yield rows[top : min(top + step, stop)]

    @property
    def gray(self) -> bool:
        """Whether a pixel is one value."""
        return self.values.ndim == 2


@dataclass
class PlaneSource:
    """Gray (Y, X) or RGB (Y, X, 3) values as a network wants them.

    Attributes
    ----------
    plane : Plane
        It is only read.
    levels : Levels
        Of the plane.
    alpha, alpha_levels : optional
        Transparency (Y, X). The colours are multiplied by it, so that what nobody sees can't bleed into what one sees.
    stand_in : float, optional
        What the network sees in the place of NaN and infinity, in 0..1. Without it there are none.
    """

    plane: Plane
    levels: Levels
    alpha: Plane | None = None
    alpha_levels: Levels | None = None
    stand_in: float | None = None

    def read(self, region: Region) -> Tensor:
        """See `esc_plugin.engine.Source`."""
        original = self.plane.cut(region)
        values = self.levels.to_unit(original)
        if self.stand_in is not None:
            values[~np.isfinite(original)] = self.stand_in
        if (share := self._share(region)) is not None:
            values *= share
        tensor = torch.from_numpy(values)
        # In this order, torch sees that it is channels_last; an axis put before the samples would have their stride.
        return tensor.expand(1, 3, -1, -1) if tensor.ndim == 2 else tensor[None].permute(0, 3, 1, 2)

    def beyond(self, region: Region) -> np.ndarray | None:
        """Return what lies beyond the levels, (Y, X) or (Y, X, 3) floating in units of the plane; None if nothing does."""
        if self.levels.hold_all:
            return None
        values = self.levels.beyond(self.plane.cut(region))
        if self.stand_in is not None:
            values[~np.isfinite(values)] = 0
        if not values.any():
            return None
        share = self._share(region)
        return values if share is None else values * share

    def _share(self, region: Region) -> np.ndarray | None:
        """Return by how much the colours of each pixel count, so that it broadcasts to them."""
        if self.alpha is None or self.alpha_levels is None:
            return None
        share = self.alpha_levels.to_unit(self.alpha.cut(region))
        return share if self.plane.gray else share[..., None]


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
        Transparency of the output, of the shape of `plane`, by which the colours that come in were multiplied.
    source : PlaneSource, optional
        What it is made of: what lies beyond its levels is added, and its NaN and infinite values go where they were.
    clip : bool
        Whether to keep values in 0..1, as transparency must be.
    area : Region, optional
        Where `plane` lies in the whole output; by default it is the whole.
    size : tuple of int, optional
        Height and width of the whole output; by default those of `plane`.
    """

    plane: np.ndarray
    levels: Levels
    alpha: np.ndarray | None = None
    alpha_levels: Levels | None = None
    source: PlaneSource | None = None
    clip: bool = False
    area: Region = field(default=Region(0, 0, 0, 0))
    size: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        """Take the plane for the whole unless something else is said."""
        if self.size == (0, 0):
            self.size = self.plane.shape[0], self.plane.shape[1]
            self.area = Region(0, 0, *self.size)

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `esc_plugin.engine.Sink`. Gray is the mean of what the network made of three equal channels.

        Raises
        ------
        ImageError
            If it isn't finite.
        """
        values = (tensor[0].mean(0) if self.plane.ndim == 2 else tensor[0].permute(1, 2, 0)).cpu().numpy()
        if not np.isfinite(values).all():  # integers would be black, and nobody would know
            raise ImageError("the model makes values of it that are no numbers: its parameters are damaged or too large.")
        beyond, here = self._beyond(region), region.within(self.area).slices
        if self.alpha is not None and self.alpha_levels is not None:
            share = self.alpha_levels.to_unit(self.alpha[here])
            share = share if values.ndim == 2 else share[..., None]
            values = _divided(values, share)
            beyond = np.divide(beyond, share, out=np.zeros_like(beyond), where=share > 0) if beyond is not None else None
        part = self.levels.from_unit(values.clip(0, 1) if self.clip else values, beyond)
        if self.source is not None and self.source.stand_in is not None:
            there = self._original(region)
            part = np.where(np.isfinite(there), part, there)
        self.plane[here] = part

    def _beyond(self, region: Region) -> np.ndarray | None:
        """Return what lay beyond the levels, enlarged."""
        if self.source is None:
            return None
        return interpolated(self.source.beyond, self.source.plane.size, self.size, region)

    def _original(self, region: Region) -> np.ndarray:
        """Return the input's pixels under the centres of a region's pixels."""
        assert self.source is not None
        (height, width), (h, w) = self.size, self.source.plane.size
        rows = (2 * np.arange(region.top, region.bottom) + 1) * h // (2 * height)
        columns = (2 * np.arange(region.left, region.right) + 1) * w // (2 * width)
        place = Region(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        there: np.ndarray = self.source.plane.cut(place)[rows[:, None] - place.top, columns - place.left]
        return there


def _divided(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Take transparency out of colours. Where a pixel is opaque nothing changes; where it is invisible, it is black."""
    straight = np.divide(values, share, out=np.zeros_like(values), where=share > 0)
    divided: np.ndarray = np.where(share < 1, straight.clip(0, 1), straight)
    return divided


class TensorImage:
    """A tensor (1, 3, H, W) as source or sink: an image, or the part of one that lies at `place`."""

    def __init__(self, tensor: Tensor, place: Region | None = None) -> None:
        self.tensor, self.place = tensor, place

    def read(self, region: Region) -> Tensor:
        """See `esc_plugin.engine.Source`."""
        rows, columns = self._slices(region)
        return self.tensor[..., rows, columns].float()

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `esc_plugin.engine.Sink`."""
        rows, columns = self._slices(region)
        self.tensor[..., rows, columns] = tensor

    def _slices(self, region: Region) -> tuple[slice, slice]:
        return (region.within(self.place) if self.place else region).slices
