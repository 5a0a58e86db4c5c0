"""What the upscale nodes do, given a host. It runs without ComfyUI."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ..esc_plugin.errors import EscError
from ..esc_plugin.mixture import Mixture
from ..esc_plugin.network.grid import Region
from ..esc_plugin.other_model import OtherModel
from ..esc_plugin.progress import Progress, part_of
from ..esc_plugin.session.recent import Recent
from ..esc_plugin.tensors import (
    blended,
    check_images,
    scale_of,
    thumbnail,
    upscale_images,
    upscale_part,
    wanted_bytes,
    words_for,
)
from ..esc_plugin.upscaler import Upscaler
from .options import Options
from .recognize import model_of, threads_of

logger = logging.getLogger(__name__)

Made = TypeVar("Made")
#: Attempts after running out of memory, each with half the memory of the one before.
RETRIES = 3
#: What is known of the images that were looked at last.
surveys = Recent()


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

    def say(self, text: str) -> None:
        """Tell the user how the result was made."""

    def handed_on(self, images: Tensor) -> Tensor:
        """Return images as they go over wires, on the device and in the type that the user has chosen for that."""


def upscale(descriptor: Any, images: Tensor, options: Options, host: Host) -> Tensor:
    """Upscale a batch with whatever model is in a descriptor: ESC exactly, any other one in tiles.

    Parameters
    ----------
    descriptor : spandrel.ImageModelDescriptor
        What came over an ``UPSCALE_MODEL`` wire. It is left as it was, apart from the device of its module.
    images : Tensor
        (B, H, W, 3 or 4), floating, in 0..1 or beyond. They are not changed.

    Returns
    -------
    Tensor
        (B, height, width, C), as the host hands images on.

    Raises
    ------
    EscError
        If the images, the model or the options can't be used, or memory runs out.
    """
    check_images(images)
    workers = _workers(descriptor, options, host)
    # The first model's scale counts for both.
    options = replace(options, framing=options.framing.settled(scale_of(workers[0][1])))
    unfinished = UnfinishedResult()
    progress = host.progress(unfinished.picture)
    made = [
        _upscaled(worker, own, images, options, host, part_of(progress, i, len(workers)), unfinished)
        for i, (own, worker) in enumerate(workers)
    ]
    out = made[0] if len(made) == 1 else blended(made[0], made[1], options.second_share)
    host.say(words_for(workers[0][1], images, options.framing, options.told_passes, options.mask))
    return host.handed_on(out)


def upscale_a_part(descriptor: Any, images: Tensor, part: Region, options: Options, host: Host) -> Tensor:
    """Return a part of what `upscale` makes of a batch; see there.

    Parameters
    ----------
    part : Region
        In pixels of the images.
    """
    check_images(images)
    workers = _workers(descriptor, options, host)
    worker = workers[0][1]
    if len(workers) > 1 or isinstance(worker, OtherModel):
        raise EscError("only ESC models can make a part that is the same as in the whole; this is another one.")
    make = partial(upscale_part, part=part, framing=options.framing, mask=options.mask, remember=surveys.get, **options.core)
    out = in_available_memory(make, worker, descriptor, images, options, host, host.progress())
    return host.handed_on(out)


def _workers(descriptor: Any, options: Options, host: Host) -> list[tuple[Any, Upscaler | OtherModel]]:
    """Return what makes the result, with the descriptors: two, to be blended, only where one of two models is no ESC."""
    first = worker_for(descriptor, options, host)
    if options.second_model is None or not options.second_share:
        return [(descriptor, first)]
    second = worker_for(options.second_model, options, host)
    if isinstance(first, Upscaler) and isinstance(second, Upscaler):
        return [(descriptor, Mixture(first, second, options.second_share))]
    return [(descriptor, first), (options.second_model, second)]


def worker_for(descriptor: Any, options: Options, host: Host) -> Upscaler | OtherModel:
    """Return what runs a model: a copy of an ESC network, or tiles of the host for any other."""
    model = model_of(descriptor)
    if model is not None:
        limit, threads = options.limit_bytes, threads_of(descriptor)
        return Upscaler(model, device=host.device(), precision=options.precision, memory_limit=limit, threads=threads)
    channels = descriptor.input_channels, descriptor.output_channels
    if channels != (3, 3):
        raise EscError(
            f"this model takes {channels[0]} and makes {channels[1]} channels; only models from RGB to RGB can be used here."
        )

    def run(image: Tensor, progress: Progress | None) -> Tensor:
        return host.upscale_in_tiles(descriptor, image, options.precision, options.limit_bytes, progress or _silent)

    return OtherModel(descriptor.scale, run)


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


def _upscaled(
    worker: Upscaler | OtherModel,
    descriptor: Any,
    images: Tensor,
    options: Options,
    host: Host,
    progress: Progress | None,
    unfinished: UnfinishedResult,
) -> Tensor:
    make: Callable[..., Tensor] = partial(
        upscale_images, framing=options.framing, mask=options.mask, watch=unfinished.watch, **options.core
    )
    if isinstance(worker, OtherModel):  # whose tiles heed the memory
        return make(worker, images, progress=progress)
    return in_available_memory(make, worker, descriptor, images, options, host, progress)


def in_available_memory(
    make: Callable[..., Made],
    upscaler: Upscaler,
    descriptor: Any,
    images: Tensor,
    options: Options,
    host: Host,
    progress: Progress | None,
) -> Made:
    """Run ``make(upscaler, images, progress=progress)``; where memory runs out all the same, with less of it."""
    for attempt in range(RETRIES + 1):
        memory = wanted_bytes(upscaler, images, options.framing, options.core.get("passes"))
        host.reserve(descriptor, memory)
        try:
            return make(upscaler, images, progress=progress)
        except Exception as error:
            if attempt == RETRIES or not host.is_out_of_memory(error):
                raise
        # Only here the error is gone, and with it what its traceback held.
        logger.warning("out of memory with %.2f GiB planned; going on with half of it.", memory / 2**30)
        host.free_cached()
        upscaler = upscaler.with_memory_limit(memory // 2)
    raise AssertionError("unreachable")


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
