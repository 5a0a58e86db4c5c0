"""Arrays in, arrays out."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .engine import Cancel, Need, Plan, Progress, Run, Sink, Source, make_plan
from .errors import EscError, ImageError
from .network.program import Region
from .weights.load import load_model
from .weights.model import Model

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Upscaler:
    """A model on a device, ready for images of any size.

    Parameters
    ----------
    model : Model or str
        What `load_model` returns or takes.
    device : str
        ``"auto"`` (CUDA, then Apple's MPS, then CPU) or a torch device.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Of the feature maps; means, norms and the image itself stay in float32.
    memory_limit : int, optional
        Bytes that may be used on the device; on a CPU, by the process beyond what it has now. By default most of what is
        free. The result doesn't depend on it.

    Raises
    ------
    EscError
        If the device or the precision can't be had.
    """

    def __init__(
        self,
        model: Model | str,
        *,
        device: str | torch.device = "auto",
        precision: str = "auto",
        memory_limit: int | None = None,
    ) -> None:
        self.model = load_model(model) if isinstance(model, str) else model
        self.device = choose_device(device)
        self.dtype = choose_precision(precision)
        self.memory_limit = memory_limit
        # A copy, because casting is in place and the model may serve others.
        self.network = copy.deepcopy(self.model.network).to(self.device, self.dtype)

    def plan(self, height: int, width: int, size: tuple[int, int] | None = None, caller_bytes: int = 0) -> Plan:
        """Return how an image of `height` x `width` would be worked on, see `esc_plugin.engine.plan`."""
        return make_plan(self._need(height, width, size, caller_bytes), self.device, self.memory_limit)

    def _need(self, height: int, width: int, size: tuple[int, int] | None, caller_bytes: int) -> Need:
        geometry = self.network.geometry(height, width, size)
        tensors = [*self.network.parameters(), *self.network.kept_tensors()]
        weights = sum(t.numel() * t.element_size() for t in tensors)
        return Need(self.network.program(geometry), geometry, 1, self.dtype.itemsize, caller_bytes, weights)

    def stream(
        self,
        source: Source,
        sink: Sink,
        height: int,
        width: int,
        *,
        size: tuple[int, int] | None = None,
        caller_bytes: int = 0,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Upscale one image piece by piece; neither input nor output need to exist as a whole.

        Parameters
        ----------
        source, sink
            Give (1, 3, h, w) in 0..1, and take (1, 3, h, w) float32, not clipped, in bands from top to bottom.
        height, width : int
            Of the input.
        size : tuple of int, optional
            Height and width of the output, for a model of any scale.
        caller_bytes : int
            Host memory that the sink holds, to be counted into the plan.
        progress, cancel : callable, optional
            ``progress(done, total)`` and ``cancel() -> bool`` are called after each chunk of work.

        Raises
        ------
        Cancelled
            If `cancel` returned ``True``.
        EscError
            If the memory can't be had.
        """
        need = self._need(height, width, size, caller_bytes)
        plan = make_plan(need, self.device, self.memory_limit)
        run = Run(need.program, need.geometry, plan, source, sink, self.device, self.dtype, 1, progress, cancel)
        run.execute()

    def run(
        self,
        batch: Tensor,
        *,
        size: tuple[int, int] | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Tensor:
        """Upscale a tensor, image by image.

        Parameters
        ----------
        batch : Tensor
            (B, 3, H, W), floating, in 0..1, on any device. It is not changed.
        size, progress, cancel
            See `stream`.

        Returns
        -------
        Tensor
            (B, 3, scale H, scale W), float32, on the device of `batch`, not clipped.
        """
        check_batch(batch)
        frames, _, height, width = batch.shape
        output = self.network.geometry(height, width, size).output
        out = torch.empty(frames, 3, *output, dtype=torch.float32, device=batch.device)
        for i in range(frames):
            source, sink = TensorImage(batch[i : i + 1]), TensorImage(out[i : i + 1])
            part = part_of(progress, i, frames)
            held = out.numel() * 4 if batch.device.type == "cpu" else 0
            self.stream(source, sink, height, width, size=size, caller_bytes=held, progress=part, cancel=cancel)
        return out

    def __call__(
        self,
        image: np.ndarray,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> np.ndarray:
        """Upscale a gray (H, W) or RGB (H, W, 3) image, uint8 or floating in 0..1.

        Returns
        -------
        numpy.ndarray
            Of the same dtype and number of axes, `scale` times as high and wide.

        Raises
        ------
        ImageError
            If it is no such image.
        """
        check_image(image)
        height, width = image.shape[:2]
        output = self.network.geometry(height, width).output
        out = np.empty((*output, *image.shape[2:]), image.dtype)
        self.stream(
            ArraySource(image),
            ArraySink(out),
            height,
            width,
            caller_bytes=out.nbytes,
            progress=progress,
            cancel=cancel,
        )
        return out


def upscale(image: np.ndarray, model: Model | str = "esc-nano-x2", **options: Any) -> np.ndarray:
    """Upscale an image: ``Upscaler(model)(image)`` in one call.

    Keyword arguments go to where they are known: device, precision and memory_limit to `Upscaler`, the others to its call.
    """
    set_up = {name: options.pop(name) for name in ("device", "precision", "memory_limit") if name in options}
    return Upscaler(model, **set_up)(image, **options)


class TensorImage:
    """A tensor (1, 3, H, W) as source or sink."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def read(self, region: Region) -> Tensor:
        """See `esc_plugin.engine.Source`."""
        return self.tensor[..., region.top : region.bottom, region.left : region.right].float()

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `esc_plugin.engine.Sink`."""
        self.tensor[..., region.top : region.bottom, region.left : region.right] = tensor


class ArraySource:
    """A gray or RGB array, converted only where and when it is read."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image

    def read(self, region: Region) -> Tensor:
        """See `esc_plugin.engine.Source`."""
        part = self.image[region.top : region.bottom, region.left : region.right]
        values = torch.from_numpy(np.ascontiguousarray(part, np.float32))
        values = values / 255 if self.image.dtype == np.uint8 else values
        values = values.expand(3, -1, -1) if values.ndim == 2 else values.permute(2, 0, 1)
        return values[None]


class ArraySink:
    """A gray or RGB array that is filled piece by piece."""

    def __init__(self, out: np.ndarray) -> None:
        self.out = out

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `esc_plugin.engine.Sink`."""
        values = tensor[0].permute(1, 2, 0) if self.out.ndim == 3 else tensor[0].mean(0)
        if self.out.dtype == np.uint8:
            values = (values * 255).round_().clamp_(0, 255)
        self.out[region.top : region.bottom, region.left : region.right] = values.cpu().numpy()


def check_batch(batch: Tensor) -> None:
    """Raise an `ImageError` unless `batch` is (B, 3, H, W), floating, with every axis from 1 on."""
    if not isinstance(batch, Tensor) or batch.ndim != 4 or batch.shape[1] != 3 or not batch.numel():
        shape = tuple(batch.shape) if isinstance(batch, Tensor) else type(batch).__name__
        raise ImageError(f"a batch must be a tensor (B, 3, H, W) with B, H, W >= 1, not {shape}.")
    if not batch.is_floating_point():
        raise ImageError(f"a batch must be floating point in 0..1, not {batch.dtype}.")


def check_image(image: np.ndarray) -> None:
    """Raise an `ImageError` unless the array is what `Upscaler.__call__` takes."""
    shape = getattr(image, "shape", None)
    if shape is None or not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) or 0 in shape:
        raise ImageError(f"an image must have shape (H, W) or (H, W, 3), not {shape or type(image).__name__}.")
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise ImageError(f"an image must be uint8 or floating point in 0..1, not {image.dtype}.")


def part_of(progress: Progress | None, index: int, count: int) -> Progress | None:
    """Return a progress callback for one of `count` equal parts."""
    if progress is None:
        return None
    return lambda done, total: progress(index * total + done, count * total)


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device that a user means.

    Raises
    ------
    EscError
        If this torch can't use it.
    """
    if device == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise EscError(f"can't use device {device!r}: {str(error).splitlines()[0]}") from None
    return chosen


def choose_precision(precision: str) -> torch.dtype:
    """Return the dtype that a user means.

    Raises
    ------
    EscError
        If there is no such precision.
    """
    if precision == "auto":
        return torch.float32
    if precision not in PRECISIONS:
        raise EscError(f"unknown precision {precision!r}; known are auto, {', '.join(PRECISIONS)}.")
    return PRECISIONS[precision]
