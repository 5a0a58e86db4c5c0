"""Images made by rule: two channels of cells as a fluorescence microscope would see them, 16 bit, calibrated.

It needs scipy, which comes with the extra ``napari``.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

#: Size of a voxel in micrometers, z y x; a usual one for a 40x objective.
VOXEL = (0.5, 0.16, 0.16)
#: Blur of the microscope, standard deviation in voxels.
BLUR = (1.0, 1.3, 1.3)
#: Of the camera: offset and read noise in counts, counts per photon.
OFFSET, READ_NOISE, GAIN = 100, 3.0, 4.0
#: By channel, from its brightest voxels.
PHOTONS = {"nuclei": 160, "filaments": 220}


def fluorescence(planes: int = 12, edge: int = 320, seed: int = 7) -> dict[str, np.ndarray]:
    """Return nuclei, and the filaments of the cells around them, as a microscope's camera would count them.

    Parameters
    ----------
    planes, edge : int
        Planes, and rows and columns of each.
    seed : int
        Of all that is random: the same seed gives the same voxels.

    Returns
    -------
    dict of str to numpy.ndarray
        The channels ``"nuclei"`` and ``"filaments"``, (Z, Y, X) uint16. Voxels are `VOXEL` large.
    """
    rng = np.random.default_rng(seed)
    return {name: _camera(rng, channel, PHOTONS[name]) for name, channel in _light(rng, planes, edge).items()}


def light(planes: int = 12, edge: int = 320, seed: int = 7) -> dict[str, np.ndarray]:
    """Return the same as `fluorescence` without a camera's noise, float64 from 0; the brightest are about 1."""
    return _light(np.random.default_rng(seed), planes, edge)


def _light(rng: np.random.Generator, planes: int, edge: int) -> dict[str, np.ndarray]:
    centres, shape = _spread(rng, edge), (planes, edge, edge)
    return {"nuclei": _nuclei(rng, centres, shape), "filaments": _filaments(rng, centres, shape)}


def usual_limits(channel: str) -> tuple[float, float]:
    """Return the counts between which a channel is best shown."""
    return OFFSET, OFFSET + GAIN * PHOTONS[channel] * 0.8


def _spread(rng: np.random.Generator, edge: int) -> np.ndarray:
    """Return centres of cells (N, 2) that keep their distance."""
    centres: list[np.ndarray] = []
    for point in rng.uniform(20, edge - 20, (400, 2)):
        if all(np.hypot(*(point - other)) > 62 for other in centres):
            centres.append(point)
    return np.array(centres)


def _nuclei(rng: np.random.Generator, centres: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return ellipsoids with the texture of chromatin and dark nucleoli, 0..1."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    texture = ndimage.gaussian_filter(rng.standard_normal(shape), (0.8, 2.2, 2.2))
    texture = np.clip(0.62 + 0.2 * texture / texture.std(), 0.1, 1.2)
    light = np.zeros(shape)
    for cy, cx in centres:
        angle, radii = rng.uniform(0, np.pi), rng.uniform(15, 22, 2)
        depth, cz = rng.uniform(3.0, 4.5), shape[0] / 2 + rng.uniform(-1.5, 1.5)
        u = (np.cos(angle) * (y - cy) + np.sin(angle) * (x - cx)) / radii[0]
        v = (np.cos(angle) * (x - cx) - np.sin(angle) * (y - cy)) / radii[1]
        inside = u**2 + v**2 + ((z - cz) / depth) ** 2 < 1
        for _ in range(rng.integers(2, 4)):
            ny, nx = np.array([cy, cx]) + rng.uniform(-8, 8, 2)
            nucleolus = (y - ny) ** 2 + (x - nx) ** 2 + (4 * (z - cz)) ** 2 < rng.uniform(2.2, 3.6) ** 2
            texture = np.where(nucleolus, 0.25, texture)
        light = np.where(inside, texture * rng.uniform(0.7, 1.0), light)
    return np.asarray(ndimage.gaussian_filter(light, BLUR))


def _filaments(rng: np.random.Generator, centres: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return a network of bent fibres that start around each nucleus, 0..1."""
    light = np.zeros(shape)
    for cy, cx in centres:
        fibres = 46
        start = rng.uniform(0, 2 * np.pi, fibres)
        position = np.stack([np.full(fibres, shape[0] / 2), cy + 15 * np.sin(start), cx + 15 * np.cos(start)])
        heading, bend = start + rng.normal(0, 0.7, fibres), rng.normal(0, 0.02, fibres)
        rise = rng.normal(0, 0.05, fibres)
        for _ in range(150):
            voxel = np.rint(position).astype(int)
            kept = np.all((voxel >= 0) & (voxel < np.reshape(shape, (3, 1))), axis=0)
            np.add.at(light, tuple(voxel[:, kept]), 1.0)
            heading += bend + rng.normal(0, 0.06, fibres)
            position += np.stack([rise, 0.6 * np.sin(heading), 0.6 * np.cos(heading)])
    light = ndimage.gaussian_filter(light, BLUR)
    return np.asarray(np.clip(light / np.quantile(light, 0.997), 0, 1.6))


def _camera(rng: np.random.Generator, light: np.ndarray, photons: float) -> np.ndarray:
    """Turn light into counts: shot noise, read noise, offset, 16 bit."""
    counts = OFFSET + GAIN * rng.poisson(photons * light + 1.5) + rng.normal(0, READ_NOISE, light.shape)
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
