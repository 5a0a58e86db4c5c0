"""Nothing invented: what a model makes of an even light of which a camera counts the photons, beside bicubic interpolation.

There is nothing to be found, so a result may have no more standard deviation, and no more power beyond what the small image
could hold, than that of bicubic interpolation; and its mean must be that of the light.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from ..arrays.bicubic import imresize
from ..arrays.degrade import photon_noise
from ..upscaler import Upscaler

#: Of the light, in shares of white.
LEVELS = (0.1, 0.5, 0.9)
#: Expected at white, in a pixel.
PHOTONS = (30, 100, 1000, 10_000)
#: Of the recorded image, in pixels.
EDGE = 192
#: Pixels of the recorded image that are left out along each border, but of the mean.
BORDER = 8
#: A bias from here on is one, in shares of white.
BIAS = 1e-3
WHITE = 65535


@dataclass(frozen=True)
class Field:
    """An even light, and the camera that records it.

    Attributes
    ----------
    level : float
        In shares of white.
    photons : float
        Expected at white, in a pixel.
    bits : int
        With 8, black and white are what the network sees as 0 and 1; with 16 the noise is stretched to that, as
        ``intensity="auto"`` does where an image holds nothing else.
    samples : int
        1, or 3 for colours of the same level, with noise of their own.
    """

    level: float
    photons: int
    bits: int = 8
    samples: int = 1

    def __str__(self) -> str:
        """Tell it to people."""
        return f"{self.level}, {self.photons:,} photons, {self.bits} bits" + (", colour" if self.samples > 1 else "")

    def recorded(self, edge: int = EDGE) -> tuple[np.ndarray, float]:
        """Record the field; always the same.

        Returns
        -------
        numpy.ndarray
            (edge, edge) or (edge, edge, 3), uint16, white being 65535. One of 8 bits has 256 of these values, so that the
            result isn't rounded to them: of what hardly varies, rounding alone would move the mean by up to 0.2 %.
        float
            By how much the mean would be larger if the file didn't end at white, in shares of white.
        """
        rng = np.random.default_rng([int(1000 * self.level), self.photons, self.bits, self.samples])
        light = photon_noise(torch.full((self.samples, edge, edge), self.level), self.photons, 0, rng).double().numpy()
        kept = light.clip(max=1)
        steps = 2**self.bits - 1
        image = np.rint(np.rint(kept * steps) * (WHITE / steps)).astype(np.uint16)
        return np.ascontiguousarray(image.transpose(1, 2, 0)).squeeze(), float((light - kept).mean())


@dataclass(frozen=True)
class Findings:
    """What was made of a field.

    Attributes
    ----------
    field : Field
    deviation : float
        The standard deviation, in shares of that of bicubic interpolation.
    power : float
        The power beyond the Nyquist frequency of the recorded image, along either axis, in shares of that of bicubic
        interpolation.
    bias : float
        The mean less that of the recorded image, in shares of white. Where light was cut off at white the mean may be
        anywhere from that of the file to that of the light: keeping what was recorded is right, and mending it too.
    """

    field: Field
    deviation: float
    power: float
    bias: float

    @property
    def invents(self) -> bool:
        """Whether there is more in it than bicubic interpolation makes of the noise."""
        return self.deviation > 1 or self.power > 1

    @property
    def holds(self) -> bool:
        """Whether nothing was invented, and the mean was kept."""
        return not self.invents and abs(self.bias) < BIAS


def fields(samples: int = 1, bits: tuple[int, ...] = (8, 16)) -> Iterator[Field]:
    """Return the fields of every level, number of photons and depth."""
    for depth, level, photons in product(bits, LEVELS, PHOTONS):
        yield Field(level, photons, depth, samples)


def measure(upscaler: Upscaler, field: Field, edge: int = EDGE) -> Findings:
    """Measure what a model makes of a field.

    Parameters
    ----------
    upscaler : Upscaler
    field : Field
    edge : int
        Of the recorded image, in pixels; more than 16.
    """
    image, cut = field.recorded(edge)
    found = upscaler(image, intensity="range" if field.bits == 8 else "auto")
    return compared(image, found, field, cut)


def compared(image: np.ndarray, found: np.ndarray, field: Field, cut: float = 0) -> Findings:
    """Measure what was made of a field, see `Field.recorded` for the image and for what was cut off."""
    scale = found.shape[0] // image.shape[0]
    bicubic = imresize(image, (found.shape[0], found.shape[1]))
    inner = slice(BORDER * scale, -BORDER * scale)
    ours, theirs = (a.reshape(*a.shape[:2], -1)[inner, inner].astype(np.float64) for a in (found, bicubic))
    excess = float(found.mean() - image.mean()) / WHITE
    return Findings(
        field,
        float(ours.std() / theirs.std()),
        fine_power(ours, scale) / fine_power(theirs, scale),
        excess - min(max(excess, 0), cut),
    )


def fine_power(image: np.ndarray, scale: int) -> float:
    """Return the mean power of (N, N, C) beyond the Nyquist frequency of an image smaller by the scale."""
    window = np.hanning(image.shape[0] + 2)[1:-1, None]
    weighted = (image - image.mean((0, 1))) * (window * window.T)[..., None]
    frequency = np.abs(np.fft.fftfreq(image.shape[0]))
    fine = np.maximum(frequency, frequency[:, None]) > 0.5 / scale
    return float((np.abs(np.fft.fft2(weighted, axes=(0, 1))) ** 2)[fine].mean())
