"""What a degradation is: a class that makes training pairs, each a low-resolution patch and its original.

A pair maker computes from its arguments alone: the same piece and the same generator give the same pair, on any machine and
in any process. That is what makes a resumed training continue exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

#: The smallest and the largest value that something is drawn from.
Range = tuple[float, float]


class PairMaker(ABC):
    """Makes pairs for a model.

    Parameters
    ----------
    scale : int
        Of the model.
    patch : int
        Edge of a low-resolution patch in pixels.

    Attributes
    ----------
    margin : int
        High-resolution pixels that it wants around the patch on each side. At an image's border they are its mirror image,
        the edge repeated, as MATLAB pads.
    """

    margin: int = 0

    def __init__(self, scale: int, patch: int) -> None:
        self.scale, self.patch = scale, patch

    def size(self, rng: np.random.Generator) -> int:
        """Return the edge of the high-resolution patches of one batch, in pixels; drawn once for all of them."""
        return self.scale * self.patch

    @abstractmethod
    def make(self, hr: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Make a pair.

        Parameters
        ----------
        hr : numpy.ndarray
            (h, w, c), uint8 or uint16 with c = 1 or 3, where h = w = size + 2 margin. 0 and the type's largest value are
            what a network sees as 0 and 1. It must not be changed.
        rng : numpy.random.Generator
            The only source of chance.

        Returns
        -------
        lr, hr : Tensor
            (c or 3, patch, patch) and (c or 3, size, size), float32 in 0..1. Flips and quarter turns come later.
        """


def cut(image: np.ndarray, margin: int) -> np.ndarray:
    """Return (h, w, c) without `margin` pixels on each side, a view."""
    return image[margin : image.shape[0] - margin, margin : image.shape[1] - margin]


def to_tensor(image: np.ndarray) -> Tensor:
    """(h, w, c) uint8, uint16 or floating in 0..1 -> (c, h, w) float32 in 0..1."""
    top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(top))


def crop(x: Tensor, border: int) -> Tensor:
    """Return (C, H, W) without `border` pixels on each side."""
    return x[:, border : x.shape[1] - border, border : x.shape[2] - border]
