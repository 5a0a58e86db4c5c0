"""How alike two images are, in figures; means of figures, and files of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from math import inf, log10
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..disk import replacing
from ..errors import ImageError
from ..texts import finite

#: A mean squared error, for a peak of 1, that counts as none where figures are averaged: 120 dB are as good as equal.
NEGLIGIBLE = 1e-12
#: What figures are written as.
SUFFIXES = (".csv", ".json")
#: Edge of the windows of `ssim`, in pixels.
SSIM_WINDOW = 11
#: A dataclass of figures: its field ``image`` says of which, all others are numbers, or ``None`` where one wasn't measured.
ScoreT = TypeVar("ScoreT", bound=Any)


def luma(image: np.ndarray) -> np.ndarray:
    """Return Y (H, W), float64, of RGB (H, W, 3), of uint8 in 16..235. A single channel is Y already."""
    if image.ndim == 2:
        return image.astype(np.float64)
    weighted: np.ndarray = image.astype(np.float64) @ np.array([65.481, 128.553, 24.966])
    return 16 + weighted / 255


def mean_square(found: ArrayLike, expected: ArrayLike) -> float:
    """Return the mean squared difference of two arrays of one shape, or of two tensors on the CPU."""
    return float(np.mean((np.asarray(found, np.float64) - np.asarray(expected, np.float64)) ** 2))


def psnr(found: ArrayLike, expected: ArrayLike, peak: float = 255) -> float:
    """Return the peak signal-to-noise ratio in dB, see `decibels`."""
    return decibels(mean_square(found, expected), peak)


def decibels(error: float, peak: float = 1) -> float:
    """Return the PSNR in dB of a mean squared error; infinite for none."""
    return inf if error == 0 else -10 * log10(error / peak**2)


def peak_of(truth: np.ndarray) -> float:
    """Return the peak of `psnr` and `ssim` for an image: 255 of 8 bits, of others its own range, as microscopy has it."""
    return 255.0 if truth.dtype == np.uint8 else float(np.ptp(truth)) or 1.0


def ssim(found: np.ndarray, expected: np.ndarray, peak: float = 255) -> float:
    """Return the structural similarity, over windows that lie inside; of colours the mean of the channels."""
    from skimage.metrics import structural_similarity

    compute: Any = structural_similarity  # it says nothing of its types
    axis = None if found.ndim == 2 else 2
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": peak}
    return float(compute(expected.astype(np.float64), found.astype(np.float64), channel_axis=axis, **options))


def mean(scores: Sequence[ScoreT]) -> ScoreT:
    """Return the mean of each figure, over the images that have it; its ``image`` is ``"mean"``."""
    values: dict[str, Any] = {"image": "mean"}
    for name in (f.name for f in fields(scores[0]) if f.name != "image"):
        known = [value for score in scores if (value := getattr(score, name)) is not None]
        values[name] = fmean(known) if known else None
    return replace(scores[0], **values)


def write_scores(path: Path, scores: Sequence[ScoreT], digits: int | None = None) -> None:
    """Write images and mean as CSV or JSON, see `rows_of` and `write_rows`."""
    write_rows(path, rows_of(scores, digits))


def rows_of(scores: Sequence[ScoreT], digits: int | None = None) -> list[dict[str, Any]]:
    """Return a row for each image and one for the mean, without figures that no image has.

    Parameters
    ----------
    scores : sequence of dataclass
        One or more.
    digits : int, optional
        To round to, after the point.
    """
    total = mean(scores)
    names = [f.name for f in fields(total) if getattr(total, f.name) is not None]
    return [{name: _rounded(getattr(score, name), digits) for name in names} for score in [*scores, total]]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table as CSV or JSON, by the suffix; what a row doesn't have stays empty, what isn't finite is null in JSON.

    Raises
    ------
    ImageError
        If the suffix is another.
    """
    if path.suffix not in SUFFIXES:
        raise ImageError(f"figures are written as {' or '.join(SUFFIXES)}, not {path.name!r}.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".json":
            json.dump(finite(rows), file, indent=1, allow_nan=False)
        else:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)


def _rounded(value: Any, digits: int | None) -> Any:
    return round(value, digits) if digits is not None and isinstance(value, float) else value
