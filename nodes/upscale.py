"""What the upscale node does, given a host. It runs without ComfyUI."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..esc_plugin.arrays.sizes import Size, fit_size, target_size
from ..esc_plugin.device import PRECISIONS
from ..esc_plugin.errors import EscError
from ..esc_plugin.progress import Progress, part_of
from ..esc_plugin.tensors import check_images, render_images, thumbnail, upscale_images, wanted_bytes
from ..esc_plugin.upscaler import Upscaler
from .recognize import model_of

logger = logging.getLogger(__name__)

MODEL_SCALE, FACTOR, SIZE = "model scale", "factor", "width and height"
TARGETS = (MODEL_SCALE, FACTOR, SIZE)

#: Attempts after running out of memory, each with half the memory of the one before.
RETRIES = 3


class Host(Protocol):
    """What the program around the node offers."""

    def device(self) -> torch.device:
        """Return where to compute."""

    def reserve(self, descriptor: Any, memory: int) -> None:
        """Make room for `memory` bytes on the device and put the descriptor's module there."""

    def upscale_in_tiles(
        self, descriptor: Any, image: Tensor, precision: str, memory_limit: int | None, progress: Progress
    ) -> Tensor:
        """Upscale (1, 3, H, W) in overlapping tiles with any model; float32 on the CPU."""

    def is_out_of_memory(self, error: Exception) -> bool:
        """Tell whether that is what an error means."""

    def free_cached(self) -> None:
        """Give back what is cached."""

    def progress(self, picture: Callable[[], Any] | None = None) -> Progress:
        """Return a callback for ``(done, total)`` that raises when the user cancels, and may show ``picture()``."""


@dataclass(frozen=True)
class Request:
    """The values of the node's widgets.

    Raises
    ------
    EscError
        If one is none of its menu; hosts don't always check that.
    """

    target: str = MODEL_SCALE
    factor: float = 2.0
    width: int = 0
    height: int = 0
    memory_limit: float = 0.0
    precision: str = "auto"

    def __post_init__(self) -> None:
        precisions = ("auto", *PRECISIONS)
        for name, value, known in (("target", self.target, TARGETS), ("precision", self.precision, precisions)):
            if value not in known:
                raise EscError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")

    def size(self, height: int, width: int) -> Size | None:
        """Return the height and width asked for, or None for the model's own scale.

        Raises
        ------
        EscError
            If both are 0.
        """
        if self.target == MODEL_SCALE:
            return None
        if self.target == FACTOR:
            return target_size(height, width, self.factor)
        if not self.width and not self.height:
            raise EscError(f"target is {SIZE!r}, but both are 0; set one of them, or both.")
        fitting = fit_size(height, width, self.height or None, self.width or None)
        return self.height or fitting[0], self.width or fitting[1]

    @property
    def limit_bytes(self) -> int | None:
        """The memory limit in bytes, None for automatic."""
        return int(self.memory_limit * 2**30) or None


def upscale(descriptor: Any, images: Tensor, request: Request, host: Host) -> Tensor:
    """Upscale a batch with whatever model is in a descriptor: ESC exactly, any other one in tiles.

    Parameters
    ----------
    descriptor : spandrel.ImageModelDescriptor
        What came over an ``UPSCALE_MODEL`` wire. It is left as it was, apart from the device of its module.
    images : Tensor
        (B, H, W, 3 or 4), floating, in 0..1. They are not changed.

    Returns
    -------
    Tensor
        (B, height, width, C), float32 on the CPU, in 0..1.

    Raises
    ------
    EscError
        If the images, the model or the request can't be used, or memory runs out.
    """
    check_images(images)
    size = request.size(*images.shape[1:3])
    model = model_of(descriptor)
    if model is None:
        return _in_tiles(descriptor, images, size, request, host)
    upscaler = Upscaler(model, device=host.device(), precision=request.precision, memory_limit=request.limit_bytes)
    return _exactly(upscaler, descriptor, images, size, host)


def _exactly(upscaler: Upscaler, descriptor: Any, images: Tensor, size: Size | None, host: Host) -> Tensor:
    for attempt in range(RETRIES + 1):
        memory = wanted_bytes(upscaler, images)
        host.reserve(descriptor, memory)
        unfinished = UnfinishedResult()
        progress = host.progress(unfinished.picture)
        try:
            return upscale_images(upscaler, images, size=size, progress=progress, watch=unfinished.watch)
        except Exception as error:
            if attempt == RETRIES or not host.is_out_of_memory(error):
                raise
        # Only here the error is gone, and with it what its traceback held.
        logger.warning("out of memory with %.2f GiB planned; going on with half of it.", memory / 2**30)
        host.free_cached()
        upscaler = upscaler.with_memory_limit(memory // 2)
    raise AssertionError("unreachable")


def _in_tiles(descriptor: Any, images: Tensor, size: Size | None, request: Request, host: Host) -> Tensor:
    if (descriptor.input_channels, descriptor.output_channels) != (3, 3):
        raise EscError(
            f"this model takes {descriptor.input_channels} and makes {descriptor.output_channels} channels; "
            "only models from RGB to RGB can be used here."
        )
    progress = host.progress()

    def render(i: int, image: Tensor) -> Tensor:
        planes, part = image.permute(2, 0, 1)[None].float(), part_of(progress, i, len(images))
        assert part
        return host.upscale_in_tiles(descriptor, planes, request.precision, request.limit_bytes, part)[0].permute(1, 2, 0)

    return render_images(images, size, render)


class UnfinishedResult:
    """The image at work and its result as far as that is done, for a quick look meanwhile."""

    def __init__(self) -> None:
        self.images: tuple[Tensor, Tensor] | None = None

    def watch(self, image: Tensor, result: Tensor) -> None:
        """Turn to another image: (H, W, C), and its result, which is filled in piece by piece."""
        self.images = image, result

    def picture(self) -> Any:
        """Return a PIL image, or None if nothing has been begun."""
        return thumbnail(*self.images) if self.images else None
