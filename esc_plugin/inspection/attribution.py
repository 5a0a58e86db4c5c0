"""Local attribution maps: which input pixels a patch of the output depends on.

Gu & Dong, "Interpreting Super-Resolution Networks with Local Attribution Maps", CVPR 2021 (arXiv 2011.11036): gradients of a
detector of edges and texture in the patch, integrated along a path from the blurred image to the image itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arrays.filters import gaussian_blur
from ..network.grid import Region
from ..progress import stop_if_asked

#: Of the blur that the path starts from, in pixels: the authors' choice.
SIGMA = 1.2
RADIUS = 4

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Attribution:
    """What a patch depends on.

    Attributes
    ----------
    signed : Tensor
        (H, W): contribution of each input pixel, over its channels, to the change of the detector. They add up to
        ``end - start``, but for the error of the sum over steps.
    start, end : float
        What the detector finds in the patch for the blurred image and for the image.
    """

    signed: Tensor
    start: float
    end: float

    @property
    def diffusion_index(self) -> float:
        """100 (1 - Gini coefficient) of the magnitudes: 0 for a single pixel, 100 for all pixels alike."""
        return 100 * (1 - gini(self.signed.abs()))

    def radius(self, share: float, row: float, column: float) -> float:
        """Return the distance from a point within which `share` of the magnitude lies, in pixels."""
        height, width = self.signed.shape
        rows, columns = torch.arange(height)[:, None] + 0.5 - row, torch.arange(width)[None] + 0.5 - column
        distance, order = (rows**2 + columns**2).sqrt().flatten().sort()
        inside = self.signed.abs().flatten()[order].cumsum(0)
        reached = torch.searchsorted(inside, share * inside[-1])
        return float(distance[min(int(reached), len(distance) - 1)])


def gini(values: Tensor) -> float:
    """Return the Gini coefficient of values from 0 on: 0 if all are alike, towards 1 if one has everything."""
    ordered = values.flatten().double().sort().values
    n, total = len(ordered), float(ordered.sum())
    if total == 0:
        return 0.0
    rank = torch.arange(1, n + 1, dtype=torch.float64)
    return float(((2 * rank - n - 1) * ordered).sum() / (n * total))


def edges_in(region: Region) -> Function:
    """Return the detector: the sum of gradient magnitudes of (B, C, H, W) over a region, differentiable everywhere."""

    def detect(image: Tensor) -> Tensor:
        rows = (image[..., 1:, :-1] - image[..., :-1, :-1]).square()
        columns = (image[..., :-1, 1:] - image[..., :-1, :-1]).square()
        magnitude = (rows + columns + 1e-12).sqrt()
        return magnitude[..., region.top : region.bottom, region.left : region.right].sum()

    return detect


def attribute(
    function: Function,
    detector: Function,
    image: Tensor,
    steps: int = 50,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Attribution:
    """Integrate the gradients of ``detector(function(image))`` along less and less blurred images.

    Parameters
    ----------
    function : callable
        (1, 3, H, W) -> (1, 3, s H, s W), differentiable.
    detector : callable
        Of its output, to a scalar.
    image : Tensor
        (1, 3, H, W).
    steps : int
        Of the sum; each runs the function forward and backward.
    progress, cancel : callable, optional
        ``progress(done, total)`` and ``cancel() -> bool``, called after each step.

    Raises
    ------
    Cancelled
        If `cancel` returned ``True``.
    """
    total = torch.zeros_like(image)
    with torch.enable_grad():
        for step in range(steps):
            sigmas = (SIGMA * (1 - (step + half) / steps) for half in (0, 0.5, 1))
            before, middle, after = (gaussian_blur(image, sigma, RADIUS) for sigma in sigmas)
            middle.requires_grad_()
            (gradient,) = torch.autograd.grad(detector(function(middle)), middle)
            total += gradient * (after - before)
            if progress:
                progress(step + 1, steps)
            stop_if_asked(cancel)
    with torch.no_grad():
        ends = [float(detector(function(end))) for end in (gaussian_blur(image, SIGMA, RADIUS), image)]
    return Attribution(total.sum((0, 1)), *ends)
