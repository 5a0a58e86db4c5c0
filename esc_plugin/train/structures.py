"""What a microscope looks at, drawn by the rules of the field: filaments, vesicles, membranes, nuclei, mitochondria.

Each function takes a generator and the edge of the image in pixels, and returns light (edge, edge), float64, not negative,
of no particular brightness. Lengths are pixels; a usual one is 0.1 micrometers. They are sharper than a microscope's focus,
which `micrographs` adds.
"""

from __future__ import annotations

from math import log

import numpy as np

#: Pixels between two points of a line.
STEP = 0.7
#: Points across a tube.
ACROSS = np.linspace(-0.95, 0.95, 9)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(log(low), log(high))))


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur (H, W) by a Gaussian of a standard deviation in pixels; the image goes on at the opposite border."""
    rows, columns = np.fft.fftfreq(image.shape[0]), np.fft.rfftfreq(image.shape[1])
    passed = np.exp(-2 * (np.pi * sigma) ** 2 * (rows[:, None] ** 2 + columns**2))
    return np.fft.irfft2(np.fft.rfft2(image) * passed, image.shape)


def texture(rng: np.random.Generator, edge: int, size: float) -> np.ndarray:
    """Return smooth noise (edge, edge) of mean 0 and variance 1; `size` is the standard deviation of its blur."""
    noise = blurred(rng.standard_normal((edge, edge)), size)
    noise -= noise.mean()
    noise /= noise.std()
    return noise


def splat(points: np.ndarray, light: np.ndarray, edge: int) -> np.ndarray:
    """Put light (N) at points (N, 2), rows and columns: each is shared bilinearly by the four pixels around it."""
    corner = np.floor(points)
    part, image = points - corner, np.zeros(edge * edge)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        y, x = (corner + np.array([row, column])).astype(np.int64).T
        weight = np.abs(1 - row - part[:, 0]) * np.abs(1 - column - part[:, 1]) * light
        inside = (y >= 0) & (y < edge) & (x >= 0) & (x < edge)
        image += np.bincount(y[inside] * edge + x[inside], weight[inside], edge * edge)
    return image.reshape(edge, edge)


def places(rng: np.random.Generator, edge: int, count: int) -> np.ndarray:
    """Return points (count, 2): anywhere, or around a few cells."""
    if rng.random() < 0.4:
        return rng.uniform(0, edge, (count, 2))
    cells = rng.uniform(0, edge, (rng.integers(1, 7), 2))
    return cells[rng.integers(0, len(cells), count)] + rng.normal(0, edge * rng.uniform(0.05, 0.2), (count, 2))


def worms(rng: np.random.Generator, starts: np.ndarray, length: float, persistence: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw worm-like chains in the plane (Kratky and Porod, 1949).

    Along a chain the mean cosine between directions falls as exp(-length / (2 persistence)), so that each step turns by a
    normal angle of variance step / persistence.

    Parameters
    ----------
    starts : numpy.ndarray
        (N, 2).
    length, persistence : float
        In pixels.

    Returns
    -------
    points, headings : numpy.ndarray
        (N, steps, 2) and (N, steps); a heading is an angle, of rows towards its sine.
    """
    shape = len(starts), max(int(length / STEP), 2)
    heading = rng.uniform(0, 2 * np.pi, (shape[0], 1)) + rng.normal(0, (STEP / persistence) ** 0.5, shape).cumsum(1)
    steps = STEP * np.stack([np.sin(heading), np.cos(heading)], -1)
    return starts[:, None] + steps.cumsum(1), heading


def filaments(rng: np.random.Generator, edge: int) -> np.ndarray:
    """Draw microtubules and actin, thinner than the focus is wide.

    Persistence lengths are 17 micrometers for actin and millimeters for microtubules (Gittes et al., J. Cell Biol. 120,
    1993), which in cells forces bend to some 30 micrometers (Brangwynne et al., PNAS 104, 2007).
    """
    count = int(log_uniform(rng, 4, 90))
    starts = rng.uniform(-0.2 * edge, 1.2 * edge, (count, 2))
    if rng.random() < 0.3:  # from an organising centre
        starts = rng.uniform(0, edge, 2) + rng.normal(0, 3, (count, 2))
    length = log_uniform(rng, 0.3, 2) * edge
    points, _ = worms(rng, starts, length, log_uniform(rng, 50, 800))
    ends = rng.uniform(0.2, 1, (count, 1)) * points.shape[1]
    labels = log_uniform(rng, 1, 30)  # dyes that a point has on average
    light = rng.gamma(labels, 1 / labels, points.shape[:2]) * rng.lognormal(0, 0.4, (count, 1))
    light *= np.arange(points.shape[1]) < ends
    return splat(points.reshape(-1, 2), light.ravel(), edge)


def vesicles(rng: np.random.Generator, edge: int) -> np.ndarray:
    """Draw spots and small rings; how bright they are is log-normal."""
    count = int(log_uniform(rng, 20, 900))
    centres, light = places(rng, edge, count), rng.lognormal(0, rng.uniform(0.2, 1), count)
    largest = 0.0 if rng.random() < 0.5 else rng.uniform(1.5, 8)
    radii = rng.uniform(0.4, 1, (count, 1)) * largest
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    rings = np.stack([np.sin(angles), np.cos(angles)], -1) * radii[..., None]  # (N, 48, 2)
    points = centres[:, None] + (rings if largest else rings[:, :1])
    each = np.repeat(light / points.shape[1] * (1 + radii[:, 0]), points.shape[1])
    return splat(points.reshape(-1, 2), each, edge)


