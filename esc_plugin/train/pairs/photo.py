"""What phones, cameras and the web do to a photo, in measure: the extremes of `real` cost a small network its detail.

In this order, each with a probability: a slight blur, the reduction (MATLAB's bicubic, or the area average), noise (white,
or that of a sensor: more of it where it is brighter, and smoothed by the interpolation of its colour mosaic), and JPEG.
Images in here are float32 tensors (3, H, W) in 0..1; every random choice comes from the generator that is given.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ...arrays.bicubic import imresize
from ...arrays.degrade import gaussian_noise, jpeg, reduce_area, rounded
from ...arrays.filters import gaussian_blur
from .maker import PairMaker, Range, crop, to_tensor

#: Low-resolution pixels that are degraded around a patch: a block of JPEG's, so that its neighbours' colours are there too.
BORDER = 8
#: Pillow's ways to store colour, and how likely each is: most cameras and programs halve both of its axes.
SUBSAMPLINGS = {"4:2:0": 0.6, "4:2:2": 0.1, "4:4:4": 0.3}


class Photo(PairMaker):
    """Pairs of photos as cameras and the web give them.

    Parameters
    ----------
    clean : float
        Share of the patches that are reduced and rounded, and nothing else.
    blur_prob, area_prob, noise_prob, sensor_prob, gray_prob, jpeg_prob : float
        Of the others: probability of a blur, of a reduction by area, and of noise; of this noise to be a sensor's, and the
        same in all channels; and of JPEG.
    sigma : tuple of float
        Range of the blur's standard deviation, in pixels of the original.
    noise : tuple of float
        Range of the noise's standard deviation (a sensor's: at white), in levels of 255.
    quality : tuple of int
        Range of Pillow's quality.
    """

    def __init__(
        self,
        scale: int,
        patch: int,
        clean: float = 0.2,
        blur_prob: float = 0.3,
        area_prob: float = 0.3,
        noise_prob: float = 0.6,
        sensor_prob: float = 0.3,
        gray_prob: float = 0.2,
        jpeg_prob: float = 0.65,
        sigma: Range = (0.2, 0.8),
        noise: Range = (0.0, 20.0),
        quality: tuple[int, int] = (30, 95),
    ) -> None:
        super().__init__(scale, patch)
        self.margin = BORDER * scale
        self.clean, self.blur_prob, self.area_prob, self.noise_prob = clean, blur_prob, area_prob, noise_prob
        self.sensor_prob, self.gray_prob, self.jpeg_prob = sensor_prob, gray_prob, jpeg_prob
        self.sigma, self.noise, self.quality = sigma, noise, quality

    def make(self, hr: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """See `PairMaker`; gray becomes colour, because noise and JPEG do that to it."""
        high = to_tensor(hr).expand(3, -1, -1)
        return crop(self.degrade(high, rng), BORDER), crop(high, self.margin)

    def degrade(self, high: Tensor, rng: np.random.Generator) -> Tensor:
        """Return (3, h, w), in whole levels of 255, of (3, scale h, scale w)."""
        if rng.random() < self.clean:
            return rounded(self._bicubic(high))
        if rng.random() < self.blur_prob:
            high = gaussian_blur(high, rng.uniform(*self.sigma) * self.scale / 2, 2 * self.scale)
        low = reduce_area(high, self.scale) if rng.random() < self.area_prob else self._bicubic(high)
        if rng.random() < self.noise_prob:
            low = self._noisy(low, rng)
        if rng.random() < self.jpeg_prob:
            low = self._compressed(low, rng)
        return rounded(low)

    def _bicubic(self, high: Tensor) -> Tensor:
        size = high.shape[-2] // self.scale, high.shape[-1] // self.scale
        levels = (high * 65535).round().permute(1, 2, 0).numpy().astype(np.uint16)
        return to_tensor(imresize(levels, size))

    def _noisy(self, low: Tensor, rng: np.random.Generator) -> Tensor:
        sensor, gray = rng.random() < self.sensor_prob, rng.random() < self.gray_prob
        noise = gaussian_noise(low[:1] if gray else low, rng.uniform(*self.noise) / 255, rng)
        if sensor:
            taps = np.exp(-(np.arange(-2, 3) ** 2) / (2 * (sigma := rng.uniform(0.3, 0.7)) ** 2))
            lost = ((taps / taps.sum()) ** 2).sum()  # of white noise's standard deviation, by this blur along both axes
            noise = gaussian_blur(noise, sigma, 2) / lost * (0.1 + 0.9 * low.clamp(0, 1)).sqrt()
        return low + noise

    def _compressed(self, low: Tensor, rng: np.random.Generator) -> Tensor:
        sampling = str(rng.choice(list(SUBSAMPLINGS), p=list(SUBSAMPLINGS.values())))
        # Files begin with a whole block; what was cut out of one begins anywhere.
        top, left = rng.integers(0, BORDER, 2) if rng.random() < 0.5 else (0, 0)
        low = low.clone()
        low[:, top:, left:] = jpeg(low[:, top:, left:], int(rng.integers(self.quality[0], self.quality[1] + 1)), sampling)
        return low
