"""Filters of images as tensors, with mirrored borders: convolution, blur, sharpening, and the kernels of both."""

from __future__ import annotations

from math import cos, pi, sin

import torch
import torch.nn.functional as F
from torch import Tensor

from ..network.layers import reflect_pad


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """Filter each channel of (..., C, H, W) with a kernel of odd edges; borders are mirrored, however small the image."""
    rows, columns = kernel.shape[0] // 2, kernel.shape[1] // 2
    x = reflect_pad(x, columns, columns, rows, rows)
    channels = x.shape[-3]
    return F.conv2d(x, kernel.expand(channels, 1, *kernel.shape), groups=channels)


def gaussian_blur(x: Tensor, sigma: float, radius: int) -> Tensor:
    """Blur (..., C, H, W) by a Gaussian; borders are mirrored.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels; 0 leaves the image as it is.
    radius : int
        Of the kernel in pixels: it ends there, and its weights sum to one.
    """
    if sigma <= 0:
        return x
    steps = torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma
    taps = torch.exp(-(steps**2) / 2)
    taps = (taps / taps.sum()).to(x)
    return convolve(convolve(x, taps[:, None]), taps[None, :])


def sharpen(x: Tensor, weight: float = 0.5, radius: int = 25, threshold: float = 10 / 255) -> Tensor:
    """Sharpen by unsharp masking, as Real-ESRGAN sharpens its targets.

    Parameters
    ----------
    x : Tensor
        (B, C, H, W) in 0..1.
    weight : float
        How much of the difference to the blurred image is added.
    radius : int
        Of the blur, in pixels.
    threshold : float
        Differences below this one are left alone, softly.

    Returns
    -------
    Tensor
        The same shape, in 0..1.
    """
    sigma = 0.3 * (radius - 1) + 0.8  # OpenCV's, for a kernel of that radius
    difference = x - gaussian_blur(x, sigma, radius)
    mask = gaussian_blur((difference.abs() > threshold).to(x.dtype), sigma, radius)
    return torch.lerp(x, (x + weight * difference).clamp(0, 1), mask)


def blur_kernel(size: int, sigma: tuple[float, float], angle: float, beta: float = 1.0, plateau: bool = False) -> Tensor:
    """Return a blur kernel (size, size), which sums to one.

    Parameters
    ----------
    sigma : tuple of float
        Standard deviations along the two axes, in pixels, before they are turned.
    angle : float
        In radians.
    beta : float
        Exponent of the squared distance; 1 is the Gaussian.
    plateau : bool
        1 / (1 + distance) instead of exp(-distance / 2).
    """
    y, x = _grid(size)
    along, across = x * cos(angle) + y * sin(angle), y * cos(angle) - x * sin(angle)
    distance = ((along / sigma[0]) ** 2 + (across / sigma[1]) ** 2) ** beta
    kernel = 1 / (1 + distance) if plateau else torch.exp(-distance / 2)
    return (kernel / kernel.sum()).float()


def sinc_kernel(size: int, cutoff: float) -> Tensor:
    """Return the circular low-pass kernel (size, size) with a cut-off in radians per pixel; it rings, and sums to one."""
    y, x = _grid(size)
    radius = torch.hypot(x, y)
    kernel: Tensor = torch.special.bessel_j1(cutoff * radius) / (2 * pi * radius.clamp(min=1e-9)) * cutoff
    kernel[size // 2, size // 2] = cutoff**2 / (4 * pi)
    return (kernel / kernel.sum()).float()


def _grid(size: int) -> tuple[Tensor, Tensor]:
    axis = torch.arange(size, dtype=torch.float64) - size // 2
    return axis[:, None].expand(size, size), axis.expand(size, size)
