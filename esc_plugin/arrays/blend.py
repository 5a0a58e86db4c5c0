"""How much of a result is the network's: the rest is the original, interpolated, all of it or where a mask says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engine import Sink, Source
from ..errors import ImageError
from ..network.grid import Region
from .piece import Piece
from .planes import TensorImage
from .resample import Size, needed, resize
from .surveyed import RunSurvey
from .taps import LANCZOS, make_filter

#: Values of a result that are blended at a time.
BAND_VALUES = 2**21


@dataclass(frozen=True, eq=False)
class Weight:
    """By how much the network counts in each pixel of a result, in 0..1.

    Attributes
    ----------
    strength : float
        Where there is no mask, or it is 1.
    mask : numpy.ndarray, optional
        (Y, X) of any size, see `checked_mask`; it is resized to `target` by the filter that resizes images.
    target : tuple of int
        Height and width of the result.
    """

    strength: float
    mask: np.ndarray | None
    target: Size

    def __call__(self, region: Region) -> np.ndarray:
        """Return the weights of a region, float32, so that they broadcast to (Y, X)."""
        if self.mask is None:
            return np.full((1, 1), self.strength, np.float32)
        resized = make_filter(LANCZOS, self.mask.shape, self.target, region)
        values = self.mask[resized.source.slices].astype(np.float32)
        if self.mask.dtype.kind == "u":
            values /= np.float32(np.iinfo(self.mask.dtype).max)
        weights: np.ndarray = resized(values).clip(0, 1) * np.float32(self.strength)
        return weights


def weight_of(strength: float, mask: np.ndarray | None, target: Size) -> Weight | None:
    """Return the weight of the network in a result, or None if it counts alone."""
    return None if strength == 1 and mask is None else Weight(strength, mask, target)


@dataclass(frozen=True)
class BlendSink:
    """A sink that mixes what comes with something else, and hands it on.

    Attributes
    ----------
    sink
        Takes the mixture.
    other
        What it is mixed with, of the same size.
    weight : callable
        ``weight(region)``: by how much counts what comes, see `Weight`.
    """

    sink: Sink
    other: Source
    weight: Callable[[Region], np.ndarray]

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `esc_plugin.engine.Sink`."""
        step = max(BAND_VALUES // (3 * region.width), 1)
        for top in range(region.top, region.bottom, step):
            band = Region(top, region.left, min(top + step, region.bottom), region.right)
            rows = band.within(region).slices[0]
            self.sink.write(band, self._mixed(band, tensor[..., rows, :]))

    def _mixed(self, region: Region, tensor: Tensor) -> Tensor:
        # NumPy rounds after each step, so a pixel doesn't depend on what lies around it; torch may join two of them.
        weight = self.weight(region)
        mixed = tensor.cpu().numpy() * weight
        mixed += self.other.read(region).numpy() * (1 - weight)
        return torch.from_numpy(mixed)


@dataclass(frozen=True)
class Interpolated:
    """A plane that is resized where it is read.

    Attributes
    ----------
    source
        The plane.
    size, target : tuple of int
        Its height and width, and those of the whole result.
    linear : bool
        Whether it is filtered in linear light.
    """

    source: Source
    size: Size
    target: Size
    linear: bool = False

    def read(self, region: Region) -> Tensor:
        """See `esc_plugin.engine.Source`."""
        made = torch.empty(1, 3, region.height, region.width)
        resize(self.source, TensorImage(made, region), self.size, self.target, self.linear, region)
        return made


@dataclass(frozen=True)
class Interpolation:
    """Upscales planes without any network, see `esc_plugin.arrays.piece.Enlarge`."""

    @property
    def group(self) -> None:
        """Nothing is found out that others could use."""
        return

    def runs(self, size: Size, target: Size) -> int:
        """Return that there are none."""
        return 0

    def reads(self, size: Size, target: Size, region: Region) -> Region:
        """Return the pixels that are read to make a region of the target."""
        return needed(size, target, region)

    def __call__(self, piece: Piece) -> tuple[RunSurvey, ...]:
        """Fill the sink of a piece; nothing must be known for it."""
        piece.filter()
        return tuple(piece.known)


def checked_mask(mask: Any, size: Size, target: Size) -> np.ndarray | None:
    """Return a mask as (Y, X) bool, unsigned or floating in 0..1.

    Parameters
    ----------
    mask : array, optional
        What a user gave. Of unsigned integers, the largest value of the type counts as 1.
    size, target : tuple of int
        Height and width of the image and of the result; the mask has the proportions of one of them, within a pixel.

    Raises
    ------
    ImageError
        If it is something else.
    """
    if mask is None:
        return None
    try:
        values = np.asarray(mask)
    except (TypeError, ValueError):
        raise ImageError(f"a mask must be an array (Y, X), not {type(mask).__name__}.") from None
    if values.ndim != 2 or values.size == 0:
        raise ImageError(f"a mask must be (Y, X), with a pixel or more; this one has shape {values.shape}.")
    if values.dtype.kind not in "buf":
        raise ImageError(f"a mask must be bool, of unsigned integers, or floating in 0..1, not {values.dtype}.")
    least, most = values.min(), values.max()  # NaN if there is any
    if values.dtype.kind == "f" and not (least >= 0 and most <= 1):
        raise ImageError(f"a mask must be in 0..1, without NaN; this one has values from {least:g} to {most:g}.")
    if not (_proportional(values.shape, size) or _proportional(values.shape, target)):
        (tall, wide), (height, width) = values.shape, size
        raise ImageError(
            f"the mask is {wide} x {tall}, which are other proportions than those of the image, {width} x {height} "
            "(width x height)."
        )
    return values


def _proportional(shape: tuple[int, ...], size: Size) -> bool:
    """Tell whether one factor makes `shape` of `size`, within a pixel."""
    least = max((n - 1) / length for n, length in zip(shape, size, strict=True))
    return least < min((n + 1) / length for n, length in zip(shape, size, strict=True))
