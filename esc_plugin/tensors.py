"""Batches of images as tensors (B, H, W, C) in 0..1, the form in which node programs hand them around."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .arrays.consistency import clip_blocks
from .arrays.framing import Frame, Framing
from .arrays.passes import described, pass_sizes
from .arrays.sizes import Size, enlarged_span
from .device import total_bytes
from .errors import EscError, ImageError
from .network.grid import Region
from .other_model import OtherModel
from .progress import Cancel, Progress, part_of
from .survey import Survey
from .upscaler import Upscaler
from .weights.model import Model

if TYPE_CHECKING:
    from PIL.Image import Image

#: ``watch(image, result)`` sees (H, W, C) and what is made of it, which is NaN and filled in piece by piece.
Watch = Callable[[Tensor, Tensor], None]
#: ``remember(key, make)`` returns what ``make()`` made for an equal key, now or before.
Remember = Callable[[Any, Callable[[], Survey]], Survey]
#: How an image is handed to an upscaler: floating values have levels of 0 and 1.
AS_TENSOR = {"axes": "YXS", "intensity": "range"}


def upscale_images(
    upscaler: Upscaler | OtherModel,
    images: Tensor,
    framing: Framing | None = None,
    *,
    mask: Tensor | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    watch: Watch | None = None,
    **options: Any,
) -> Tensor:
    """Upscale a batch, image by image, exactly as `Upscaler.__call__` does with intensities in 0..1.

    Parameters
    ----------
    upscaler : Upscaler or OtherModel
        Its memory limit is for one image at a time; the batch itself is the caller's.
    images : Tensor
        (B, H, W, 3) or, with opacity, (B, H, W, 4); floating, in 0..1, on any device. They are not changed. Where colours go
        beyond 0..1, the network sees them clipped, and what was clipped off is enlarged by linear interpolation and added.
    framing : Framing, optional
        How large the results shall be; by default as the model makes them.
    mask : Tensor, optional
        (B, h, w) or one for all, (1, h, w) or (h, w), in 0..1: where the model counts, see `Upscaler.__call__`.
    progress, cancel : callable, optional
        See `Upscaler.stream`.
    watch : callable, optional
        Told before the work on each image starts, see `Watch`.
    **options
        Others of `Upscaler.__call__`: strength, passes, alpha, linear_light, consistency.

    Returns
    -------
    Tensor
        (B, height, width, C), float32 on the CPU, in the range of each image, but 0..1 at least.

    Raises
    ------
    ImageError
        If the images or the size can't be used.
    Cancelled
        If `cancel` returned ``True``.
    """
    check_images(images)
    masks = _masks(mask, len(images))
    frame = framed(upscaler, images, framing)
    options |= AS_TENSOR | {"size": frame.enlarged, "bits": bits_of(images)}
    out = torch.empty(len(images), *frame.size, images.shape[3])
    for i, image in enumerate(images):
        made = torch.full((*frame.enlarged, images.shape[3]), torch.nan) if frame.crop else out[i].fill_(torch.nan)
        if watch:
            watch(image, made)
        own = options | _masked(masks, i)
        upscaler(as_array(image), **own, out=made.numpy(), progress=part_of(progress, i, len(images)), cancel=cancel)
        _within_range(made, image, bool(options.get("consistency")))
        if frame.crop:
            out[i] = made[_shown(frame).slices]
    return out


def upscale_part(
    upscaler: Upscaler,
    images: Tensor,
    part: Region,
    framing: Framing | None = None,
    *,
    remember: Remember,
    mask: Tensor | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    **options: Any,
) -> Tensor:
    """Return a part of what `upscale_images` makes of a batch, to the bit.

    Parameters
    ----------
    part : Region
        In pixels of the images. What of it lies outside of them, or is cut off by `framing`, can't be seen.
    remember : callable
        Keeps what is known of whole images, see `Remember`: another part of the same image needs no survey.
    upscaler, images, framing, mask, progress, cancel, **options
        See `upscale_images`.

    Raises
    ------
    ImageError
        If nothing of the part is inside of the images, or of what is shown of them.
    """
    check_images(images)
    masks = _masks(mask, len(images))
    frame = framed(upscaler, images, framing)
    region = _enlarged(part, (images.shape[1], images.shape[2]), frame.enlarged)
    seen = region.meet(_shown(frame))
    if not seen.height or not seen.width:
        raise ImageError("the part isn't in the result, which is cropped to its middle.")
    options |= AS_TENSOR | {"size": frame.enlarged, "bits": bits_of(images)}
    made = torch.empty(region.height, region.width, images.shape[3])
    out = torch.empty(len(images), seen.height, seen.width, images.shape[3])
    spans = (region.top, region.bottom), (region.left, region.right)
    for i, image in enumerate(images):
        array = as_array(image)
        request = upscaler.request(array, **options)
        # Of all values: the digest of a survey looks at some pixels.
        digest = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
        key = upscaler.model.fingerprint, str(upscaler.device), upscaler.precision, request, digest
        make = partial(upscaler.survey, array, progress=part_of(progress, i, len(images)), cancel=cancel, **options)
        survey = remember(key, make)
        own = options | _masked(masks, i)
        upscaler(array, region=spans, survey=survey, out=made.numpy(), cancel=cancel, **own)
        _within_range(made, image, bool(options.get("consistency")), part)
        out[i] = made[seen.within(region).slices]
    return out


def framed(upscaler: Upscaler | OtherModel, images: Tensor, framing: Framing | None) -> Frame:
    """Return the size of the results of a batch."""
    return (framing or Framing()).frame(images.shape[1], images.shape[2], scale_of(upscaler))


def scale_of(upscaler: Upscaler | OtherModel) -> int:
    """Return by how much a model enlarges if no size is asked for."""
    return _model(upscaler).scale


def _shown(frame: Frame) -> Region:
    (top, bottom), (left, right) = frame.crop or ((0, frame.enlarged[0]), (0, frame.enlarged[1]))
    return Region(top, left, bottom, right)


def _model(upscaler: Upscaler | OtherModel) -> Model | OtherModel:
    return upscaler if isinstance(upscaler, OtherModel) else upscaler.model


def words_for(
    upscaler: Upscaler | OtherModel,
    images: Tensor,
    framing: Framing | None,
    passes: int | None = None,
    mask: Tensor | None = None,
) -> str:
    """Say in words what is done with a batch, such as "640 x 480 to 1664 x 1248: 1 pass x2, then Lanczos x1.3"."""
    black = mask is not None and not mask.any()
    passes = 0 if black else passes
    (height, width), frame, model = images.shape[1:3], framed(upscaler, images, framing), _model(upscaler)
    steps = described((height, width), frame.enlarged, model.scale, passes, model.any_scale)
    crop = f", cropped from {frame.enlarged[1]} x {frame.enlarged[0]}" if frame.crop else ""
    why = ", because the mask is black everywhere" if black else ""
    return f"{width} x {height} to {frame.size[1]} x {frame.size[0]}: {steps}{crop}{why}."


def blended(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Blend `share` of the second images into the first, (B, H, W, C), which are changed and returned."""
    return first.lerp_(second, share)


