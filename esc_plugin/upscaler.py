"""Arrays in, arrays out."""

from __future__ import annotations

import copy
import logging
from contextlib import ExitStack, closing
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .arrays.layout import layout_of
from .arrays.levels import Intensity, Levels, measure_levels
from .arrays.planes import TensorImage
from .arrays.resample import Resampler, resize, runs_needed
from .arrays.sizes import choose_target
from .arrays.stack import Stack, make_output
from .catalog.load import load_model
from .device import choose_device, choose_dtype, free_bytes, precision_name
from .engine import Need, NotFiniteError, Plan, Run, Sink, Source, make_plan
from .engine.maps import FileMap, TensorMap, make_map
from .errors import EscError, ImageError
from .network import ESC
from .progress import Cancel, Progress, part_of, share_of
from .weights.model import Model

logger = logging.getLogger(__name__)


class Upscaler:
    """A model on a device, ready for images of any size.

    Parameters
    ----------
    model : Model or str
        What `load_model` returns or takes.
    device : str
        ``"auto"`` (CUDA, then Apple's MPS, then CPU) or a torch device.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Of the feature maps; means, norms and the image itself stay in float32. ``"auto"`` is float32, but for 8-bit images
        where something shorter is faster and as good to the eye, see `dtype_for`. Where a shorter one overflows, float32 is
        taken from then on, with a warning.
    memory_limit : int, optional
        Bytes that may be used on the device; on a CPU, by the process beyond what it has now. By default most of what is
        free. The result doesn't depend on it.

    Raises
    ------
    EscError
        If the device, the precision or the memory limit can't be had.
    """

    def __init__(
        self,
        model: Model | str,
        *,
        device: str | torch.device = "auto",
        precision: str = "auto",
        memory_limit: int | None = None,
    ) -> None:
        self.device = choose_device(device)
        self.precision = precision
        self.memory_limit = _checked_limit(memory_limit)
        choose_dtype(precision, self.device)  # an unknown one is an error before the model is loaded
        self.model = model if isinstance(model, Model) else load_model(model)
        self._networks: dict[torch.dtype, ESC] = {}
        self._overflows = False

    def with_memory_limit(self, memory_limit: int | None) -> Upscaler:
        """Return an upscaler with another limit, and the same networks."""
        other = copy.copy(self)
        other.memory_limit = _checked_limit(memory_limit)
        return other

    def dtype_for(self, bits: int) -> torch.dtype:
        """Return the precision of the feature maps for an image with so many bits a value.

        That is the one that was asked for. For ``"auto"`` it is float32, or for images of 8 bits something shorter where
        that is faster and was measured to be as good for this model, see `CatalogEntry.harmless`.
        """
        if self._overflows:
            return torch.float32
        return choose_dtype(self.precision, self.device, self.model.card.get("harmless", ""), bits)

    def precision_for(self, image: Any) -> str:
        """Return the name of the precision for an array, see `dtype_for`; after a run, what it really was."""
        return precision_name(self.dtype_for(bits_of(image)))

    def network(self, dtype: torch.dtype = torch.float32) -> ESC:
        """Return the network on the device, in a precision."""
        if dtype not in self._networks:
            # A copy, because casting is in place and the model may serve others.
            self._networks[dtype] = copy.deepcopy(self.model.network).to(self.device, dtype)
        return self._networks[dtype]

    def plan(
        self,
        height: int,
        width: int,
        size: tuple[int, int] | None = None,
        *,
        bits: int = 32,
        caller_bytes: int = 0,
    ) -> Plan:
        """Return how an image with `bits` a value would be worked on, see `esc_plugin.engine.plan`."""
        need = self.need(height, width, size, bits=bits, caller_bytes=caller_bytes)
        return make_plan(need, self.device, self.memory_limit)

    def need(
        self, height: int, width: int, size: tuple[int, int] | None = None, *, bits: int = 32, caller_bytes: int = 0
    ) -> Need:
        """Return what an image asks of the memory, see `plan`."""
        return self._need(self.dtype_for(bits), height, width, size, caller_bytes)

    def _need(self, dtype: torch.dtype, height: int, width: int, size: tuple[int, int] | None, caller_bytes: int) -> Need:
        network = self.network(dtype)
        geometry = network.geometry(height, width, size)
        weights = network.resident_bytes()
        return Need(network.program(geometry), geometry, 1, dtype.itemsize, caller_bytes, weights)

    def stream(
        self,
        source: Source,
        sink: Sink,
        height: int,
        width: int,
        *,
        size: tuple[int, int] | None = None,
        bits: int = 32,
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
        bits : int
            Of a value of the image, see `dtype_for`.
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
        dtype = self.dtype_for(bits)
        need = self._need(dtype, height, width, size, caller_bytes)
        plan = make_plan(need, self.device, self.memory_limit)
        run = Run(need.program, need.geometry, plan, source, sink, self.device, dtype, 1, progress, cancel)
        try:
            run.execute()
        except NotFiniteError:
            logger.warning("%s overflows in %s; going on in float32.", self.model.name, precision_name(dtype))
        else:
            return
        self._overflows = True
        # The sink has got nothing yet.
        self.stream(source, sink, height, width, size=size, caller_bytes=caller_bytes, progress=progress, cancel=cancel)

    def run(
        self,
        batch: Tensor,
        *,
        size: tuple[int, int] | None = None,
        bits: int = 32,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Tensor:
        """Upscale a tensor, image by image.

        Parameters
        ----------
        batch : Tensor
            (B, 3, H, W), floating, in 0..1, on any device. It is not changed.
        size, bits, progress, cancel
            See `stream`.

        Returns
        -------
        Tensor
            (B, 3, scale H, scale W), float32, on the device of `batch`, not clipped.
        """
        check_batch(batch)
        frames, _, height, width = batch.shape
        output = self.model.network.geometry(height, width, size).output
        out = torch.empty(frames, 3, *output, dtype=torch.float32, device=batch.device)
        for i in range(frames):
            source, sink = TensorImage(batch[i : i + 1]), TensorImage(out[i : i + 1])
            self.stream(
                source,
                sink,
                height,
                width,
                size=size,
                bits=bits,
                caller_bytes=out.numel() * 4 if batch.device.type == "cpu" else 0,
                progress=part_of(progress, i, frames),
                cancel=cancel,
            )
        return out

    def enlarge(
        self,
        source: Source,
        sink: Sink,
        size: tuple[int, int],
        target: tuple[int, int],
        *,
        linear_light: bool = False,
        bits: int = 32,
        caller_bytes: int = 0,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Upscale one image of `size` (height, width) to any `target`, piece by piece.

        A network for any scale renders the target itself. Another one runs until nothing is too small, then a Lanczos filter
        shrinks what it made, in linear light if wanted. What doesn't grow is only filtered. For the rest see `stream`.
        """
        any_scale = self.model.any_scale
        runs = runs_needed(size, target, self.model.scale, any_scale)
        if not runs:
            resize(source, sink, size, target, linear_light)
        cost = [self.model.scale ** (2 * i) for i in range(runs)]
        with ExitStack() as maps:
            for i in range(runs):
                made = target if any_scale else (size[0] * self.model.scale, size[1] * self.model.scale)
                step: Sink = sink
                if i < runs - 1:
                    step = between = maps.enter_context(closing(intermediate(made)))
                elif made != target:
                    step = Resampler(sink, made, target, linear_light)
                part = share_of(progress, sum(cost[:i]) / sum(cost), sum(cost[: i + 1]) / sum(cost))
                self.stream(
                    source, step, *size, size=made, bits=bits, caller_bytes=caller_bytes, progress=part, cancel=cancel
                )
                size = made
                if i < runs - 1:
                    source = between

    def __call__(
        self,
        image: Any,
        *,
        axes: str | None = None,
        scale: float | None = None,
        size: tuple[int, int] | None = None,
        intensity: Intensity = "auto",
        nan: str = "error",
        alpha: str = "network",
        linear_light: bool = False,
        consistency: bool = False,
        bits: int | None = None,
        out: Any = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Any:
        """Upscale an image or a stack of images.

        Parameters
        ----------
        image : array
            bool, integer up to 32 bits or floating; NumPy (any strides and byte order), or what is read by index, such as
            dask and zarr: then plane by plane. It is not changed.
        axes : str, optional
            A letter per axis: Y, X, S for gray, LA, RGB or RGBA samples, any others for planes that are upscaled one by one,
            channels (C) as gray. By default guessed, see `esc_plugin.arrays.layout.layout_of`.
        scale, size : float, tuple of int, optional
            Of the result: a factor above 0, or height and width. By default the model's scale.
        intensity : str, or pair of float, or a pair for each channel
            The values that the network sees as 0 and 1, see `esc_plugin.arrays.levels.measure_levels`: ``"auto"``,
            ``"range"``, ``"minmax"``, ``"percentile"``, or (low, high), the same for all planes of a channel (C). What lies
            beyond them is enlarged by linear interpolation and added to the result.
        nan : {"error", "keep"}
            What to do about NaN and infinity. ``"keep"`` puts them back where they were.
        alpha : {"network", "lanczos"}
            What upscales transparency. Colours are multiplied by it before and divided after. Where all is opaque, nothing
            is done.
        linear_light : bool
            See `enlarge`.
        consistency : bool
            Whether to correct the result so that its averages over each pixel of `image` are that pixel: summed intensities
            are kept, exactly for integers. See `esc_plugin.arrays.layout.consistency.project`.
        bits : int, optional
            Of a value, see `dtype_for`; by default those of the array's type. Floating values may have come from 8 bits.
        out : array, optional
            What to fill and return, of the result's shape and dtype: a memory-mapped file, say.
        progress, cancel : callable, optional
            ``progress(done, total)`` and ``cancel() -> bool`` are called after each piece of work.

        Returns
        -------
        numpy.ndarray
            The same axes in the same order, with Y and X enlarged, and the same dtype. Integers are rounded and clipped to
            their type.

        Raises
        ------
        ImageError
            If the image or an option can't be used; nothing has been done by then.
        Cancelled
            If `cancel` returned ``True``.
        EscError
            If the memory can't be had.
        """
        layout = layout_of(image, axes)
        target = choose_target(layout, self.model.scale if scale is None and size is None else scale, size)
        bits = bits_of(image) if bits is None else _checked_bits(bits)
        levels = measure_levels(image, layout, intensity, nan, cancel)
        enlarge = partial(self.enlarge, bits=bits)
        stack = Stack(enlarge, layout, levels, target, nan == "keep", alpha, linear_light, consistency)
        stack.check(image)
        out = make_output(image, layout.resized(*target), out)
        stack.run(image, out, progress, cancel)
        return out

    @staticmethod
    def levels(
        image: Any,
        *,
        axes: str | None = None,
        intensity: Intensity = "auto",
        nan: str = "error",
        cancel: Cancel | None = None,
    ) -> list[Levels]:
        """Measure what the network would see as 0 and 1, to be given as `intensity` for the image or any part of it.

        Parameters
        ----------
        image, axes, intensity, nan
            See `__call__`.

        Returns
        -------
        list of Levels
            By channel.
        """
        return measure_levels(image, layout_of(image, axes), intensity, nan, cancel)


def upscale(image: Any, model: Model | str = "esc-nano-x2", **options: Any) -> Any:
    """Upscale an image: ``Upscaler(model)(image)`` in one call.

    Keyword arguments go to where they are known: device, precision and memory_limit to `Upscaler`, the others to its call.
    """
    set_up = {name: options.pop(name) for name in ("device", "precision", "memory_limit") if name in options}
    return Upscaler(model, **set_up)(image, **options)


def bits_of(image: Any) -> int:
    """Return the bits of a value of an array."""
    return int(np.dtype(image.dtype).itemsize) * 8


def _checked_limit(memory_limit: Any) -> int | None:
    if memory_limit is None:
        return None
    if not isinstance(memory_limit, Integral) or isinstance(memory_limit, bool) or memory_limit < 1:
        raise EscError(f"memory_limit must be a whole number of bytes, such as 4 * 2**30, not {memory_limit!r}.")
    return int(memory_limit)


def _checked_bits(bits: Any) -> int:
    if not isinstance(bits, Integral) or not 1 <= int(bits) <= 64:
        raise ImageError(f"bits must be those of a value of the image, a whole number from 1 to 64, not {bits!r}.")
    return int(bits)


def intermediate(size: tuple[int, int]) -> TensorMap | FileMap:
    """Make a map for an image of `size` between two runs: in memory if that takes little of it, else in a file."""
    cpu = torch.device("cpu")
    small = 12 * size[0] * size[1] < free_bytes(cpu) / 8
    return make_map("host" if small else "disk", (1, *size, 3), torch.float32, cpu)


def check_batch(batch: Tensor) -> None:
    """Raise an `ImageError` unless `batch` is (B, 3, H, W), floating, with every axis from 1 on."""
    if not isinstance(batch, Tensor) or batch.ndim != 4 or batch.shape[1] != 3 or not batch.numel():
        shape = tuple(batch.shape) if isinstance(batch, Tensor) else type(batch).__name__
        raise ImageError(f"a batch must be a tensor (B, 3, H, W) with B, H, W >= 1, not {shape}.")
    if not batch.is_floating_point():
        raise ImageError(f"a batch must be floating point in 0..1, not {batch.dtype}.")
