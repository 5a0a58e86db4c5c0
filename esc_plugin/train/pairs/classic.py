"""The classical task of the field: the reduction of a clean image by MATLAB's bicubic."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ...arrays.bicubic import imresize
from .maker import PairMaker, cut, to_tensor


class Bicubic(PairMaker):
    """MATLAB's bicubic reduction, by which the benchmarks of the field are made. Equal to reducing the whole image."""

    def __init__(self, scale: int, patch: int) -> None:
        super().__init__(scale, patch)
        self.margin = 2 * scale  # the filter reaches 2 low-resolution pixels to each side

    def make(self, hr: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """See `PairMaker`."""
        reduced = imresize(hr, (hr.shape[0] // self.scale, hr.shape[1] // self.scale))
        around = self.margin // self.scale
        return to_tensor(reduced[around:-around, around:-around]), to_tensor(cut(hr, self.margin))
