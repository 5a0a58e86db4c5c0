"""Arrays in, arrays out."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from functools import partial
from numbers import Integral
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .arrays.layout import layout_of
from .arrays.levels import Intensity, Levels, measure_levels
from .arrays.planes import TensorImage
from .arrays.sizes import runs_needed
from .arrays.stack import Stack, make_output
from .arrays.surveyed import PlaneSurvey, RunSurvey
from .catalog.load import load_model
from .device import choose_device, choose_dtype, instruction_set, precision_name
from .engine import Means, Need, NotFiniteError, Plan, Run, Share, Sink, Source, areas_for, make_plan, parts_that_fit
from .enlarge import Enlarger
from .errors import EscError, ImageError
from .network import ESC
from .network.grid import Geometry, Region
from .network.program import Program
from .progress import Cancel, Progress, part_of, rising, share_of
from .request import Request, Span, bits_of, checked_region, make_request
from .survey import Environment, Sampling, Survey, image_digest
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
        self._lock = Lock()
        self._overflows = False

    def with_memory_limit(self, memory_limit: int | None) -> Upscaler:
        """Return an upscaler with another limit, and the same networks."""
        other = copy.copy(self)
        other._networks, other._lock = self._networks, self._lock
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
        with self._lock:
            if dtype not in self._networks:
                # A copy, because casting is in place and the model may serve others.
                self._networks[dtype] = copy.deepcopy(self.model.network).to(self.device, dtype)
            return self._networks[dtype]

    def __getstate__(self) -> dict[str, Any]:
        """Travel to other processes without what is made again there."""
        return self.__dict__ | {"_networks": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrive there."""
        self.__dict__.update(state)
        self._lock = Lock()

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
        dtype = self.dtype_for(bits)
        geometry = self.network(dtype).geometry(height, width, size)
        return self._need(self.network(dtype).program(geometry), geometry, dtype, caller_bytes)

    def _need(
        self,
        program: Program,
        geometry: Geometry,
        dtype: torch.dtype,
        caller_bytes: int = 0,
        wanted: Region | None = None,
    ) -> Need:
        areas = areas_for(program, geometry, wanted) if wanted else ()
        return Need(program, geometry, 1, dtype.itemsize, caller_bytes, self.network(dtype).resident_bytes(), areas)

    def stream(
        self,
        source: Source,
        sink: Sink | None,
        height: int,
        width: int,
        *,
        size: tuple[int, int] | None = None,
        bits: int = 32,
        caller_bytes: int = 0,
        wanted: Region | None = None,
        counted: Region | None = None,
        known: RunSurvey | None = None,
        share: Share | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> RunSurvey:
        """Upscale one image piece by piece; neither input nor output need to exist as a whole.

        Parameters
        ----------
        source, sink
            Give (1, 3, h, w) in 0..1, and take (1, 3, h, w) float32, not clipped, in bands from top to bottom. Without a
            sink, only what a run must know of the whole image is looked for.
        height, width : int
            Of the input.
        size : tuple of int, optional
            Height and width of the output, for a model of any scale.
        bits : int
            Of a value of the image, see `dtype_for`.
        caller_bytes : int
            Host memory that the sink holds, to be counted into the plan.
        wanted, counted : Region, optional
            See `Run`.
        known : RunSurvey, optional
            What a run found. Then parts are rendered one after the other if maps of all would not fit into memory.
        share : Share, optional
            Other processes that work on bands of the same image.
        progress, cancel : callable, optional
            ``progress(done, total)`` and ``cancel() -> bool`` are called after each chunk of work.

        Returns
        -------
        RunSurvey
            What was found, or `known`.

        Raises
        ------
        Cancelled
            If `cancel` returned ``True``.
        EscError
            If the memory can't be had.
        """
        progress = rising(progress)
        dtype = getattr(torch, known.precision) if known else self.dtype_for(bits)
        network = self.network(dtype)
        geometry = network.geometry(height, width, size)
        program = network.program(geometry)
        if sink is None:
            # A precision that overflows in the last features is no good either.
            program = program.for_survey(features=dtype != torch.float32)
        whole = wanted or Region(0, 0, *geometry.grid)
        need = partial(self._need, program, geometry, dtype, caller_bytes)
        room = self.device, self.memory_limit
        parts = parts_that_fit(need, whole, *room) if known else [(whole, make_plan(need(whole), *room))]
        values = [torch.from_numpy(mean)[None].to(self.device) for mean in known.means] if known else []
        means, done, total = Means(values, share), 0, whole.height * whole.width
        try:
            for part, plan in parts:
                end = done + part.height * part.width
                told = share_of(progress, done / total, min(end / total, 1))
                run = Run(program, geometry, plan, source, sink, self.device, dtype, 1, told, cancel, means, part, counted)
                run.execute()
                done = end
        except NotFiniteError:
            name = precision_name(dtype)
            if known or self.precision == "float32":
                raise EscError(f"{self.model.name} overflows in {name} here; make the survey in float32.") from None
            logger.warning("%s overflows in %s; going on in float32.", self.model.name, name)
        else:
            return known or RunSurvey(precision_name(dtype), torch.cat(means.values).cpu().numpy())
        self._overflows = True
        # The sink has got nothing yet.
        return self.stream(
            source,
            sink,
            height,
            width,
            size=size,
            caller_bytes=caller_bytes,
            wanted=wanted,
            counted=counted,
            share=share,
            progress=progress,
            cancel=cancel,
        )

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
        region: Span | None = None,
        survey: Survey | None = None,
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
            Whether the filter that shrinks to the target works in linear light.
        consistency : bool
            Whether to correct the result so that its averages over each pixel of `image` are that pixel: summed intensities
            are kept, exactly for integers. See `esc_plugin.arrays.layout.consistency.project`.
        bits : int, optional
            Of a value, see `dtype_for`; by default those of the array's type. Floating values may have come from 8 bits.
        region : pair of pair of int, optional
            Rows and columns of the result, ``((top, bottom), (left, right))``, ends excluded. Only they are made, in memory
            that depends on them alone, and they are the same as in the whole result.
        survey : Survey, optional
            What `survey` returned for the same image and options. Without it, `region` makes it first, and throws it away.
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
        request = self.request(
            image,
            axes=axes,
            scale=scale,
            size=size,
            intensity=intensity,
            nan=nan,
            alpha=alpha,
            linear_light=linear_light,
            consistency=consistency,
            bits=bits,
        )
        part = checked_region(region, request.target)
        place = part or Region(0, 0, *request.target)
        out = make_output(image, request.layout.resized(place.height, place.width), out)
        if survey is not None:
            self.check(survey, request, image)
        elif part is not None:
            survey = self._survey(image, request, share_of(progress, 0, 0.5), cancel)
            progress = share_of(progress, 0.5, 1)
        stack = self.stack(request, self._levels(image, request, survey, cancel), part)
        known = survey.planes if survey else ()
        stack.check(image, known, cancel)
        stack.run(image, out, progress, cancel, known)
        return out

    def check(self, survey: Survey, request: Request, image: Any = None) -> None:
        """Raise an `ImageError` unless a survey serves this model, a request and an image."""
        if not isinstance(survey, Survey):
            raise ImageError(f"a survey must be what Upscaler.survey returned, not {survey!r:.99}.")
        model, layout = self.model, request.layout
        size = layout.height, layout.width
        steps = model.network.program(model.network.geometry(*size)).steps
        means = [step.mean for step in steps if step.mean]
        runs = runs_needed(size, request.target, model.scale, model.any_scale), (len(means), means[0])
        survey.check(model.name, model.sha256, request, image, model.fingerprint, runs)

    def survey(
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
        pixels: int | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Survey:
        """Find out what must be known of the whole image to upscale any part of it.

        Parameters
        ----------
        image, axes, scale, size, intensity, nan, alpha, linear_light, consistency, bits
            As in the call that the survey is for, see `__call__`.
        progress, cancel : callable, optional
            ``progress(done, total)`` and ``cancel() -> bool`` are called after each piece of work.

        Returns
        -------
        Survey
            What `__call__` takes.

        Raises
        ------
        ImageError, Cancelled, EscError
            As in `__call__`.
        """
        request = self.request(
            image,
            axes=axes,
            scale=scale,
            size=size,
            intensity=intensity,
            nan=nan,
            alpha=alpha,
            linear_light=linear_light,
            consistency=consistency,
            bits=bits,
        )
        return self._survey(image, request, progress, cancel)

    def _survey(self, image: Any, request: Request, progress: Progress | None, cancel: Cancel | None) -> Survey:
        levels = self._levels(image, request, None, cancel)
        stack = self.stack(request, levels)
        stack.check(image, cancel=cancel)
        planes = stack.run(image, None, progress, cancel)
        return self.surveyed(image, request, levels, planes)

    def surveyed(
        self,
        image: Any,
        request: Request,
        levels: list[Levels],
        planes: Sequence[PlaneSurvey],
        sampling: Sampling | None = None,
    ) -> Survey:
        """Return what was found as a survey."""
        return Survey(
            self.model.name,
            self.model.sha256,
            request,
            tuple(pair.pair for pair in levels),
            tuple(planes),
            image_digest(image, request.layout),
            Environment(torch.__version__, str(self.device), instruction_set(self.device)),
            self.model.fingerprint,
            sampling,
        )

    def request(self, image: Any, **options: Any) -> Request:
        """Return what a call asks for, checked as far as that can be without looking at pixels; see `__call__`."""
        return make_request(image, self.model.scale, **options)

    def stack(
        self, request: Request, levels: list[Levels], region: Region | None = None, share: Share | None = None
    ) -> Stack:
        """Return what makes the planes of a result, or a region of each."""
        enlarge = Enlarger(self, request.bits, share)
        keep = request.nan == "keep"
        options = request.alpha, request.linear_light, request.consistency
        return Stack(enlarge, request.layout, levels, request.target, keep, *options, region)

    def _levels(self, image: Any, request: Request, survey: Survey | None, cancel: Cancel | None) -> list[Levels]:
        dtype, wished = np.dtype(image.dtype), request.intensity
        if survey:
            return survey.levels_of(dtype)
        if not isinstance(wished, str):
            wished = [Levels(float(low), float(high), dtype) for low, high in wished]
        return measure_levels(image, request.layout, wished, request.nan, cancel)

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


def _checked_limit(memory_limit: Any) -> int | None:
    if memory_limit is None:
        return None
    if not isinstance(memory_limit, Integral) or isinstance(memory_limit, bool) or memory_limit < 1:
        raise EscError(f"memory_limit must be a whole number of bytes, such as 4 * 2**30, not {memory_limit!r}.")
    return int(memory_limit)


def check_batch(batch: Tensor) -> None:
    """Raise an `ImageError` unless `batch` is (B, 3, H, W), floating, with every axis from 1 on."""
    if not isinstance(batch, Tensor) or batch.ndim != 4 or batch.shape[1] != 3 or not batch.numel():
        shape = tuple(batch.shape) if isinstance(batch, Tensor) else type(batch).__name__
        raise ImageError(f"a batch must be a tensor (B, 3, H, W) with B, H, W >= 1, not {shape}.")
    if not batch.is_floating_point():
        raise ImageError(f"a batch must be floating point in 0..1, not {batch.dtype}.")
