"""Which images show the same place: neighbouring planes, moments of one sample, overlapping fields of view, copies.

Two images are alike if their fine detail correlates where they overlap. Detail it is because unrelated images of a kind
share outlines: the light of a microscope falls off to the border, a cell lies in the middle. Measured: 36 fields of nuclei
reach 0.48 at most, photos 0.23; adjacent planes of a stack of nuclei 0.72 and more, views that overlap by a quarter 0.96.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from math import isqrt

import numpy as np
import torch

from ..arrays.filters import gaussian_blur
from .images import Images

#: The correlation from which on two images are alike.
ALIKE = 0.65
#: The larger one of two images is reduced until it has at most so many pixels along its longer side, the other likewise.
EDGE = 128
#: Detail is what lies between these standard deviations of a Gaussian, which ends at `REACH`, in pixels of a reduced image.
FINE, COARSE, REACH = 0.7, 3.0, 6
#: Places of one image over the other that are looked at; what has to overlap, of the smaller one, and in reduced pixels: of
#: a few everything correlates somewhere.
PLACES, OVERLAP, LEAST_OVERLAP = 4, 0.2, 40**2
#: Pairs that are compared, about a thousand in a second, and images that are kept reduced meanwhile.
MOST_PAIRS, KEPT = 2**13, 2**8


def following(count: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of images to compare: all of a few; each of many with some that follow, as their names order them."""
    some = max(MOST_PAIRS // count, 1)
    return ((i, j) for i in range(count) for j in range(i + 1, min(i + 1 + some, count)))


def crossing(seen: int, unseen: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of images that are seen and others that follow them, of many at even distances."""
    most = isqrt(MOST_PAIRS) // 2
    some = [np.linspace(0, count - 1, min(count, most)).round().astype(int) for count in (seen, unseen)]
    return ((int(i), seen + int(j)) for i in some[0] for j in some[1])


def neighbours(seen: Images, unseen: Images) -> tuple[str, str] | None:
    """Return the names of an image that is trained on and of one held out that are alike; None if there are none."""
    pairs = alike([*planes(seen), *planes(unseen)], crossing(len(seen), len(unseen)))
    names = [entry.name for images in (seen, unseen) for entry in images.entries]
    return next(((names[i], names[j]) for i, j in pairs), None)


def planes(images: Images) -> list[np.ndarray]:
    """Return all planes, as views of their file."""
    return [images[number] for number in range(len(images))]


def alike(images: Sequence[np.ndarray], pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return those pairs whose images are alike, the most alike first.

    Parameters
    ----------
    images : sequence of numpy.ndarray
        (H, W, c), of the same size of a pixel.
    pairs : iterable of pair of int
        Numbers of images.
    """

    @lru_cache(KEPT)
    def reduced(number: int, factor: int) -> tuple[np.ndarray, np.ndarray]:
        detail = _detail(images[number], factor)
        return detail, _spectrum(detail)

    found = []
    for one, other in pairs:
        factor = max(-(-max(images[one].shape[:2] + images[other].shape[:2]) // EDGE), 1)
        likeness = _likeness(reduced(one, factor), reduced(other, factor))
        found += [(likeness, (one, other))] if likeness >= ALIKE else []
    return [pair for _, pair in sorted(found, key=lambda entry: -entry[0])]


def _detail(image: np.ndarray, factor: int) -> np.ndarray:
    """Reduce (H, W, c) to (H / factor, W / factor), and leave its detail, without borders: they depend on a mirror."""
    rows, columns = (length // factor for length in image.shape[:2])
    if min(rows, columns) <= 2 * REACH:
        return np.zeros((1, 1), np.float32)
    blocks = (image[row * factor :][:factor, : columns * factor].reshape(factor, columns, -1) for row in range(rows))
    # The root makes the noise of photons even.
    small = torch.from_numpy(np.sqrt([block.mean((0, 2), dtype=np.float32) for block in blocks]))[None]
    detail = gaussian_blur(small, FINE, REACH) - gaussian_blur(small, COARSE, REACH)
    found: np.ndarray = detail[0, REACH:-REACH, REACH:-REACH].numpy()
    return found


def _spectrum(detail: np.ndarray) -> np.ndarray:
    """Return the spectrum of a detail whose borders fade, with the strength of each frequency evened out."""
    window = np.sqrt(np.outer(*(np.hanning(length + 2)[1:-1] for length in detail.shape)))
    spectrum = np.fft.rfft2(detail * window, (2 * EDGE, 2 * EDGE)).astype(np.complex64)
    strength = np.abs(spectrum)
    even: np.ndarray = spectrum / np.maximum(strength, 0.1 * np.sqrt(strength.max() * strength.mean()) + 1e-12)
    return even


def _likeness(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """Return the highest correlation of two details: as they lie, and where their spectra say that they may fit."""
    fit = np.fft.irfft2(one[1] * other[1].conj())
    places = [0, *np.argpartition(fit.ravel(), -PLACES)[-PLACES:]]
    return max(_correlation(one[0], other[0], *(int(v) for v in np.unravel_index(place, fit.shape))) for place in places)


def _correlation(one: np.ndarray, other: np.ndarray, down: int, right: int) -> float:
    """Return the correlation where they overlap, the other moved by a place of `_likeness`; 0 if they hardly do."""
    rows, other_rows = _overlap(one.shape[0], other.shape[0], down)
    columns, other_columns = _overlap(one.shape[1], other.shape[1], right)
    a, b = one[rows, columns], other[other_rows, other_columns]
    if a.size < max(OVERLAP * min(one.size, other.size), LEAST_OVERLAP):
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    strength = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / strength if strength else 0.0


def _overlap(length: int, other: int, shift: int) -> tuple[slice, slice]:
    """Return what two intervals share, in coordinates of each, the other moved by a circular shift."""
    shift -= 2 * EDGE if shift >= EDGE else 0
    start, stop = max(shift, 0), max(min(length, other + shift), max(shift, 0))
    return slice(start, stop), slice(start - shift, stop - shift)
