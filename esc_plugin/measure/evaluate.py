"""PSNR and SSIM by the protocol of the field: Y of ITU-R 601 YCbCr (16..235), rounded output, `scale` pixels shaved off."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from ..arrays.bicubic import imresize
from ..disk import replacing
from ..errors import EscError, ImageError, needs
from ..files import read_picture
from ..files.formats import readable_suffixes
from ..upscaler import Upscaler

#: A perceptual distance between two images, (H, W, 3) or (H, W), uint8.
Distance = Callable[[np.ndarray, np.ndarray], float]
#: Smaller images vanish inside AlexNet.
LEAST_LPIPS_EDGE = 32


@dataclass(frozen=True)
class Score:
    """One image, or the mean of several. PSNR in dB; SSIM as of Wang et al. (IEEE TIP 2004), Gaussian window of 11.

    LPIPS (Zhang et al., CVPR 2018; AlexNet, version 0.1, on RGB) is ``None`` where it wasn't measured.
    """

    image: str
    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float
    bicubic_psnr_y: float
    bicubic_ssim_y: float
    lpips: float | None = None
    bicubic_lpips: float | None = None


def luma(image: np.ndarray) -> np.ndarray:
    """Return Y (H, W) in 16..235, float64, of RGB (H, W, 3) uint8. A single channel is Y already."""
    if image.ndim == 2:
        return image.astype(np.float64)
    return 16 + image.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB for a peak of 255; infinite for equal images."""
    from skimage.metrics import peak_signal_noise_ratio

    if np.array_equal(found, expected):
        return float("inf")
    return float(peak_signal_noise_ratio(expected, found, data_range=255))


