"""What happens to photos between the lens and the web: the second-order degradation of Real-ESRGAN.

Wang et al., ICCV Workshops 2021 (arXiv 2107.10833), with the probabilities and ranges of its published training: two rounds
of blur, resizing, noise and JPEG, then a sinc filter, which rings as over-sharpened pictures do, and JPEG again. Images in
here are float32 tensors (3, H, W) in 0..1; every random choice comes from the generator that is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import pi
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...arrays.degrade import gaussian_noise, jpeg, rounded
from ...arrays.filters import blur_kernel, convolve, sharpen, sinc_kernel
from .maker import PairMaker, Range, crop, to_tensor

#: Kinds of blur kernel: the form, and whether its two axes differ.
KERNELS = tuple((form, aniso) for form in ("gaussian", "generalized", "plateau") for aniso in (False, True))
#: Low-resolution pixels that are degraded around a patch, so that it doesn't show where its piece of the image ends.
BORDER = 8
LUMA = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)


@dataclass(frozen=True)
class Round:
    """One round of blur, resizing, noise and JPEG; the defaults are the paper's first.

    Attributes
    ----------
    blur_prob, sinc_prob : float
        Probability of a blur, and of its kernel being a sinc instead of one of `KERNELS`.
    sigma : tuple of float
        Range of a blur's standard deviation along each of its axes, in pixels.
    resize_probs : tuple of float
        Probability of growing, shrinking, and staying.
    resize_range : tuple of float
        Smallest and largest factor.
    gaussian_prob, gray_prob : float
        Probability of Gaussian noise, else it is Poisson's, and of the same noise in all three channels.
    gaussian_sigma : tuple of float
        Range of its standard deviation, in levels of 255.
    poisson_scale : tuple of float
        Range of what Poisson noise, for as many photons at white as the image has levels, is multiplied by.
    jpeg_quality : tuple of int
        Range of Pillow's quality.
    """

    blur_prob: float = 1.0
    sinc_prob: float = 0.1
    sigma: Range = (0.2, 3.0)
    resize_probs: tuple[float, float, float] = (0.2, 0.7, 0.1)
    resize_range: Range = (0.15, 1.5)
    gaussian_prob: float = 0.5
    gray_prob: float = 0.4
    gaussian_sigma: Range = (1.0, 30.0)
    poisson_scale: Range = (0.05, 3.0)
    jpeg_quality: tuple[int, int] = (30, 95)


SECOND = Round(
    blur_prob=0.8,
    sigma=(0.2, 1.5),
    resize_probs=(0.3, 0.4, 0.3),
    resize_range=(0.3, 1.2),
    gaussian_sigma=(1.0, 25.0),
    poisson_scale=(0.05, 2.5),
)


@dataclass(frozen=True)
class RealDegradation:
    """Both rounds and the end; the defaults are the paper's.

    Attributes
    ----------
    first, second : Round
        The rounds.
    kernel_sizes : tuple of int
        Smallest and largest edge of a kernel, odd.
    kernel_probs : tuple of float
        Probability of each of `KERNELS`.
    generalized_beta, plateau_beta : tuple of float
        Range of the exponent; below and above 1, where the kernel is Gaussian, are equally likely.
    final_sinc_prob : float
        Probability of the last sinc filter.
    sharpen : bool
        Whether to start from the image sharpened by `sharpen`. The target isn't; see the recipe's ``loss.sharpen``.
    """

    first: Round = field(default_factory=Round)
    second: Round = SECOND
    kernel_sizes: tuple[int, int] = (7, 21)
    kernel_probs: tuple[float, ...] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    generalized_beta: Range = (0.5, 4.0)
    plateau_beta: Range = (1.0, 2.0)
    final_sinc_prob: float = 0.8
    sharpen: bool = True

    def degrade(self, high: Tensor, scale: int, rng: np.random.Generator) -> Tensor:
        """Degrade an image.

        Parameters
        ----------
        high : Tensor
            (3, scale h, scale w) in 0..1. It is not changed.
        scale : int
            How much smaller the degraded image is.
        rng : numpy.random.Generator
            The same state gives the same result.

        Returns
        -------
        Tensor
            (3, h, w), in whole levels of 255.
        """
        size = high.shape[-2] // scale, high.shape[-1] // scale
        x = self._blur(sharpen(high[None])[0] if self.sharpen else high, self.first, rng)
        x = resize(x, scaled(high.shape[-2:], factor(self.first, rng)), rng)
        x = jpeg(add_noise(x, self.first, rng), quality(self.first, rng))
        x = self._blur(x, self.second, rng)
        x = resize(x, scaled(size, factor(self.second, rng)), rng)
        x = add_noise(x, self.second, rng)
        if rng.random() < 0.5:
            x = jpeg(self._finish(x, size, rng), quality(self.second, rng))
        else:
            x = self._finish(jpeg(x, quality(self.second, rng)), size, rng)
        return rounded(x)

    def _blur(self, x: Tensor, stage: Round, rng: np.random.Generator) -> Tensor:
        if rng.random() >= stage.blur_prob:
            return x
        size = self._kernel_size(rng)
        if rng.random() < stage.sinc_prob:
            return convolve(x, sinc_kernel(size, rng.uniform(pi / 3 if size < 13 else pi / 5, pi)))
        form, aniso = KERNELS[rng.choice(len(KERNELS), p=self.kernel_probs)]
        first = rng.uniform(*stage.sigma)
        second, angle = (rng.uniform(*stage.sigma), rng.uniform(-pi, pi)) if aniso else (first, 0.0)
        beta = 1.0
        if form != "gaussian":
            low, high = self.generalized_beta if form == "generalized" else self.plateau_beta
            beta = rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)
        return convolve(x, blur_kernel(size, (first, second), angle, beta, plateau=form == "plateau"))

    def _finish(self, x: Tensor, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
        x = resize(x, size, rng)
        if rng.random() < self.final_sinc_prob:
            x = convolve(x, sinc_kernel(self._kernel_size(rng), rng.uniform(pi / 3, pi)))
        return x

    def _kernel_size(self, rng: np.random.Generator) -> int:
        low, high = self.kernel_sizes
        return low + 2 * int(rng.integers(0, (high - low) // 2 + 1))


class Real(PairMaker):
    """Pairs by `RealDegradation`.

    Parameters
    ----------
    first, second : mapping, optional
        What differs from the paper's `Round` and `SECOND`, by the names of their attributes.
    sharpen : bool
        See `RealDegradation`.
    """

    def __init__(
        self,
        scale: int,
        patch: int,
        first: Mapping[str, Any] | None = None,
        second: Mapping[str, Any] | None = None,
        sharpen: bool = True,
    ) -> None:
        super().__init__(scale, patch)
        self.margin = BORDER * scale
        rounds = replace(Round(), **(first or {})), replace(SECOND, **(second or {}))
        self.degradation = RealDegradation(*rounds, sharpen=sharpen)

    def make(self, hr: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """See `PairMaker`; gray becomes colour, because JPEG and noise do that to it."""
        high = to_tensor(hr).expand(3, -1, -1)
        return crop(self.degradation.degrade(high, self.scale, rng), BORDER), crop(high, self.margin)


def factor(stage: Round, rng: np.random.Generator) -> float:
    """Draw a factor to resize by."""
    kind = rng.choice(3, p=stage.resize_probs)
    low, high = stage.resize_range
    return float((rng.uniform(1, high), rng.uniform(low, 1), 1.0)[kind])


def scaled(size: tuple[int, ...], by: float) -> tuple[int, int]:
    """Return a size times a factor, rounded down, at least one pixel."""
    return max(int(size[0] * by), 1), max(int(size[1] * by), 1)


def resize(x: Tensor, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Resize by area, bilinear or bicubic interpolation, none of them antialiased beyond what area is."""
    mode = ("area", "bilinear", "bicubic")[rng.integers(3)]
    return F.interpolate(x[None], size=size, mode=mode)[0]


def add_noise(x: Tensor, stage: Round, rng: np.random.Generator) -> Tensor:
    """Add Gaussian or Poisson noise, of all channels alike or not; the result is clipped to 0..1."""
    gaussian, gray = rng.random() < stage.gaussian_prob, rng.random() < stage.gray_prob
    if gaussian:
        noise = gaussian_noise(x[:1] if gray else x, rng.uniform(*stage.gaussian_sigma) / 255, rng)
    else:
        noise = poisson_noise((x * LUMA).sum(0, keepdim=True) if gray else x, rng) * rng.uniform(*stage.poisson_scale)
    return (x + noise).clamp(0, 1)


def poisson_noise(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Return what photons add to x in 0..1, with as many at white as x has levels, rounded up to a power of two."""
    x = rounded(x)
    photons: int = 2 ** int(np.ceil(np.log2(len(torch.unique(x)))))
    counted = torch.from_numpy(rng.poisson(x.numpy() * photons).astype(np.float32))
    return counted / photons - x


def quality(stage: Round, rng: np.random.Generator) -> int:
    """Draw a JPEG quality."""
    return int(rng.integers(stage.jpeg_quality[0], stage.jpeg_quality[1] + 1))
