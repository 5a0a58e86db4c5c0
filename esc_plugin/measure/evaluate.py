"""PSNR and SSIM by the protocol of the field: Y of ITU-R 601 YCbCr (16..235), rounded output, `scale` pixels shaved off.

The peak is 255 of 8-bit images. Deeper ones rarely use the range of their type: theirs is the range of the true image, from
its lowest value to its highest, as microscopy has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from .degradation import CLEAN, Degradation, check_degradations
from .degrade import degrade
from .photo import DEPTHS, read_photo
from .scores import SSIM_WINDOW, luma, peak_of, psnr, ssim

#: A perceptual distance between two images, (H, W, 3) or (H, W), uint8.
Distance = Callable[[np.ndarray, np.ndarray], float]
#: Smaller images vanish inside AlexNet.
LEAST_LPIPS_EDGE = 32


@dataclass(frozen=True)
class Score:
    """One image, or the mean of several. PSNR in dB; SSIM as of Wang et al. (IEEE TIP 2004), Gaussian window of 11.

    The bias is the mean of the result less that of the true image, in shares of the range of the true image. LPIPS (Zhang et
    al., CVPR 2018; AlexNet, version 0.1, on RGB, 8 bits) is ``None`` where it wasn't measured.
    """

    image: str
    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float
    bicubic_psnr_y: float
    bicubic_ssim_y: float
    bias: float
    bicubic_bias: float
    lpips: float | None = None
    bicubic_lpips: float | None = None

    @property
    def gain(self) -> float:
        """PSNR on Y less that of bicubic interpolation, in dB; none where both are perfect."""
        return 0.0 if self.psnr_y == self.bicubic_psnr_y else self.psnr_y - self.bicubic_psnr_y


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
        (H, W, 3) or (H, W), uint8 or uint16.
    shave : int
        Pixels to leave out along each border.
    distance : callable, optional
        See `load_lpips`.
    """
    extent = float(np.ptp(truth)) or 1.0
    peak = peak_of(truth)
    found, bicubic, truth = (a[shave : a.shape[0] - shave, shave : a.shape[1] - shave] for a in (found, bicubic, truth))
    y_found, y_bicubic, y_truth = luma(found), luma(bicubic), luma(truth)
    known = Score(
        name,
        psnr(y_found, y_truth, peak),
        ssim(y_found, y_truth, peak),
        psnr(found, truth, peak),
        ssim(found, truth, peak),
        psnr(y_bicubic, y_truth, peak),
        ssim(y_bicubic, y_truth, peak),
        float(found.mean() - truth.mean()) / extent,
        float(bicubic.mean() - truth.mean()) / extent,
    )
    if distance is None or min(truth.shape[:2]) < LEAST_LPIPS_EDGE or truth.dtype != np.uint8:
        return known
    return replace(known, lpips=distance(found, truth), bicubic_lpips=distance(bicubic, truth))


def evaluate(
    upscaler: Upscaler,
    high: Path | Sequence[Path],
    low: Path | None = None,
    progress: Progress | None = None,
    distance: Distance | None = None,
    degradation: Degradation = CLEAN,
) -> list[Score]:
    """Score a model on images.

    Parameters
    ----------
    high : Path or sequence of Path
        Folders and files of true images, of 8 or 16 bits, gray or in colour.
    low : Path, optional
        Folder of their reductions, named alike (a suffix such as ``x2`` is allowed). By default they are made.
    progress : callable, optional
        ``progress(done, total)``, in images.
    distance : callable, optional
        See `load_lpips`; measured too if given.
    degradation : Degradation
        How the reductions are made; MATLAB's bicubic by default.

    Returns
    -------
    list of Score
        One per image, by name.

    Raises
    ------
    EscError
        If there are no images, a pair doesn't fit, or the degradation fits the images or the model not.
    """
    needs("evaluate")
    scale = upscaler.model.scale
    paths = check_degradations(high, [degradation], {upscaler.model.name: scale})
    scores = []
    for i, path in enumerate(paths):
        truth = _true(path, scale)
        small = degrade(truth, degradation, scale) if low is None else _reduction(path, low, truth, scale)
        found = upscaler(small)
        bicubic = imresize(small, (found.shape[0], found.shape[1]))
        scores.append(score(path.stem, found, bicubic, truth, scale, distance))
        if progress:
            progress(i + 1, len(paths))
    return scores


def _true(path: Path, scale: int) -> np.ndarray:
    """Return an image cut to whole pixels of its reduction."""
    truth = _pixels(path)
    height, width = (length // scale * scale for length in truth.shape[:2])
    if min(height, width) < (least := SSIM_WINDOW + 2 * scale):
        size = f"{truth.shape[1]} x {truth.shape[0]}"
        raise ImageError(f"{str(path)!r} is {size} pixels; SSIM's windows and what is shaved off need {least} x {least}.")
    return truth[:height, :width]


def _reduction(path: Path, low: Path, truth: np.ndarray, scale: int) -> np.ndarray:
    size = truth.shape[0] // scale, truth.shape[1] // scale
    match = next((p for p in find_originals([low], recursive=False) if p.stem in _low_names(path.stem, scale)), None)
    if match is None:
        raise ImageError(f"{str(low)!r} has no reduction of {path.name!r}; it would be called {path.stem}x{scale} or alike.")
    small = _pixels(match)
    if small.shape[:2] != size:
        raise ImageError(f"{str(match)!r} is {small.shape[:2]}, not {size}, which is {path.name!r} by {scale}.")
    if small.dtype != truth.dtype or small.ndim != truth.ndim:
        raise ImageError(f"{str(match)!r} is {_kind(small)}, but {path.name!r} is {_kind(truth)}.")
    return small


def _kind(image: np.ndarray) -> str:
    return f"{image.dtype}, {'gray' if image.ndim == 2 else 'in colour'}"


def _low_names(stem: str, scale: int) -> Iterator[str]:
    yield from (stem, f"{stem}x{scale}", f"{stem}_x{scale}", f"{stem}_LRBI_x{scale}")


def _pixels(path: Path) -> np.ndarray:
    """Return (H, W) or (H, W, 3), without transparency."""
    pixels = read_photo(path, DEPTHS)
    if pixels.ndim == 2:
        return pixels
    return pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., 0]
