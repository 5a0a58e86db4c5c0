"""How good a network is, on images that it doesn't see in training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import fmean

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..arrays.bicubic import enlarge
from ..measure.evaluate import evaluate
from ..measure.scores import NEGLIGIBLE, decibels, mean, mean_square
from ..network import ESC
from ..upscaler import Upscaler
from ..weights.model import Model
from .batches import Batches

#: Pairs that are measured where there is no protocol, and that a sample picture shows.
MEASURED, SHOWN = 16, 4


@dataclass(frozen=True)
class Figures:
    """PSNR in dB of the model and of bicubic interpolation; by the field's protocol, or of pairs on RGB.

    `figures` and `ssim` are as in a model card, by benchmark; empty for pairs.
    """

    psnr: float
    bicubic: float
    figures: dict[str, float] = field(default_factory=dict)
    ssim: dict[str, float] = field(default_factory=dict)


def measure_folder(model: Model, folder: Path, device: str) -> Figures:
    """Measure as ``esc-sr evaluate`` does."""
    score = mean(evaluate(Upscaler(model, device=device, precision="float32"), folder))
    folder = folder.resolve()
    name = folder.parent.name if folder.name.lower() in ("hr", "gt", "images") else folder.name
    figures = {name: round(score.psnr_y, 2), f"{name} bicubic": round(score.bicubic_psnr_y, 2)}
    ssim = {name: round(score.ssim_y, 4), f"{name} bicubic": round(score.bicubic_ssim_y, 4)}
    return Figures(score.psnr_y, score.bicubic_psnr_y, figures, ssim)


def measure_pairs(network: ESC, pairs: Batches, device: torch.device) -> Figures:
    """Measure on the first pairs of `pairs`, always the same."""
    figures: list[list[float]] = [[], []]
    for smooth, found, high in islice(_results(network, pairs, device), MEASURED):
        for column, image in zip(figures, (found, smooth), strict=True):
            column.append(decibels(max(mean_square(image, high), NEGLIGIBLE)))
    return Figures(fmean(figures[0]), fmean(figures[1]))


def sample_picture(network: ESC, pairs: Batches, device: torch.device) -> Image.Image:
    """Draw the first pairs, one in a row: bicubic, model, truth."""
    rows = [torch.cat(images, 2) for images in islice(_results(network, pairs, device), SHOWN)]
    width = max(row.shape[2] for row in rows)
    sheet = torch.cat([F.pad(row, (0, width - row.shape[2])) for row in rows], 1)
    return Image.fromarray((sheet * 255).round().byte().permute(1, 2, 0).numpy())


@torch.no_grad()
def _results(network: ESC, pairs: Batches, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield bicubic, model and truth, each (3, H, W) in 0..1, on the CPU."""
    for number in range(MEASURED):
        for low, high in zip(*pairs[number], strict=True):
            size = (high.shape[1], high.shape[2])
            found = network(low[None].to(device), size)[0].float().cpu()
            yield enlarge(low, size), found.clamp(0, 1), high
