"""A small image made of a true one, see `Degradation`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import ceil

import numpy as np
import torch
from torch import Tensor

from ..arrays.bicubic import imresize
from ..arrays.degrade import gaussian_noise, jpeg, photon_noise, reduce_area
from ..arrays.filters import gaussian_blur
from ..arrays.layout import layout_of
from ..arrays.levels import Levels, measure_levels
from .degradation import Degradation


def degrade(truth: np.ndarray, degradation: Degradation, scale: int) -> np.ndarray:
    """Make the small image of a true one.

    Parameters
    ----------
    truth : numpy.ndarray
        (scale h, scale w) or (scale h, scale w, 3), uint8 or uint16. Gray that comes as three equal channels stays gray.
    degradation : Degradation
    scale : int
        Pixels along each axis that become one.

    Returns
    -------
    numpy.ndarray
        (h, w) or (h, w, 3), of the same type. Noise depends on the image alone: the same one has the same noise.

    Raises
    ------
    EscError
        If the degradation bins by another number, or is JPEG of more than 8 bits.
    """
    degradation.check_scale(scale, "the network")
    degradation.check_depth(truth.dtype, "the image")
    planes = truth.reshape(*truth.shape[:2], -1)
    gray = bool((planes == planes[..., :1]).all())
    levels = measure_levels(planes, layout_of(planes, "YXS"))[0]
    if levels.low == levels.high:  # one value, and perhaps single others: what lies beyond is counted in steps of one
        levels = replace(levels, high=levels.low + 1)
    low = _recorded(planes[..., :1] if gray else planes, levels, degradation, scale)
    whole = np.broadcast_to(low, (*low.shape[:2], planes.shape[2]))
    return np.ascontiguousarray(whole).reshape(*low.shape[:2], *truth.shape[2:])


def _recorded(truth: np.ndarray, levels: Levels, steps: Degradation, scale: int) -> np.ndarray:
    """(scale h, scale w, c) -> (h, w, c)."""
    rng = np.random.default_rng(_seed(truth))
    low = _reduced(truth, levels, steps, scale)
    if steps.photons:
        low = photon_noise(low, steps.photons, steps.read, rng)
    if steps.noise:
        low = low + gaussian_noise(low, steps.noise / 255, rng)
    stored = _from_unit(low, levels)
    return _from_unit(jpeg(_to_unit(stored, levels), steps.jpeg), levels) if steps.jpeg else stored


def _reduced(truth: np.ndarray, levels: Levels, steps: Degradation, scale: int) -> Tensor:
    blurred = gaussian_blur(_to_unit(truth, levels), steps.blur, ceil(4 * steps.blur))
    if steps.bin is not None:
        return reduce_area(blurred, scale)
    # MATLAB's works on what a file holds; an image that isn't blurred is the same as before.
    stored = _from_unit(blurred, levels)
    return _to_unit(imresize(stored, (truth.shape[0] // scale, truth.shape[1] // scale)), levels)


def _to_unit(image: np.ndarray, levels: Levels) -> Tensor:
    """(H, W, C) -> (C, H, W) float32; what lies beyond the levels is kept."""
    unit = (image.astype(np.float64) - levels.low) / (levels.high - levels.low)
    return torch.from_numpy(np.ascontiguousarray(unit.transpose(2, 0, 1), np.float32))


def _from_unit(x: Tensor, levels: Levels) -> np.ndarray:
    """Invert `_to_unit`, rounded and clipped to the type."""
    return levels.from_unit(x.permute(1, 2, 0).numpy())


def _seed(image: np.ndarray) -> int:
    values = np.ascontiguousarray(image.astype(image.dtype.newbyteorder("<")))
    return int.from_bytes(hashlib.sha256(repr(values.shape).encode() + values.tobytes()).digest()[:8], "little")