def mitochondria(rng: np.random.Generator, edge: int) -> np.ndarray:
    """Draw short bent tubes, filled or with light in their membrane alone, as deep as a cylinder is."""
    count = int(log_uniform(rng, 15, 250))
    points, heading = worms(rng, places(rng, edge, count), log_uniform(rng, 8, 70), log_uniform(rng, 8, 80))
    normal = np.stack([np.cos(heading), -np.sin(heading)], -1)
    radius = rng.uniform(1.2, 3.5) * rng.uniform(0.8, 1.2, (count, 1, 1, 1))
    depth = np.sqrt(1 - ACROSS**2) if rng.random() < 0.7 else 1 / np.sqrt(1 - ACROSS**2)
    points = points[:, :, None] + radius * normal[:, :, None] * ACROSS[:, None]  # (N, steps, across, 2)
    ends = rng.uniform(0.3, 1, (count, 1, 1)) * points.shape[1]
    light = depth * rng.lognormal(0, 0.4, (count, 1, 1)) * (np.arange(points.shape[1])[:, None] < ends)
    return splat(points.reshape(-1, 2), light.ravel(), edge)


def membranes(rng: np.random.Generator, edge: int) -> np.ndarray:
    """Draw sheets that stand upright: outlines of cells as a Voronoi diagram has them, bent, or folds."""
    light: np.ndarray
    width = rng.uniform(0.4, 1.2)
    if rng.random() < 0.3:
        folds = sum(texture(rng, edge, size) * size for size in (rng.uniform(5, 12), rng.uniform(14, 30)))
        slopes = np.hypot(*np.gradient(folds))
        light = np.exp(-((folds / (slopes + 1e-3)) ** 2) / (2 * width**2)) * (slopes > 0.02)
    else:
        light = np.exp(-(_to_outline(rng, edge) ** 2) / (2 * width**2))
    light *= np.exp(rng.uniform(0.1, 0.5) * texture(rng, edge, rng.uniform(3, 15)))
    return light


def _to_outline(rng: np.random.Generator, edge: int) -> np.ndarray:
    """Return the distance of each pixel to where the cell of another seed begins."""
    bend = rng.uniform(0, 5)
    y, x = (np.arange(edge)[:, None] + np.zeros(edge) for _ in range(2))
    y, x = y + bend * texture(rng, edge, 12), x.T + bend * texture(rng, edge, 12)
    seeds = rng.uniform(-0.1 * edge, 1.1 * edge, (int(log_uniform(rng, 5, 70)), 2))
    first, second = np.full((2, edge, edge), np.inf)
    nearest, next_one = np.zeros((2, edge, edge), np.int64)
    for number, (row, column) in enumerate(seeds):
        distance = (y - row) ** 2 + (x - column) ** 2
        nearer, between = distance < first, distance < second
        second = np.where(nearer, first, np.where(between, distance, second))
        next_one = np.where(nearer, nearest, np.where(between, number, next_one))
        first, nearest = np.where(nearer, distance, first), np.where(nearer, number, nearest)
    apart = np.hypot(*(seeds[nearest] - seeds[next_one]).transpose(2, 0, 1))
    return np.asarray((second - first) / (2 * apart + 1e-9))


def nuclei(rng: np.random.Generator, edge: int) -> np.ndarray:
    """Draw ellipsoids with smooth outlines, the texture of chromatin and dark nucleoli."""
    size = log_uniform(rng, 8, 60)
    light = np.zeros((edge, edge))
    chromatin = np.exp(
        rng.uniform(0.1, 0.35) * texture(rng, edge, rng.uniform(1, 3))
        + rng.uniform(0.05, 0.3) * texture(rng, edge, rng.uniform(3, 8))
    )
    for centre in places(rng, edge, int(rng.uniform(0.15, 0.8) * (edge / (2 * size)) ** 2) + 1):
        _add_nucleus(rng, light, centre, size * rng.uniform(0.75, 1.25))
    light *= chromatin
    return light


def _add_nucleus(rng: np.random.Generator, light: np.ndarray, centre: np.ndarray, radius: float) -> None:
    reach, edge = 1.8 * radius, light.shape[0]
    (top, left), (bottom, right) = (np.clip(np.rint(centre + sign * reach), 0, edge).astype(int) for sign in (-1, 1))
    if top >= bottom or left >= right:
        return
    y, x = np.ogrid[top:bottom, left:right]
    angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.65, 1)
    dy, dx = y - centre[0], x - centre[1]
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, (np.cos(angle) * dy - np.sin(angle) * dx) / ratio
    around = np.arctan2(v, u)
    waves = sum(rng.normal(0, 0.05 / k) * np.cos(k * around + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5))
    depth = np.clip(1 - np.hypot(u, v) ** 2 / (radius * (1 + waves)) ** 2, 0, None)
    body = depth ** rng.uniform(0.1, 0.5)  # 0.5: all of an ellipsoid; less: a thick slice
    for _ in range(rng.integers(0, 4)):
        row, column = rng.uniform(-0.5, 0.5, 2) * radius
        spot = radius * rng.uniform(0.08, 0.2)
        body *= 1 - rng.uniform(0.2, 0.7) * np.exp(-((((dy - row) ** 2 + (dx - column) ** 2) / spot**2) ** 2))
    part = light[top:bottom, left:right]
    np.maximum(part, body * rng.lognormal(0, 0.3), out=part)


#: All of them, by name.
STRUCTURES = {
    "filaments": filaments,
    "vesicles": vesicles,
    "membranes": membranes,
    "nuclei": nuclei,
    "mitochondria": mitochondria,
}
