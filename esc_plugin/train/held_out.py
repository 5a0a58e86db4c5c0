"""Crops that a fine-tuning never sees, degraded as its training pairs are: how much better a model has become."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays.bicubic import enlarge
from ..device import limited_threads
from ..disk import replacing
from ..measure.scores import NEGLIGIBLE, decibels, mean, mean_square, psnr
from ..network import ESC
from ..progress import Cancel, stop_if_asked
from .batches import patch_of
from .crew import Crew, crew_size
from .images import Images
from .pairs.maker import PairMaker

#: Crops of each image, and of all of them at most; always the same ones.
CROPS, MOST_CROPS = 4, 32


@dataclass(frozen=True)
class HeldOutScore:
    """PSNR in dB on the crops of one image, or the mean of several; the peak is the largest value of the file's levels."""

    image: str
    bicubic: float
    before: float
    after: float


class HeldOut:
    """Crops of images and their degraded versions, one of each image before the second of any.

    Parameters
    ----------
    images : Images
    maker : PairMaker
        Its patch is the crops' size.
    device : torch.device
    """

    def __init__(self, images: Images, maker: PairMaker, device: torch.device) -> None:
        self.device, self.threads = device, crew_size(device)
        self.names: list[str] = []
        self.pairs: list[tuple[Tensor, Tensor]] = []
        numbers = np.linspace(0, len(images) - 1, min(len(images), MOST_CROPS)).round().astype(int).tolist()
        for crop, number in [(crop, number) for crop in range(CROPS) for number in numbers][:MOST_CROPS]:
            image, rng = images[number], np.random.default_rng([number, crop])
            size = maker.size(rng)
            top, left = (int(rng.integers(0, length - size + 1)) for length in image.shape[:2])
            self.pairs.append(maker.make(patch_of(image, top, left, size, maker.margin), rng))
            self.names.append(images.entries[number].name)
        self.smooth = [mean_square(enlarge(low, (high.shape[1], high.shape[2])), high) for low, high in self.pairs]

    def measure(
        self,
        network: ESC,
        crops: int = MOST_CROPS,
        *,
        seconds: float = inf,
        tell: Callable[[float, float], None] = lambda done, total: None,
        cancel: Cancel | None = None,
    ) -> list[float]:
        """Return the mean squared error of a network on the first crops, on as many as there is time for.

        Parameters
        ----------
        crops : int
            At most.
        seconds : float
            At most, but one crop is always measured, or one by each thread.
        tell : callable
            ``tell(done, total)`` now and then.
        cancel : callable, optional
            ``cancel() -> bool`` is asked before each.

        Raises
        ------
        Cancelled
            If `cancel` returned ``True``.
        """
        begun, errors = time.monotonic(), list[float]()
        pairs = self.pairs[:crops]
        network = network.to(self.device).eval()
        with Crew(self.threads) as crew:
            for first in range(0, len(pairs), crew.parts):
                stop_if_asked(cancel)
                errors += crew.map(lambda pair: self._error(network, *pair), pairs[first : first + crew.parts])
                done = len(errors)
                tell(done, len(pairs))
                if (time.monotonic() - begun) / done * (done + crew.parts) > seconds:  # more would take too long
                    break
        return errors

    def _error(self, network: ESC, low: Tensor, high: Tensor) -> float:
        return mean_square(self._upscaled(network, low, high), high)

    def scores(self, before: list[float], after: list[float]) -> list[HeldOutScore]:
        """Put what `measure` found of two networks beside bicubic interpolation, on the crops that both have seen."""
        rows = list(zip(self.names, self.smooth, before, after, strict=False))
        scores = []
        for name in dict.fromkeys(name for name, *_ in rows):
            columns = zip(*[errors for other, *errors in rows if other == name], strict=True)
            scores.append(HeldOutScore(name, *(decibels(max(fmean(column), NEGLIGIBLE)) for column in columns)))
        return scores

    @torch.no_grad()
    def _upscaled(self, network: ESC, low: Tensor, high: Tensor) -> Tensor:
        found: Tensor = network(low.expand(3, -1, -1)[None].to(self.device), (high.shape[1], high.shape[2]))[0].cpu()
        found = found.mean(0, keepdim=True) if high.shape[0] == 1 else found  # as `Upscaler` does with gray
        return found.clamp(0, 1)

    def draw(self, networks: dict[str, ESC], target: Path) -> None:
        """Draw the crop with most contrast: as recorded, by bicubic interpolation, by each network, as it is."""
        from matplotlib.figure import Figure

        number = max(range(len(self.pairs)), key=lambda i: float(self.pairs[i][1].std()))
        low, high = self.pairs[number]
        panels = {"as recorded": low, "bicubic": enlarge(low, (high.shape[1], high.shape[2]))}
        with limited_threads(1):
            for name, network in networks.items():
                panels[name] = self._upscaled(network.to(self.device).eval(), low, high)
        panels["original"] = high
        values = np.quantile(high.numpy(), (0.01, 0.995))  # the same for all
        figure = Figure(figsize=(3.2 * len(panels), 3.6), layout="constrained")
        for axis, (name, image) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
            note = "" if image is low or image is high else f"  {psnr(image, high, peak=1):.1f} dB"
            shown = ((image.numpy() - values[0]) / max(values[1] - values[0], 1e-6)).clip(0, 1)
            axis.imshow(shown.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set_title(name + note)
            axis.set_axis_off()
        save(figure, target)


def draw_scores(scores: list[HeldOutScore], names: tuple[str, str], target: Path) -> None:
    """Draw the PSNR of each image: bicubic, before and after, by the `names` of the two models."""
    from matplotlib.figure import Figure

    rows = [*sorted(scores, key=lambda s: s.after), mean(scores)]
    figure = Figure(figsize=(8, 1.2 + 0.3 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for label, field_, marker in (("bicubic", "bicubic", "|"), (names[0], "before", "o"), (names[1], "after", "D")):
        axis.plot([getattr(s, field_) for s in rows], range(len(rows)), marker, label=label)
    for y, score in enumerate(rows):
        axis.plot([score.before, score.after], [y, y], color="gray", linewidth=0.8, zorder=0)
    axis.set_yticks(range(len(rows)), [score.image for score in rows])
    axis.set_xlabel("PSNR on held-out crops, dB")
    axis.grid(axis="x", alpha=0.3)
    axis.legend(loc="lower right")
    save(figure, target)


def save(figure: Any, target: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(target) as beside:
        figure.savefig(beside, dpi=110, format="png")
