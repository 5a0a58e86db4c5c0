"""Batches of images as tensors (B, H, W, C) in 0..1, the form in which node programs hand them around."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .arrays import resample
from .arrays.planes import TensorImage
from .arrays.resample import Size
from .device import total_bytes
from .errors import EscError, ImageError
from .progress import Cancel, Progress, part_of
from .upscaler import Upscaler

if TYPE_CHECKING:
    from PIL.Image import Image

#: ``render(i, image)`` gives image `i`, (H, W, 3), enlarged.
Render = Callable[[int, Tensor], Tensor]


def upscale_images(
    upscaler: Upscaler,
    images: Tensor,
    *,
    size: Size | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    watch: Callable[[Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Upscale a batch, image by image, exactly as `Upscaler.__call__` does with intensities in 0..1.

    Parameters
    ----------
    upscaler : Upscaler
        Its memory limit is for one image at a time; the batch itself is the caller's.
    images : Tensor
        (B, H, W, 3) or, with opacity, (B, H, W, 4); floating, in 0..1, on any device. They are not changed.
    size : tuple of int, optional
        Height and width of the result; by default the model's scale times the image.
    progress, cancel : callable, optional
        See `Upscaler.stream`.
    watch : callable, optional
        ``watch(image, result)`` is called before the work on each image starts; the result (height, width, C) is NaN, and
        is filled in piece by piece.

    Returns
    -------
    Tensor
        (B, height, width, C), float32 on the CPU, in 0..1.

    Raises
    ------
    ImageError
        If the images or the size can't be used.
    Cancelled
        If `cancel` returned ``True``.
    """
    check_images(images)
    bits = bits_of(images)
    scale, (height, width) = upscaler.model.scale, images.shape[1:3]
    size = size or (height * scale, width * scale)
    out = torch.full((len(images), *size, images.shape[3]), torch.nan)
    for i, (image, result) in enumerate(zip(images, out, strict=True)):
        if watch:
            watch(image, result)
        upscaler(
            image.float().cpu().numpy(),
            axes="YXS",
            size=size,
            intensity="range",
            bits=bits,
            out=result.numpy(),
            progress=part_of(progress, i, len(images)),
            cancel=cancel,
        )
    return out.clamp_(0, 1)


def render_images(images: Tensor, size: Size | None, render: Render) -> Tensor:
    """Enlarge a batch by something that knows nothing of sizes and opacity: both are resized with a Lanczos filter.

    Parameters
    ----------
    images, size
        See `upscale_images`; by default the size is what `render` makes.
    render : callable
        See `Render`.

    Returns
    -------
    Tensor
        (B, height, width, C), float32 on the CPU, in 0..1.
    """
    check_images(images)
    results = []
    for i, image in enumerate(images):
        colours = render(i, image[..., :3])
        final = size or (colours.shape[0], colours.shape[1])
        parts = [resize(colours, final)]
        if image.shape[2] == 4:
            parts.append(resize(image[..., 3:].expand(-1, -1, 3), final)[..., :1])
        results.append(torch.cat(parts, 2).clamp_(0, 1))
    return torch.stack(results)


def resize(image: Tensor, size: Size) -> Tensor:
    """Resize (H, W, 3) to `size` with a Lanczos filter, antialiased; float32 on the CPU."""
    planes = image.float().cpu().permute(2, 0, 1)[None]
    out = torch.empty(1, 3, *size)
    resample.resize(TensorImage(planes), TensorImage(out), (image.shape[0], image.shape[1]), size)
    return out[0].permute(1, 2, 0)


def check_images(images: Tensor) -> None:
    """Raise an `ImageError` unless `images` is (B, H, W, 3 or 4), floating, with every axis from 1 on."""
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[3] not in (3, 4) or not images.numel():
        shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ImageError(f"images must be a tensor (B, H, W, 3 or 4) with B, H, W >= 1, not {shape}.")
    if not images.is_floating_point():
        raise ImageError(f"images must be floating point in 0..1, not {images.dtype}.")


def wanted_bytes(upscaler: Upscaler, images: Tensor) -> int:
    """Return how many bytes `upscale_images` should find free on the device, to ask a host for them.

    That is what it plans to take, and if what is free now would make it slow, what it would take on an empty device.

    Raises
    ------
    EscError
        If an image can't be worked on under the memory limit, or on this device.
    """
    (height, width), bits = images.shape[1:3], bits_of(images)
    if upscaler.memory_limit is None:
        with contextlib.suppress(EscError):
            plan = upscaler.plan(height, width, bits=bits)
            if all(home == "device" for home in plan.storage.values()):
                return plan.device_bytes
        upscaler = upscaler.with_memory_limit(total_bytes(upscaler.device))
    return upscaler.plan(height, width, bits=bits).device_bytes


def bits_of(images: Tensor) -> int:
    """Return the bits of a value: 8 if all are 255ths, as they are in pictures from files of 8 bits; else those of the type.

    A batch of tensors has lost the type that an image file had, and with it what decides the precision.
    """
    if images.dtype == torch.float16:  # 255ths are not exact, and it has hardly more steps than they
        return 8
    return 8 if all(_of_eight_bits(image) for image in images) else 32


def _of_eight_bits(image: Tensor) -> bool:
    levels = image.float() * 255
    return bool(((levels - levels.round()).abs() < 1e-3).all())


def thumbnail(image: Tensor, result: Tensor, edge: int = 512) -> Image:
    """Make a small picture of an unfinished result, for a quick look: every n-th pixel.

    Parameters
    ----------
    image : Tensor
        (H, W, 3 or more) in 0..1: what is shown where nothing is finished.
    result : Tensor
        (height, width, 3 or more) in 0..1, NaN where it isn't finished.
    edge : int
        The longer edge of the picture is at most this long.
    """
    from PIL import Image

    step = -(-max(result.shape[:2]) // edge)
    part = result[::step, ::step, :3].cpu()
    rows, columns = (torch.arange(0, n, step) * m // n for n, m in zip(result.shape[:2], image.shape[:2], strict=True))
    behind = image.float().cpu()[rows][:, columns, :3]
    values = torch.where(part.isnan(), behind, part).clamp(0, 1) * 255
    return Image.fromarray(values.round().byte().numpy())
