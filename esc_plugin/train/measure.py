"""How good a network is, on images that it doesn't see in training."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log10
from pathlib import Path
from statistics import fmean

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..network import ESC
from ..upscaler import Upscaler
from ..weights.model import Model
from .batches import Batches

#: Pairs that are measured where there is no protocol, and that a sample picture shows.
MEASURED, SHOWN = 16, 4


@dataclass(frozen=True)
class Found:
    """PSNR in dB of the model and of bicubic interpolation; by the field's protocol, or of pairs on RGB.

    `figures` and `ssim` are as in a model card, by benchmark; empty for pairs.
    """

    psnr: float
    bicubic: float
    figures: dict[str, float] = field(default_factory=dict)
    ssim: dict[str, float] = field(default_factory=dict)


def measure_folder(model: Model, folder: Path, device: str) -> Found:
    """Measure as ``esc-sr evaluate`` does."""
    from ..measure import evaluate as protocol

    score = protocol.mean(protocol.evaluate(Upscaler(model, device=device, precision="float32"), folder))
    folder = folder.resolve()
    name = folder.parent.name if folder.name.lower() in ("hr", "gt", "images") else folder.name
    figures = {name: round(score.psnr_y, 2), f"{name} bicubic": round(score.bicubic_psnr_y, 2)}
    ssim = {name: round(score.ssim_y, 4), f"{name} bicubic": round(score.bicubic_ssim_y, 4)}
    return Found(score.psnr_y, score.bicubic_psnr_y, figures, ssim)


def measure_pairs(network: ESC, pairs: Batches, device: torch.device) -> Found:
    """Measure on the first pairs of `pairs`, always the same."""
    errors = [(mean_square(f, high), mean_square(b, high)) for b, f, high in _results(network, pairs, device)]
    found, smooth = (fmean(map(psnr, column)) for column in zip(*errors[:MEASURED], strict=True))
    return Found(found, smooth)


def sample_picture(network: ESC, pairs: Batches, device: torch.device) -> Image.Image:
    """Draw the first pairs, one in a row: bicubic, model, truth."""
    rows = [torch.cat(images, 2) for images, _ in zip(_results(network, pairs, device), range(SHOWN), strict=False)]
    width = max(row.shape[2] for row in rows)
    sheet = torch.cat([F.pad(row, (0, width - row.shape[2])) for row in rows], 1)
    return Image.fromarray((sheet * 255).round().byte().permute(1, 2, 0).numpy())


@torch.no_grad()
def _results(network: ESC, pairs: Batches, device: torch.device):
    """Yield bicubic, model and truth, each (3, H, W) in 0..1, on the CPU."""
    for number in range(MEASURED):
        for low, high in zip(*pairs[number], strict=True):
            size = (high.shape[1], high.shape[2])
            found = network(low[None].to(device), size)[0].float().cpu()
            yield bicubic(low, size), found.clamp(0, 1), high


def bicubic(low: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, h, w) in 0..1 -> (C, *size), clipped: the bicubic interpolation of MATLAB and Pillow."""
    # Torch takes their kernel (a = -0.5) with antialias only, which changes nothing else where images grow.
    return F.interpolate(low[None], size, mode="bicubic", align_corners=False, antialias=True)[0].clamp(0, 1)


def mean_square(found: Tensor, expected: Tensor) -> float:
    """Return the mean squared difference."""
    return (found.double() - expected.double()).square().mean().item()


def psnr(error: float) -> float:
    """Return the PSNR in dB of a mean squared error, for a peak of 1; 120 at most."""
    return 10 * log10(1 / max(error, 1e-12))
