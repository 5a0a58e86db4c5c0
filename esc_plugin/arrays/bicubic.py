"""Bicubic resizing that equals MATLAB's `imresize`, by which the benchmarks of the field are made."""

from __future__ import annotations

from math import ceil

import numpy as np
import torch.nn.functional as F
from torch import Tensor


def imresize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize as MATLAB does: cubic (a = -0.5), widened where it shrinks, mirrored borders, rows before columns.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, C), uint8 or uint16.
    size : tuple of int
        Height and width of the result.

    Returns
    -------
    numpy.ndarray
        Of the same type. As in MATLAB it is rounded after each axis, halves upwards.
    """
    dtype = image.dtype
    for axis, length in enumerate(size):
        weights = _weights(image.shape[axis], length)
        values = np.moveaxis(np.tensordot(weights, image.astype(np.float64), (1, axis)), 0, axis)
        # Sums of the weights miss the exact halves by rounding errors; those must go up too.
        image = np.floor(values + 0.5 + 1e-9).clip(0, np.iinfo(dtype).max).astype(dtype)
    return image


def _weights(length: int, target: int) -> np.ndarray:
    """Return the matrix (target, length) that resizes one axis."""
    scale = target / length
    width = 4 / min(scale, 1)
    centres = (np.arange(target) + 0.5) / scale - 0.5
    first = np.floor(centres - width / 2).astype(int)
    taps = first[:, None] + np.arange(ceil(width) + 2)
    values = _cubic((centres[:, None] - taps) * min(scale, 1))
    values /= values.sum(1, keepdims=True)
    matrix = np.zeros((target, length))
    np.add.at(matrix, (np.arange(target)[:, None], mirrored(taps, length)), values)
    return matrix


def mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Return where an image has its mirror image's pixels, along one axis.

    Parameters
    ----------
    index : numpy.ndarray
        Any whole numbers; those outside of 0..length - 1 lie beyond the border.
    length : int
        Of the axis. Its two ends are repeated, as MATLAB does.

    Returns
    -------
    numpy.ndarray
        Of the same shape, in 0..length - 1.
    """
    index = index % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5 (IEEE ASSP 29, 1981)."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def enlarge(low: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, h, w) in 0..1 -> (C, *size), clipped: the bicubic interpolation of MATLAB and Pillow, without rounding."""
    # Torch takes their kernel (a = -0.5) with antialias only, which changes nothing else where images grow.
    return F.interpolate(low[None], size, mode="bicubic", align_corners=False, antialias=True)[0].clamp(0, 1)
