"""What a microscope with fewer pixels and fewer photons would have seen.

The forward model, in this order: the intensities of the sample (a random gain and background, so that the network doesn't
rely on how an image was normalised), blur by a Gaussian point spread function, binning of `scale` x `scale` pixels, photon
(Poisson) and read (Gaussian) noise, and the rounding of the file. Images are float32 in 0..1 of the file's levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, log

import numpy as np
from torch import Tensor

from ...arrays.degrade import photon_noise, reduce_area
from ...arrays.filters import gaussian_blur
from .maker import PairMaker, Range, crop, to_tensor

#: Low-resolution pixels that are recorded around a patch, so that blur finds what lies there.
BORDER = 2


@dataclass(frozen=True)
class Exposure:
    """What the microscope is set to for one image.

    Attributes
    ----------
    sigma : float
        Standard deviation of the point spread function, in pixels of the large image.
    photons : float
        Expected in a binned pixel at intensity 1.
    read_noise : float
        Standard deviation, in photons.
    gain, background : float
        The sample's intensities are multiplied by one and shifted by the other.
    """

    sigma: float
    photons: float
    read_noise: float
    gain: float = 1.0
    background: float = 0.0

    def sample(self, high: Tensor) -> Tensor:
        """Return the image that is to be found: intensities without blur and noise, the same shape."""
        return high * self.gain + self.background

    def record(self, high: Tensor, scale: int, rng: np.random.Generator) -> Tensor:
        """Record the image of a sample, without rounding or clipping.

        The variance of its noise is intensity / photons + (read_noise / photons)^2.

        Parameters
        ----------
        high : Tensor
            (C, scale h, scale w).

        Returns
        -------
        Tensor
            (C, h, w).
        """
        blurred = gaussian_blur(self.sample(high), self.sigma, ceil(4 * self.sigma))
        return photon_noise(reduce_area(blurred, scale), self.photons, self.read_noise, rng)


@dataclass(frozen=True)
class Microscope:
    """The ranges that exposures are drawn from.

    Attributes
    ----------
    sigma, read_noise, gain, background : tuple of float
        See `Exposure`; drawn uniformly. Of a gain below 1, some of the room above goes to the background.
    photons : tuple of float
        Drawn uniformly on a logarithmic scale.

    Raises
    ------
    ValueError
        If a range is none, or not above 0 where it must be.
    """

    sigma: Range = (0.5, 1.5)
    photons: Range = (100.0, 10_000.0)
    read_noise: Range = (0.0, 3.0)
    gain: Range = (0.6, 1.0)
    background: Range = (0.0, 0.1)

    def __post_init__(self) -> None:
        """Refuse ranges that can't be drawn from."""
        for name in ("sigma", "photons", "read_noise", "gain", "background"):
            low, high = getattr(self, name)
            if not 0 <= low <= high or (name in ("photons", "gain") and low <= 0):
                raise ValueError(
                    f"{name}={[low, high]!r} must be a range from low to high, at least 0; photons and gain above."
                )

    def draw(self, rng: np.random.Generator) -> Exposure:
        """Draw an exposure."""
        gain = rng.uniform(*self.gain)
        return Exposure(
            sigma=rng.uniform(*self.sigma),
            photons=exp(rng.uniform(log(self.photons[0]), log(self.photons[1]))),
            read_noise=rng.uniform(*self.read_noise),
            gain=gain,
            background=min(rng.uniform(*self.background), 1 - gain),
        )

    def pair(self, high: Tensor, scale: int, rng: np.random.Generator, levels: int = 255) -> tuple[Tensor, Tensor]:
        """Make a training pair.

        Parameters
        ----------
        high : Tensor
            (C, scale h, scale w) in 0..1; C is 1, or 3 for stained tissue and bright field in colour. It is not changed.
        scale : int
            Pixels that are binned along each axis.
        levels : int
            The file's largest value.

        Returns
        -------
        tuple of Tensor
            The recorded image (C, h, w) and the sample (C, scale h, scale w).
        """
        exposure = self.draw(rng)
        low = (exposure.record(high, scale, rng).clamp(0, 1) * levels).round() / levels
        return low, exposure.sample(high)


class Microscopy(PairMaker):
    """Pairs by `Microscope`, whose attributes are options.

    Parameters
    ----------
    shallow : float
        Share of the deep images that are recorded with 8 bits.
    """

    def __init__(
        self,
        scale: int,
        patch: int,
        sigma: Range = Microscope.sigma,
        photons: Range = Microscope.photons,
        read_noise: Range = Microscope.read_noise,
        gain: Range = Microscope.gain,
        background: Range = Microscope.background,
        shallow: float = 0.0,
    ) -> None:
        super().__init__(scale, patch)
        if not 0 <= shallow <= 1:
            raise ValueError(f"shallow={shallow!r} must be from 0 to 1.")
        self.shallow = shallow
        self.margin = BORDER * scale
        self.microscope = Microscope(sigma, photons, read_noise, gain, background)

    def make(self, hr: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """See `PairMaker`; gray that comes as three equal channels stays gray."""
        if hr.shape[2] == 3 and (hr == hr[..., :1]).all():
            hr = hr[..., :1]
        # Nothing is drawn without need: that would change the pairs of a training that goes on.
        levels = 255 if self.shallow and rng.random() < self.shallow else np.iinfo(hr.dtype).max
        low, target = self.microscope.pair(to_tensor(hr), self.scale, rng, levels)
        return crop(low, BORDER), crop(target, self.margin)
