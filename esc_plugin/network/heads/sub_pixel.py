"""One convolution that makes all output pixels of a feature pixel, shared by the heads that add an image to them."""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..layers import Conv2d, convolve
from ..state_dict import State, shape_of
from .head import Head


class SubPixelHead(Head):
    """A 3x3 convolution to 3 s s channels, whose parameters are the head's own: ``to_img.weight``, ``to_img.bias``."""

    halo = 1

    def __init__(self, dim: int, scale: int) -> None:
        super().__init__()
        conv = Conv2d(dim, 3 * scale**2, 3)
        self.weight, self.bias = conv.weight, conv.bias
        self.scale = scale
        self.cost = 27 * dim * scale**2

    def sub_pixels(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3 s s, h, w), zeros beyond the border."""
        return convolve(features, self.weight, self.bias, padding=1)


def read_scale(state: State) -> dict[str, Any]:
    """Read the scale off the number of channels."""
    return {"scale": isqrt(shape_of(state, "to_img.weight", 4)[0] // 3)}


def rescale_subpixels(value: Tensor, source: int, target: int) -> Tensor:
    """Take the convolution to another scale, by bilinear interpolation over its grid of sub-pixels.

    Parameters
    ----------
    value : Tensor
        Weight (3 source^2, C, k, k) or bias (3 source^2,) of a convolution before a pixel shuffle.
    source, target : int
        Scales.

    Returns
    -------
    Tensor
        The same for `target`.
    """
    rest: Any = value.shape[1:]
    grid = value.reshape(3, source, source, -1).permute(0, 3, 1, 2)  # (3, C k k, source, source)
    grid = F.interpolate(grid, (target, target), mode="bilinear", align_corners=False)
    return grid.permute(0, 2, 3, 1).reshape(3 * target**2, *rest)
