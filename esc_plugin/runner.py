"""A model on a device: images of any size through its network, in the memory that there is."""

from __future__ import annotations

import copy
import logging
from functools import partial
from numbers import Integral
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor

from .arrays.planes import TensorImage
from .arrays.surveyed import RunSurvey
from .catalog.load import load_model
from .device import checked_threads, choose_device, choose_dtype, on_its_threads, precision_name
from .engine import Means, Need, NotFiniteError, Plan, ProcessGroup, Run, Sink, Source, areas_for, make_plan, parts_that_fit
from .errors import EscError, ImageError
from .network import ESC
from .network.grid import Geometry, Region
from .network.program import Program
from .progress import Cancel, Progress, part_of, rising, share_of
from .request import bits_of
from .weights.model import Model

logger = logging.getLogger(__name__)

Some = TypeVar("Some", bound="Runner")


class BeyondError(LookupError):
    """A source hasn't got as much of an image as a run looks for, because its data says so.

    Parameters
    ----------
    stage : int
        Which of several runs, one after the other, it is the source of.
    region : Region
        What is looked for.

    Attributes
    ----------
    found : RunSurvey, optional
        What the run has found until then.
    """

    found: RunSurvey | None = None

    def __init__(self, stage: int, region: Region) -> None:
        super().__init__(stage, region)
        self.stage, self.region = stage, region


class Runner:
    """A model on a device, see `Upscaler`: what runs its network, piece by piece."""

    #: Why the model was taken, if nobody has named it.
    reason = ""

    def __init__(
        self,
        model: Model | str,
        *,
        device: str | torch.device = "auto",
        precision: str = "auto",
        memory_limit: int | None = None,
        threads: int = 0,
    ) -> None:
        self.device = choose_device(device)
        self.precision = precision
        self.memory_limit = _checked_limit(memory_limit)
        self.threads = checked_threads(threads)
        choose_dtype(precision, self.device)  # an unknown one is an error before the model is loaded
        self.model = model if isinstance(model, Model) else load_model(model)
        self._networks: dict[torch.dtype, ESC] = {}
        self._lock = Lock()
        self._overflows = False

    def chosen_because(self: Some, reason: str) -> Some:
        """Return an upscaler whose records say why its model was taken, where nobody has named it."""
        other = self.with_memory_limit(self.memory_limit)
        other.reason = reason
        return other

    def with_memory_limit(self: Some, memory_limit: int | None) -> Some:
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

    @on_its_threads
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

    @on_its_threads
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
        group: ProcessGroup | None = None,
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
        group : ProcessGroup, optional
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
        BeyondError
            If the source says so; what was found until then goes with it.
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
        means, done, total = Means(values, None if known else group), 0, whole.height * whole.width
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
        except BeyondError as error:
            # All means are known by then, as only the last step looks where its data says.
            error.found = known or _found(dtype, means)
            raise
        else:
            return known or _found(dtype, means)
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
            group=group,
            progress=progress,
            cancel=cancel,
        )

    @on_its_threads
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


def _found(dtype: torch.dtype, means: Means) -> RunSurvey:
    return RunSurvey(precision_name(dtype), torch.cat(means.values).cpu().numpy())


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
