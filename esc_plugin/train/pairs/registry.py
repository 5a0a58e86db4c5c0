"""How a low-resolution patch is made of a piece of an image. A new way is a class like `Bicubic`, and a line in `MAKERS`.

A pair maker computes from its arguments alone: the same piece and the same generator give the same pair, on any machine and
in any process. That is what makes a resumed training continue exactly.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...arrays.bicubic import imresize
from ..recipe import RecipeError

#: By name, the module and the class.
MAKERS = {
    "bicubic": (".registry", "Bicubic"),
    "real": (".real", "Real"),
    "microscopy": (".microscopy", "Microscopy"),
    "any-scale": (".any_scale", "AnyScale"),
}


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


def cut(image: np.ndarray, margin: int) -> np.ndarray:
    """Return (h, w, c) without `margin` pixels on each side, a view."""
    return image[margin : image.shape[0] - margin, margin : image.shape[1] - margin]


def to_tensor(image: np.ndarray) -> Tensor:
    """(h, w, c) uint8, uint16 or floating in 0..1 -> (c, h, w) float32 in 0..1."""
    top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(top))


def make_maker(name: str, scale: int, patch: int, options: dict[str, Any]) -> PairMaker:
    """Return the pair maker of a recipe.

    Raises
    ------
    RecipeError
        If there is none of that name, or an option is unknown or has a value that can't be.
    """
    if name not in MAKERS:
        raise RecipeError(f"data.pairs: {name!r} is not one of {', '.join(MAKERS)}.")
    module, class_name = MAKERS[name]
    maker = getattr(import_module(module, __package__), class_name)
    known = [p for p in inspect.signature(maker).parameters if p not in ("scale", "patch")]
    if unknown := sorted(set(options) - set(known)):
        raise RecipeError(f"data.options.{unknown[0]}: unknown; {name} knows {', '.join(known) or 'none'}.")
    try:
        return maker(scale, patch, **options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"data.options: {error}") from None
