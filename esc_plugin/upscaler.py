"""Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from logging import getLogger
from typing import Any

import numpy as np
import torch

from .arrays.blend import checked_mask, weight_of
from .arrays.chunks import chunks_for
from .arrays.framing import RegionSpans
from .arrays.layout import layout_of
from .arrays.lazy import lazy_array
from .arrays.levels import Intensity, Levels, measure_levels
from .arrays.passes import described
from .arrays.piece import Enlarge
from .arrays.shared import share_means
from .arrays.sizes import choose_target
from .arrays.stack import Stack, make_output
from .arrays.surveyed import PlaneSurvey
from .catalog.by_default import Choice, check_choice, default_model
from .catalog.traits import Traits
from .device import instruction_set, on_its_threads
from .engine import ProcessGroup
from .enlarge import Enlarger
from .errors import EscError, ImageError
from .network.grid import Region
from .progress import Cancel, Progress, share_of
from .renderer import Renderer
from .request import Request, bits_of, checked_region, make_request
from .runner import Runner, check_batch
from .sampling import Estimator, Sampler, checked_pixels
from .survey import Environment, Sampling, Survey, image_digest
from .texts import quoted
from .weights.model import Model

logger = getLogger(__name__)

__all__ = ["RegionSpans", "Upscaler", "bits_of", "check_batch", "checked_region", "upscale"]


class Upscaler(Runner):
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
    threads : int
        The most threads of a CPU to compute on; 0 for as many as torch has, and this process may use. The result doesn't
        depend on it.

    Raises
    ------
    EscError
        If the device, the precision, the memory limit or so many threads can't be had.
    """

    @on_its_threads
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
        shared: str | None = None,
        region: RegionSpans | None = None,
        survey: Survey | None = None,
        out: Any = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        passes: int | None = None,
        strength: float = 1.0,
        mask: Any = None,
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
            Whether the filter that resizes to the target works in linear light.
        consistency : bool
            Whether to correct the result so that its averages over each pixel of `image` are that pixel: summed intensities
            are kept, exactly for integers. See `esc_plugin.arrays.consistency.project`.
        bits : int, optional
            Of a value, see `dtype_for`; by default those of the array's type. Floating values may have come from 8 bits.
        shared : str, optional
            Axes whose planes share one set of means, the mean of their own, so that a film (``"T"``) doesn't flicker. All
            planes are surveyed first, then rendered.
        region : pair of pair of int, optional
            Rows and columns of the result, ``((top, bottom), (left, right))``, ends excluded. Only they are made, in memory
            that depends on them alone, and they are the same as in the whole result.
        survey : Survey, optional
            What `survey` returned for the same image and options. Without it, `region` and `shared` make it first, and throw
            it away.
        out : array, optional
            What to fill and return, of the result's shape and dtype: a memory-mapped file, say.
        progress, cancel : callable, optional
            ``progress(done, total)`` and ``cancel() -> bool`` are called after each piece of work.
        passes : int, optional
            How often the network runs; a Lanczos filter brings what it made to the size of the result. By default as often
            as it must so that the filter enlarges by little, and not at all where nothing grows, see
            `esc_plugin.arrays.passes.pass_sizes`. With 1, an image is cleaned by a model for that also where its size
            stays, or shrinks.
        strength : float
            How much of the result is the network's, 0 to 1; the rest is the image, resized by a Lanczos filter, in linear
            light with `linear_light`. What `consistency` corrects is the mixture. With 0, no network runs.
        mask : array, optional
            (Y, X), of the proportions of the image or of the result, in any size: bool, unsigned integers, whose largest
            value counts as 1, or floating in 0..1. It is resized to the result by the same filter, and is the same for all
            planes. The network counts by `strength` times that.

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
            shared=shared,
            passes=passes,
            strength=strength,
        )
        mask = self.mask(mask, request)
        part = checked_region(region, request.target)
        place = part or Region(0, 0, *request.target)
        out = make_output(image, request.layout.resized(place.height, place.width), out)
        if survey is not None:
            self.check(survey, request, image)
        elif request.strength and (part is not None or request.shared):
            survey = self._survey(image, request, share_of(progress, 0, 0.5), cancel)
            progress = share_of(progress, 0.5, 1)
        stack = self.stack(request, self._levels(image, request, survey, cancel), part, mask=mask)
        stack = stack if request.strength else stack.without_network
        known = survey.planes if survey else ()
        stack.check(image, known, cancel)
        stack.run(image, out, progress, cancel, known)
        return out

    def check(self, survey: Survey, request: Request, image: Any = None) -> None:
        """Raise an `ImageError` unless a survey serves this model, a request and an image."""
        if not isinstance(survey, Survey):
            raise ImageError(f"a survey must be what Upscaler.survey returned, not {quoted(survey)}.")
        model = self.model
        survey.check(model.name, model.sha256, request, image, model.fingerprint, self.runs(request))

    def runs(self, request: Request) -> list[tuple[int, int]]:
        """Return the shapes of the means of all runs that bring a plane to its target."""
        network = self.model.network
        steps = network.program(network.geometry(request.layout.height, request.layout.width)).steps
        means = [step.mean for step in steps if step.mean]
        return [(len(means), means[0])] * request.passes

    @on_its_threads
    def survey(
        self,
        image: Any,
        *,
        pixels: int | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        **options: Any,
    ) -> Survey:
        """Find out what must be known of the whole image to upscale any part of it.

        Parameters
        ----------
        image : array
            As in the call that the survey is for.
        pixels : int, optional
            Estimate the means from samples: about so many pixels of each plane (of what each run sees, if there are
            several), in pieces of 64 x 64 that are spread evenly, four or more. Results then differ by about
            `Survey.difference` from those of an exact survey, and have no seams either. Where an image is of many kinds,
            16 pieces know what they don't know, and fewer may not. Levels, NaN and transparency are looked at as ever: one
            pass over the pixels, but for what `intensity` states. Feature maps are in float32 unless the upscaler was
            asked for another precision.
        progress, cancel : callable, optional
            ``progress(done, total)`` and ``cancel() -> bool`` are called after each piece of work.
        **options
            Any other of that call, but `region`, `out` and `mask`, see `__call__`.

        Returns
        -------
        Survey
            What `__call__` takes, with any strength and mask.

        Raises
        ------
        ImageError, Cancelled, EscError
            As in `__call__`.
        """
        request = self.request(image, **options)
        sampler = None if pixels is None else self.sampler(request, checked_pixels(pixels))
        return self._survey(image, request, progress, cancel, sampler)

    def _survey(
        self,
        image: Any,
        request: Request,
        progress: Progress | None,
        cancel: Cancel | None,
        sampler: Estimator | None = None,
    ) -> Survey:
        levels = self._levels(image, request, None, cancel)
        stack = self.stack(request, levels)
        stack.check(image, cancel=cancel)
        stack.enlarge = sampler or stack.enlarge
        planes = stack.run(image, None, progress, cancel)
        return self.surveyed(image, request, levels, planes, sampler.sampling if sampler else None)

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
            tuple(share_means(planes, request.layout, request.shared)),
            image_digest(image, request.layout),
            Environment(torch.__version__, str(self.device), instruction_set(self.device)),
            self.model.fingerprint,
            sampling,
        )

    def lazy(
        self,
        image: Any,
        *,
        survey: Survey | None = None,
        chunks: Any = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        mask: Any = None,
        **options: Any,
    ) -> Any:
        """Return the result as a dask array, whose every chunk is rendered when it is asked for, by whatever scheduler.

        Parameters
        ----------
        image : array
            As in a call. Of a dask array, a chunk waits for the blocks that it is made of; anything else is read by the
            worker that makes the chunk, to which it is sent once if that is another process.
        survey : Survey, optional
            What `survey` returned for the same image and options. Without it, it is made now.
        chunks : int, pair of int, or what dask takes; optional
            Rows and columns, or all axes, in pixels of the result. By default those of the image times the scale, put
            together or cut to at most 2048; of other axes one plane, and all samples.
        progress, cancel : callable, optional
            Of the survey.
        mask : array, optional
            See `__call__`; it travels with each chunk's maker.
        **options
            Any other of a call, but `region` and `out`, see `__call__`.

        Returns
        -------
        dask.array.Array
            What a call returns, to the bit.

        Raises
        ------
        ImageError, Cancelled, EscError
            As in `__call__`; what can't be read later is an `ImageError` then.
        """
        if find_spec("dask") is None:
            raise EscError("a lazy result is a dask array; install it with: pip install 'dask[array]'")
        request = self.request(image, **options)
        mask = self.mask(mask, request)
        if survey is None:
            survey = self._survey(image, request, progress, cancel)
        else:
            self.check(survey, request, image)
            self.stack(request, survey.levels_of(np.dtype(image.dtype))).check(image, survey.planes)
        render = Renderer(self, replace(survey, request=request), np.dtype(image.dtype), mask)
        pieces = chunks_for(chunks, image, request.axes, render.shape, render.dtype)
        return lazy_array(render, image, render.shape, render.dtype, pieces, render.reads)

    def request(self, image: Any, **options: Any) -> Request:
        """Return what a call asks for, checked as far as that can be without looking at pixels; see `__call__`."""
        return make_request(image, self.model.scale, **options, any_scale=self.model.any_scale)

    @staticmethod
    def mask(mask: Any, request: Request) -> np.ndarray | None:
        """Return a mask as it is used, or raise an `ImageError`; see `__call__`."""
        return checked_mask(mask, (request.layout.height, request.layout.width), request.target)

    def steps(self, request: Request) -> dict[str, Any]:
        """Return what a record says of the way to a result: how often the network runs, and all of it in words."""
        model, layout = self.model, request.layout
        size = layout.height, layout.width
        passes = request.passes if request.strength else 0  # the network doesn't run where nothing of it is wanted
        return {"passes": passes, "steps": described(size, request.target, model.scale, passes, model.any_scale)}

    def stack(
        self,
        request: Request,
        levels: list[Levels],
        region: Region | None = None,
        group: ProcessGroup | None = None,
        mask: np.ndarray | None = None,
    ) -> Stack:
        """Return what makes the planes of a result, or a region of each."""
        enlarge = self.enlarger(request, group)
        keep = request.nan == "keep"
        options = request.alpha, request.linear_light, request.consistency
        weight = weight_of(request.strength, mask, request.target)
        return Stack(enlarge, request.layout, levels, request.target, keep, *options, region, weight)

    def enlarger(self, request: Request, group: ProcessGroup | None = None) -> Enlarge:
        """Return what upscales planes, see `Enlarger`."""
        return Enlarger(self, request.bits, group, request.passes)

    def sampler(self, request: Request, pixels: int) -> Estimator:
        """Return what estimates means from samples, see `Sampler`."""
        return Sampler(Enlarger(self, request.bits, passes=request.passes), pixels)

    @property
    def parts(self) -> tuple[Upscaler, ...]:
        """The upscalers whose networks run, see `esc_plugin.mixture.Mixture`."""
        return (self,)

    @property
    def recipe(self) -> str:
        """What decides the pixels beside the options: the hash of the model's file."""
        return self.model.sha256

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


