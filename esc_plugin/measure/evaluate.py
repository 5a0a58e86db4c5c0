"""PSNR and SSIM by the protocol of the field: Y of ITU-R 601 YCbCr (16..235), rounded output, `scale` pixels shaved off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from ..arrays.bicubic import imresize
from ..batch.find import find_originals
from ..errors import EscError, ImageError, needs
from ..progress import Progress
from ..upscaler import Upscaler
from .photo import read_photo
from .scores import luma, psnr, ssim

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
    progress: Progress | None = None,
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
    paths = find_originals([high], recursive=False)
    scores = []
    for i, path in enumerate(paths):
        truth, small = _pair(path, low, upscaler.model.scale)
        found = upscaler(small)
        bicubic = imresize(small, (found.shape[0], found.shape[1]))
        scores.append(score(path.stem, found, bicubic, truth, upscaler.model.scale, distance))
        if progress:
            progress(i + 1, len(paths))
    return scores


def _pair(path: Path, low: Path | None, scale: int) -> tuple[np.ndarray, np.ndarray]:
    truth = _pixels(path)
    height, width = truth.shape[0] // scale, truth.shape[1] // scale
    truth = truth[: height * scale, : width * scale]
    if low is None:
        return truth, imresize(truth, (height, width))
    match = next((p for p in find_originals([low], recursive=False) if p.stem in _low_names(path.stem, scale)), None)
    if match is None:
        raise ImageError(f"{str(low)!r} has no reduction of {path.name!r}; it would be called {path.stem}x{scale} or alike.")
    small = _pixels(match)
    if small.shape[:2] != (height, width):
        raise ImageError(f"{str(match)!r} is {small.shape[:2]}, not {(height, width)}, which is {path.name!r} by {scale}.")
    return truth, small


def _low_names(stem: str, scale: int) -> Iterator[str]:
    yield from (stem, f"{stem}x{scale}", f"{stem}_x{scale}", f"{stem}_LRBI_x{scale}")


def _pixels(path: Path) -> np.ndarray:
    pixels = read_photo(path)
    return pixels[..., :3] if pixels.ndim == 3 else pixels