def _enlarged(part: Region, size: Size, target: Size) -> Region:
    inside = part.meet(Region(0, 0, *size))
    if not inside.height or not inside.width:
        raise ImageError(
            f"the part x {part.left} to {part.right}, y {part.top} to {part.bottom} isn't inside of the image, "
            f"which has {size[1]} x {size[0]} pixels (width x height)."
        )
    top, bottom = enlarged_span(inside.top, inside.bottom, size[0], target[0])
    left, right = enlarged_span(inside.left, inside.right, size[1], target[1])
    return Region(top, left, bottom, right)


def _masks(mask: Tensor | None, count: int) -> list[np.ndarray]:
    """Return a mask (h, w) for each image, or none."""
    if mask is None:
        return []
    if not isinstance(mask, Tensor) or mask.ndim not in (2, 3) or (mask.ndim == 3 and len(mask) not in (1, count)):
        shape = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ImageError(f"a mask must be a tensor (h, w), or one for each of the {count} images, (B, h, w), not {shape}.")
    return list(as_array(mask.expand(count, *mask.shape[-2:])))


def _masked(masks: list[np.ndarray], index: int) -> dict[str, Any]:
    """Return what is asked for an image by its mask; where that is black everywhere, no network has to run."""
    if not masks:
        return {}
    return {"mask": masks[index]} | ({} if masks[index].any() else {"strength": 0.0})


def as_array(tensor: Tensor) -> np.ndarray:
    """Return the values of a tensor as float32 in host memory, without a copy where that can be."""
    array: np.ndarray = tensor.detach().float().cpu().numpy()
    return array


def _within_range(result: Tensor, image: Tensor, consistency: bool, part: Region | None = None) -> None:
    """Clip a result to 0..1; of an image that goes beyond, to what it spans. Averages that are kept stay so.

    With a `part`, the result is what was made of that.
    """
    colours = image[..., :3]
    low, high = min(float(colours.min()), 0.0), max(float(colours.max()), 1.0)
    if consistency:
        plane = colours[part.slices] if part else colours
        clip_blocks(result[..., :3].numpy(), as_array(plane), low, high)
    result[..., :3].clamp_(low, high)
    result[..., 3:].clamp_(0, 1)


def check_images(images: Tensor) -> None:
    """Raise an `ImageError` unless `images` is (B, H, W, 3 or 4), floating, with every axis from 1 on, finite."""
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[3] not in (3, 4) or not images.numel():
        shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ImageError(f"images must be a tensor (B, H, W, 3 or 4) with B, H, W >= 1, not {shape}.")
    if not images.is_floating_point():
        raise ImageError(f"images must be floating point in 0..1, not {images.dtype}.")
    # Now, rather than after the work on those before it.
    if wrong := [i for i, image in enumerate(images, 1) if not image.isfinite().all()]:
        raise ImageError(f"image {wrong[0]} of {len(images)} holds NaN or infinity; what made it went wrong.")


def wanted_bytes(upscaler: Upscaler, images: Tensor, framing: Framing | None = None, passes: int | None = None) -> int:
    """Return how many bytes `upscale_images` should find free on the device, to ask a host for them.

    That is what it plans to take, and if what is free now would make it slow, what it would take on an empty device.

    Raises
    ------
    EscError
        If an image can't be worked on under the memory limit, or on this device.
    """
    frame, size, bits = framed(upscaler, images, framing), (images.shape[1], images.shape[2]), bits_of(images)
    model = upscaler.model
    made = pass_sizes(size, frame.enlarged, model.scale, model.any_scale, passes)
    if len(made) < 2:
        return 0  # a filter runs, on the host
    seen, target = made[-2:]  # by the last pass, which is the largest
    if upscaler.memory_limit is None:
        with contextlib.suppress(EscError):
            plan = upscaler.plan(*seen, target, bits=bits)
            if all(home == "device" for home in plan.storage.values()):
                return plan.device_bytes
        upscaler = upscaler.with_memory_limit(total_bytes(upscaler.device))
    return upscaler.plan(*seen, target, bits=bits).device_bytes


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