def ssim(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the structural similarity, over windows that lie inside; of colours the mean of the channels."""
    from skimage.metrics import structural_similarity

    axis = None if found.ndim == 2 else 2
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return float(structural_similarity(expected.astype(np.float64), found.astype(np.float64), channel_axis=axis, **options))


def load_lpips() -> Distance | None:
    """Return LPIPS of the optional package ``lpips``; ``None`` if it isn't installed.

    Raises
    ------
    EscError
        If it is, but doesn't work: AlexNet's weights are downloaded at the first use.
    """
    if find_spec("lpips") is None:
        return None
    try:
        import lpips

        network = lpips.LPIPS(net="alex", verbose=False).eval()
    except Exception as error:  # of torchvision, of the download
        reason = " ".join(str(error).split()) or type(error).__name__
        raise EscError(f"LPIPS is left out, its network can't be had: {reason.rstrip('.')}.") from None

    def distance(found: np.ndarray, expected: np.ndarray) -> float:
        with torch.no_grad():
            return float(network(*(_to_signed(image) for image in (found, expected))))

    return distance


def _to_signed(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) or (H, W), uint8 -> (1, 3, H, W) in -1..1."""
    planes = torch.from_numpy(image.astype(np.float32)).reshape(*image.shape[:2], -1).permute(2, 0, 1)
    return (planes / 127.5 - 1).expand(3, -1, -1)[None]


def score(
    name: str, found: np.ndarray, bicubic: np.ndarray, truth: np.ndarray, shave: int, distance: Distance | None = None
) -> Score:
    """Compare a result and the bicubic one with the truth.

    Parameters
    ----------
    found, bicubic, truth : numpy.ndarray
        (H, W, 3) or (H, W), uint8.
    shave : int
        Pixels to leave out along each border.
    distance : callable, optional
        See `load_lpips`.
    """
    found, bicubic, truth = (a[shave : a.shape[0] - shave, shave : a.shape[1] - shave] for a in (found, bicubic, truth))
    y_found, y_bicubic, y_truth = luma(found), luma(bicubic), luma(truth)
    known = Score(
        name,
        psnr(y_found, y_truth),
        ssim(y_found, y_truth),
        psnr(found, truth),
        ssim(found, truth),
        psnr(y_bicubic, y_truth),
        ssim(y_bicubic, y_truth),
    )
    if distance is None or min(truth.shape[:2]) < LEAST_LPIPS_EDGE:
        return known
    return replace(known, lpips=distance(found, truth), bicubic_lpips=distance(bicubic, truth))


def evaluate(
    upscaler: Upscaler,
    high: Path,
    low: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    distance: Distance | None = None,
) -> list[Score]:
    """Score a model on a folder of images.

    Parameters
    ----------
    high : Path
        Folder of true images, 8-bit.
    low : Path, optional
        Folder of their reductions, named alike (a suffix such as ``x2`` is allowed). By default they are made by MATLAB's
        bicubic.
    progress : callable, optional
        ``progress(done, total)``, in images.
    distance : callable, optional
        See `load_lpips`; measured too if given.

    Returns
    -------
    list of Score
        One per image, by name.

    Raises
    ------
    ImageError
        If a folder holds no images, or a pair doesn't fit.
    """
    needs("evaluate")
    paths = _images(high)
    scores = []
    for i, path in enumerate(paths):
        truth, small = _pair(path, low, upscaler.model.scale)
        found = upscaler(small)
        bicubic = imresize(small, (found.shape[0], found.shape[1]))
        scores.append(score(path.stem, found, bicubic, truth, upscaler.model.scale, distance))
        if progress:
            progress(i + 1, len(paths))
    return scores


def mean(scores: list[Score]) -> Score:
    """Return the mean of each figure, over the images that have it."""
    names = [f.name for f in fields(Score) if f.name != "image"]
    values: dict[str, Any] = {}
    for name in names:
        known = [value for s in scores if (value := getattr(s, name)) is not None]
        values[name] = fmean(known) if known else None
    return Score("mean", **values)


def check_scores(path: Path) -> None:
    """Raise an `ImageError` unless figures can be written under such a name."""
    if path.suffix not in (".csv", ".json"):
        raise ImageError(f"figures are written as .csv or .json, not {path.name!r}.")


def write_scores(path: Path, scores: list[Score]) -> None:
    """Write images and mean as CSV or JSON, by the suffix.

    Raises
    ------
    ImageError
        If the suffix is another.
    """
    check_scores(path)
    total = mean(scores)
    rows = [{k: v for k, v in asdict(s).items() if getattr(total, k) is not None} for s in [*scores, total]]
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".json":
            json.dump(rows, file, indent=1)
        else:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _images(folder: Path) -> list[Path]:
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in readable_suffixes()) if folder.is_dir() else []
    if not paths:
        raise ImageError(f"there are no images in the folder {str(folder)!r}.")
    return paths


def _pair(path: Path, low: Path | None, scale: int) -> tuple[np.ndarray, np.ndarray]:
    truth = _pixels(path)
    height, width = truth.shape[0] // scale, truth.shape[1] // scale
    truth = truth[: height * scale, : width * scale]
    if low is None:
        return truth, imresize(truth, (height, width))
    match = next((p for p in _images(low) if p.stem in _low_names(path.stem, scale)), None)
    if match is None:
        raise ImageError(f"{str(low)!r} has no reduction of {path.name!r}; it would be called {path.stem}x{scale} or alike.")
    small = _pixels(match)
    if small.shape[:2] != (height, width):
        raise ImageError(f"{str(match)!r} is {small.shape[:2]}, not {(height, width)}, which is {path.name!r} by {scale}.")
    return truth, small


def _low_names(stem: str, scale: int) -> Iterator[str]:
    yield from (stem, f"{stem}x{scale}", f"{stem}_x{scale}", f"{stem}_LRBI_x{scale}")


def _pixels(path: Path) -> np.ndarray:
    picture = read_picture(path)
    pixels = np.asarray(picture.pixels)
    if pixels.dtype != np.uint8 or picture.axes not in ("YX", "YXS"):
        raise ImageError(f"{str(path)!r} is {pixels.dtype} with axes {picture.axes!r}; figures are for 8-bit pictures.")
    return pixels[..., :3] if pixels.ndim == 3 else pixels