def upscale(image: Any, model: Model | str | None = None, *, purpose: str = "", **options: Any) -> Any:
    """Upscale an image: ``Upscaler(model)(image)`` in one call.

    Keyword arguments go to where they are known: device, precision, memory_limit and threads to `Upscaler`, the others to
    its call.

    Parameters
    ----------
    image : array
        See `Upscaler.__call__`.
    model : Model or str, optional
        What `load_model` returns or takes. By default the one that a survey was made with, else the bundled one for the kind
        of image, see `esc_plugin.catalog.by_default.default_model`: for photographs, or for fluorescence if it has more than
        8 bits and no colours. The log says which, and why.
    purpose : str
        Take the bundled model for this kind of images instead: ``"clean"``, ``"photo"``, ``"fluorescence"``.

    Raises
    ------
    EscError
        See `Upscaler`; also if both a model and a purpose are named.
    """
    set_up = {name: options.pop(name) for name in ("device", "precision", "memory_limit", "threads") if name in options}
    survey = options.get("survey")
    model = survey.model if model is None and isinstance(survey, Survey) else model
    check_choice(model, purpose)
    if model is None:
        entry, reason, _ = _default_for(image, purpose, **options)
        logger.info("%s is taken: %s.", entry.name, reason)
        model = entry.name
    return Upscaler(model, **set_up)(image, **options)


def _default_for(
    image: Any, purpose: str, *, axes: str | None = None, scale: float | None = None, size: Any = None, **_: Any
) -> Choice:
    layout = layout_of(image, axes)
    target = choose_target(layout, 1 if scale is None and size is None else scale, size)
    factor = max(target[0] / layout.height, target[1] / layout.width)
    return default_model(Traits.of(image.dtype, layout.samples), factor, purpose)
