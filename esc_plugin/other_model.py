"""Models that aren't of the family: somebody else's function in a network's place, with all that is done around one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .arrays.blend import checked_mask, weight_of
from .arrays.levels import measure_levels
from .arrays.passes import pass_sizes
from .arrays.piece import Piece
from .arrays.planes import TensorImage
from .arrays.sizes import Size
from .arrays.stack import Stack, make_output
from .arrays.surveyed import RunSurvey
from .network.grid import Region
from .progress import Cancel, Progress, part_of
from .request import make_request

#: ``function(image, progress)`` enlarges (1, 3, H, W) floating in 0..1 by its scale, on any device, and tells how far it is.
Function = Callable[[Tensor, Progress | None], Tensor]


@dataclass(frozen=True)
class OtherModel:
    """Upscales images as `esc_plugin.Upscaler` does, with any function from RGB to RGB; only whole images.

    Attributes
    ----------
    scale : int
        By how much the function enlarges.
    function : callable
        See `Function`.
    """

    scale: int
    function: Function
    any_scale = False

    def __call__(
        self,
        image: Any,
        *,
        mask: Any = None,
        out: Any = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        **options: Any,
    ) -> Any:
        """Upscale an image; see `esc_plugin.Upscaler.__call__`, whose options it takes but those of a survey."""
        request = make_request(image, self.scale, **options)
        levels = measure_levels(image, request.layout, request.intensity, request.nan, cancel)
        mask = checked_mask(mask, (request.layout.height, request.layout.width), request.target)
        stack = Stack(
            _Enlarger(self, request.passes),
            request.layout,
            levels,
            request.target,
            keep=request.nan == "keep",
            alpha=request.alpha,
            linear_light=request.linear_light,
            consistency=request.consistency,
            weight=weight_of(request.strength, mask, request.target),
        )
        stack = stack if request.strength else stack.without_network
        stack.check(image, cancel=cancel)
        out = make_output(image, stack.shape, out)
        stack.run(np.asarray(image), out, progress, cancel)
        return out


@dataclass(frozen=True)
class _Enlarger:
    """An `esc_plugin.arrays.piece.Enlarge`."""

    model: OtherModel
    passes: int | None = None
    group: None = None

    def runs(self, size: Size, target: Size) -> int:
        """Return how often a network runs of which something must be known: never."""
        return 0

    def reads(self, size: Size, target: Size, region: Region) -> Region:
        """Return all of the image: nobody knows how far such a model looks."""
        return Region(0, 0, *size)

    def __call__(self, piece: Piece) -> tuple[RunSurvey, ...]:
        """See `esc_plugin.enlarge.Enlarger`; nothing has to be known."""
        if piece.sink is None:
            return ()
        image = piece.source.read(Region(0, 0, *piece.size))
        passes = len(pass_sizes(piece.size, piece.target, self.model.scale, passes=self.passes)) - 1
        for i in range(passes):
            image = image.contiguous(memory_format=torch.channels_last)  # in which convolutions are fast
            image = self.model.function(image, part_of(piece.progress, i, passes))
        piece.filter(TensorImage(image.float().cpu()), (image.shape[2], image.shape[3]))
        return ()
