"""Pairs for a network of any scale: each batch at a scale of its own, as LTE is trained (arXiv 2111.08918)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ...arrays.bicubic import imresize
from .maker import PairMaker, to_tensor


class AnyScale(PairMaker):
    """MATLAB's bicubic reduction by a factor drawn uniformly from `smallest` to the model's scale."""

    def __init__(self, scale: int, patch: int, smallest: float = 1.0) -> None:
        super().__init__(scale, patch)
        if not 1 <= smallest <= scale:
            raise ValueError(f"smallest={smallest!r} must be from 1 to the model's scale, {scale}.")
        self.smallest = smallest

    def size(self, rng: np.random.Generator) -> int:
        """See `PairMaker`."""
        return round(self.patch * rng.uniform(self.smallest, self.scale))

    def make(self, hr: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """See `PairMaker`."""
        return to_tensor(imresize(hr, (self.patch, self.patch))), to_tensor(hr)
