"""What the upscale nodes do, given a host. It runs without ComfyUI."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ..esc_plugin.arrays.framing import Framing
from ..esc_plugin.device import PRECISIONS
from ..esc_plugin.errors import EscError
from ..esc_plugin.mixture import Mixture
from ..esc_plugin.network.grid import Region
from ..esc_plugin.other_model import OtherModel
from ..esc_plugin.progress import Progress, share_of
from ..esc_plugin.session.recent import Recent
from ..esc_plugin.tensors import blended, check_images, thumbnail, upscale_images, upscale_part, wanted_bytes, words_for
from ..esc_plugin.upscaler import Upscaler
from .recognize import model_of
from .size_question import asked_for

logger = logging.getLogger(__name__)

Made = TypeVar("Made")
#: How often the model runs.
PASSES = ("auto", "1", "2", "3")
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


@dataclass(frozen=True)
class Options:
    """The values of the widgets.

    Attributes
    ----------
    framing : Framing
        How large the results shall be.
    core : dict
        Options of `esc_plugin.Upscaler.__call__`.
    mask : Tensor, optional
        Where the model counts, (B, h, w) in 0..1.
    memory_limit : float
        In GiB; 0 for automatic.
    precision : str
        See `esc_plugin.Upscaler`.
    second, share
        Another model, and how much of it is in the result.
    """

    framing: Framing = field(default_factory=Framing)
    core: dict[str, Any] = field(default_factory=dict)
    mask: Tensor | None = None
    memory_limit: float = 0.0
    precision: str = "auto"
    second: Any = None
    share: float = 0.5

    @classmethod
    def of(cls, widgets: Mapping[str, Any]) -> Options:
        """Return what widgets say.

        Raises
        ------
        EscError
            If one of them is none of its menu; hosts don't always check that.
        """
        precision, passes = widgets.get("precision", "auto"), str(widgets.get("passes", "auto"))
        for name, value, known in (("precision", precision, ("auto", *PRECISIONS)), ("passes", passes, PASSES)):
            if value not in known:
                raise EscError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
        framing, always = asked_for(widgets.get("size"), widgets)
        names = "strength", "consistency", "linear_light", "alpha"
        core: dict[str, Any] = {name: widgets[name] for name in names if name in widgets}
        if passes != "auto":
            core["passes"] = int(passes)
        elif always and framing.scale is not None and framing.scale <= 1:
            core["passes"] = 1
        mask, second, share = widgets.get("mask"), widgets.get("second_model"), widgets.get("second_share", 0.5)
        return cls(framing, core, mask, widgets.get("memory_limit", 0.0), precision, second, share)

    @property
    def limit_bytes(self) -> int | None:
        """The memory limit in bytes, None for automatic."""
        return int(self.memory_limit * 2**30) or None


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
    worker, other = _worker(descriptor, options, host), None
    if options.second is not None and options.share:
        other = _worker(options.second, options, host)
        if isinstance(worker, Upscaler) and isinstance(other, Upscaler):
            worker, other = Mixture(worker, other, options.share), None
    unfinished = UnfinishedResult()
    progress = host.progress(unfinished.picture)
    own = share_of(progress, 0, 0.5) if other else progress
    out = _upscaled(worker, descriptor, images, options, host, own, unfinished)
    if other:  # at least one is no ESC model, and they can only be run one after the other
        second = _upscaled(other, options.second, images, options, host, share_of(progress, 0.5, 1), unfinished)
        blended(out, second, options.share)
    host.say(words_for(worker, images, options.framing, options.core.get("passes")))
    return host.handed_on(out)


def upscale_a_part(descriptor: Any, images: Tensor, part: Region, options: Options, host: Host) -> Tensor:
    """Return a part of what `upscale` makes of a batch; see there.

    Parameters
    ----------
    part : Region
        In pixels of the images.
    """
    check_images(images)
    worker = _worker(descriptor, options, host)
    if options.second is not None and options.share and isinstance(worker, Upscaler):
        other = _worker(options.second, options, host)
        worker = Mixture(worker, other, options.share) if isinstance(other, Upscaler) else other
    if isinstance(worker, OtherModel):
        raise EscError("only ESC models can make a part that is the same as in the whole; this is another one.")
    make = partial(upscale_part, part=part, framing=options.framing, mask=options.mask, remember=surveys.get, **options.core)
    out = _in_the_memory_there_is(make, worker, descriptor, images, options, host, host.progress())
    return host.handed_on(out)


def _worker(descriptor: Any, options: Options, host: Host) -> Upscaler | OtherModel:
    """Return what runs a model: a copy of an ESC network, or tiles of the host for any other."""
    model = model_of(descriptor)
    if model is not None:
        return Upscaler(model, device=host.device(), precision=options.precision, memory_limit=options.limit_bytes)
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
    return _in_the_memory_there_is(make, worker, descriptor, images, options, host, progress)


def _in_the_memory_there_is(
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
