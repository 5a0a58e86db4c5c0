"""Which images show the same place: neighbouring planes, moments of one sample, overlapping fields of view, copies.

Two images are alike if their fine detail correlates where they overlap. Detail it is because unrelated images of a kind share
outlines: the light of a microscope falls off to the border, a cell lies in the middle. Measured: 36 fields of nuclei reach
0.47 at most, adjacent planes of a stack 0.66 and more, views of which a quarter overlaps 0.96.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from ..arrays.filters import gaussian_blur
from .images import Images

#: The correlation from which on two images are alike.
ALIKE = 0.6
#: Images are reduced until the largest has at most so many pixels along its longer side; smaller ones than `LEAST` say nothing.
EDGE, LEAST = 128, 12
#: Detail is what lies between these standard deviations of a Gaussian, in pixels of a reduced image.
FINE, COARSE = 0.7, 3.0
#: Places of one image over the other that are looked at, and the share of the smaller one that has to lie within the other.
PLACES, OVERLAP = 4, 0.2
#: Each image is compared with so many that follow it, in the order of their names: a second of work for a thousand pairs.
FOLLOWING = 32


def following(count: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of images to compare: all, if they are few."""
    return ((i, j) for i in range(count) for j in range(i + 1, min(i + 1 + FOLLOWING, count)))


def crossing(seen: int, unseen: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of images that are seen and others that follow them, evenly chosen of many."""
    some = [np.unique(np.linspace(0, count - 1, min(count, FOLLOWING)).round().astype(int)) for count in (seen, unseen)]
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
    factor = max(-(-max(max(image.shape[:2]) for image in images) // EDGE), 1)
    details, spectra = dict[int, np.ndarray](), dict[int, np.ndarray]()
    found = []
    for pair in pairs:
        for number in pair:
            if number not in details:
                details[number] = _detail(images[number], factor)
                spectra[number] = _spectrum(details[number])
        one, other = pair
        if min(details[one].shape + details[other].shape) >= LEAST:
            likeness = _likeness(details[one], details[other], spectra[one] * spectra[other].conj())
            found += [(likeness, pair)] if likeness >= ALIKE else []
    return [pair for _, pair in sorted(found, key=lambda entry: -entry[0])]


def _detail(image: np.ndarray, factor: int) -> np.ndarray:
    """Reduce (H, W, c) to (H / factor, W / factor), and leave its detail."""
    rows, columns = (length // factor for length in image.shape[:2])
    if min(rows, columns) < LEAST:
        return np.zeros((rows, columns), np.float32)
    blocks = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, -1)
    # The root makes the noise of photons even.
    small = torch.from_numpy(np.sqrt(blocks.mean((1, 3), dtype=np.float32)))[None]
    return (gaussian_blur(small, FINE, 3) - gaussian_blur(small, COARSE, 9))[0].numpy()


def _spectrum(detail: np.ndarray) -> np.ndarray:
    """Return the spectrum of a detail whose borders fade, with the strength of each frequency evened out."""
    window = np.sqrt(np.outer(*(np.hanning(length + 2)[1:-1] for length in detail.shape)))
    spectrum: np.ndarray = np.fft.rfft2(detail * window, (2 * EDGE, 2 * EDGE)).astype(np.complex64)
    strength = np.abs(spectrum)
    return spectrum / np.maximum(strength, 0.1 * np.sqrt(strength.max() * strength.mean()) + 1e-12)


def _likeness(one: np.ndarray, other: np.ndarray, product: np.ndarray) -> float:
    """Return the highest correlation of two details, at places where their spectra say that they may fit, and as they lie."""
    fit = np.fft.irfft2(product)
    places = [0, *np.argpartition(fit.ravel(), -PLACES)[-PLACES:]]
    return max(_correlation(one, other, *(int(v) for v in np.unravel_index(place, fit.shape))) for place in places)


def _correlation(one: np.ndarray, other: np.ndarray, down: int, right: int) -> float:
    """Return the correlation where they overlap, the other moved by a place of `_likeness`; 0 if they hardly do."""
    parts = [_overlap(*lengths, shift) for *lengths, shift in zip(one.shape, other.shape, (down, right), strict=True)]
    (rows, columns), (other_rows, other_columns) = zip(*parts, strict=True)
    a, b = one[rows, columns], other[other_rows, other_columns]
    if a.size < OVERLAP * min(one.size, other.size):
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    strength = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / strength if strength else 0.0


def _overlap(length: int, other: int, shift: int) -> tuple[slice, slice]:
    """Return what two intervals share, in coordinates of each, the other moved by a circular shift."""
    shift -= 2 * EDGE if shift >= EDGE else 0
    start, stop = max(shift, 0), max(min(length, other + shift), max(shift, 0))
    return slice(start, stop), slice(start - shift, stop - shift)
