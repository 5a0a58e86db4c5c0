"""What happens to an image before it is a file: the steps of which degradations are made, for training and for figures.

Images are float32 tensors (C, H, W), 0 and 1 being what a network sees as black and white.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def reduce_area(x: Tensor, scale: int) -> Tensor:
    """(C, scale h, scale w) -> (C, h, w), by the mean over scale x scale pixels, as the binning of a camera."""
    return F.avg_pool2d(x, scale)


def photon_noise(x: Tensor, photons: float, read_noise: float, rng: np.random.Generator) -> Tensor:
    """Return x as a camera counts it, of the same shape, neither rounded nor clipped.

    The variance of the noise is x / photons + (read_noise / photons)^2.

    Parameters
    ----------
    x : Tensor
        What is below 0 has no photons.
    photons : float
        Expected at 1.
    read_noise : float
        Standard deviation of the camera's own noise, in photons.
    rng : numpy.random.Generator
        The only source of chance.
    """
    electrons = rng.poisson(x.clamp(min=0).double().numpy() * photons).astype(np.float64)
    electrons += rng.normal(0, read_noise, electrons.shape)
    return torch.from_numpy((electrons / photons).astype(np.float32))


def gaussian_noise(x: Tensor, sigma: float, rng: np.random.Generator) -> Tensor:
    """Return noise of the shape of x with a standard deviation."""
    return torch.from_numpy(rng.standard_normal(tuple(x.shape), np.float32)) * sigma


def rounded(x: Tensor) -> Tensor:
    """Return the nearest of 256 levels."""
    return (x.clamp(0, 1) * 255).round() / 255


def jpeg(x: Tensor, quality: int, subsampling: str = "4:2:0") -> Tensor:
    """Return x, gray (1, H, W) or RGB (3, H, W), as it comes back from a real JPEG file, written by Pillow.

    Parameters
    ----------
    quality : int
        Pillow's, from 1 to 100.
    subsampling : str
        How colour is stored, such as ``"4:4:4"``; gray has none.
    """
    pixels = (x.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    options = {"subsampling": subsampling} if len(x) == 3 else {}
    file = BytesIO()
    Image.fromarray(pixels if len(x) == 3 else pixels[..., 0]).save(file, "JPEG", quality=quality, **options)
    with Image.open(file) as image:
        return torch.from_numpy(np.array(image).reshape(pixels.shape)).permute(2, 0, 1).float() / 255
