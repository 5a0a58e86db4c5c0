"""Micrographs that are drawn: `structures` in light or in stain, seen through a microscope, to train on.

They are what a good recording holds: blurred by the microscope and free of noise. A widefield microscope's focus is nearly
a Gaussian of standard deviation 0.225 wavelength / NA (Zhang et al., Appl. Opt. 46, 1819, 2007), which is 0.9 pixels where
pixels are as large as Nyquist allows, wavelength / (4 NA), and more where they are smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .structures import STRUCTURES, blurred, log_uniform, texture

#: Of an image, in pixels.
EDGE = 256
#: Standard deviation of the focus, in pixels.
FOCUS = (0.8, 2.5)
#: One in so many images is a flat field: nothing but an even light. A model must not find structure there.
FLAT = 8
#: Drawn around an image and cut off, so that nothing meets the opposite border.
MARGIN = 16
#: Optical densities of stains in red, green, blue (Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23, 2001).
STAINS = {"haematoxylin": (0.65, 0.70, 0.29), "eosin": (0.07, 0.99, 0.11), "DAB": (0.27, 0.57, 0.78)}
#: Share of the bright-field images that are in colour.
COLOUR = 0.4


@dataclass(frozen=True)
class Drawing:
    """A series of micrographs, each of which follows from the seed and its number alone.

    Attributes
    ----------
    kind : str
        A name in `KINDS`.
    images : int
        How many.
    edge : int
        Of each, in pixels.
    seed : int
    """

    kind: str
    images: int
    edge: int = EDGE
    seed: int = 0

    def __iter__(self) -> Iterator[tuple[str, list[np.ndarray]]]:
        """Draw one after the other: its name, and its only plane."""
        for number in range(self.images):
            yield f"synthetic structure {number}", [draw(self.kind, self.seed, number, self.edge)]


def draw(kind: str, seed: int, number: int, edge: int = EDGE) -> np.ndarray:
    """Draw a micrograph.

    Parameters
    ----------
    kind : str
        A name in `KINDS`.
    seed, number : int
        Of the series, and in it.
    edge : int
        In pixels.

    Returns
    -------
    numpy.ndarray
        (edge, edge, c), c = 1, or 3 for some of bright field; uint16.
    """
    rng = np.random.default_rng([seed, number])
    if number % FLAT == FLAT - 1:
        image = np.full((edge, edge, 1), rng.uniform(0, 1) ** 0.5)  # a gain makes it darker
    else:
        image = KINDS[kind](rng, edge + 2 * MARGIN)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return np.ascontiguousarray(np.rint(image.clip(0, 1) * 65535).astype(np.uint16))


def fluorescence(rng: np.random.Generator, edge: int) -> np.ndarray:
    """Return one or two structures in focus, haze of what lies above and below, and an even background; (edge, edge, 1)."""
    names = rng.permutation(list(STRUCTURES))[: 1 if rng.random() < 0.65 else 2]
    focus = rng.uniform(*FOCUS)
    light = np.zeros((edge, edge))
    for name in names:
        light += rng.uniform(0.3, 1) * _seen(rng, name, edge, focus)
    if rng.random() < 0.6:
        light = light + log_uniform(rng, 0.03, 0.8) * _seen(rng, names[0], edge, log_uniform(rng, 4, 25))
    if rng.random() < 0.3:  # an uneven lamp
        light = light * (1 + 0.2 * texture(rng, edge, edge / 4).clip(-3, 3))
    background = 0.6 * rng.random() ** 3
    peak = rng.uniform(0.4, 1.05)  # above 1: too bright for the file
    brightest = np.quantile(light, 0.9995)  # not by a single spot
    return (background + (1 - background) * peak * light / max(brightest, 1e-9))[..., None]


def brightfield(rng: np.random.Generator, edge: int) -> np.ndarray:
    """Return what stains, or cells as they are, leave of a white light; (edge, edge, 1), or 3 in colour."""
    return _stained(rng, edge) if rng.random() < COLOUR else _grey(rng, edge)


#: Kinds of micrographs.
KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "fluorescence": fluorescence,
    "brightfield": brightfield,
}


def _seen(rng: np.random.Generator, name: str, edge: int, sigma: float) -> np.ndarray:
    """Return a structure through a focus, its brightest at 1."""
    light = blurred(STRUCTURES[name](rng, edge), sigma).clip(0)
    light /= max(light.max(), 1e-9)
    return light


def _grey(rng: np.random.Generator, edge: int) -> np.ndarray:
    """Return what absorbs and what bends the light: a bright rim beside a dark one."""
    focus = rng.uniform(*FOCUS)
    density = np.zeros((edge, edge))
    for name in rng.permutation(list(STRUCTURES))[: rng.integers(1, 4)]:
        seen = _seen(rng, name, edge, focus)
        bent = seen - blurred(seen, log_uniform(rng, 1.5, 6))
        density += rng.uniform(0, 1) * (seen if rng.random() < 0.5 else bent * rng.choice([-1, 1]))
    lamp = 1 + 0.05 * texture(rng, edge, edge / 4)
    return (rng.uniform(0.4, 0.95) * lamp * np.exp(-rng.uniform(0.2, 2) * density))[..., None]


def _stained(rng: np.random.Generator, edge: int) -> np.ndarray:
    """Return a section of tissue in two stains, by Beer and Lambert."""
    focus = rng.uniform(*FOCUS)
    inside = 1 / (1 + np.exp(-4 * (texture(rng, edge, edge / 8) + rng.uniform(-0.5, 2))))
    fibres = blurred(np.exp(0.5 * texture(rng, edge, 1) + 0.5 * texture(rng, edge, rng.uniform(2, 6))), focus)
    fibres = fibres / fibres.max() + rng.uniform(0, 0.6) * _seen(rng, "membranes", edge, focus)
    nuclei = _seen(rng, "nuclei", edge, focus)
    second = STAINS["eosin" if rng.random() < 0.7 else "DAB"]
    density = rng.uniform(0.3, 1.2) * nuclei[..., None] * STAINS["haematoxylin"]
    density = density + rng.uniform(0.1, 0.9) * (inside * fibres)[..., None] * second
    lamp = rng.uniform(0.75, 0.98) * rng.uniform(0.93, 1, 3)
    return np.asarray(lamp * np.power(10, -density))
