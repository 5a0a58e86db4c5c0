"""Run a program over an image in chunks. It knows maps, chunks and memory, and nothing of ESC."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor

from ..device import without_autocast
from ..errors import EscError
from ..network.grid import Geometry, Region
from ..network.program import Chunk, Program, Step, pixel_sum
from ..progress import Cancel, Progress, stop_if_asked
from .maps import FileMap, Sink, Source, TensorMap, make_map
from .plan import LEAST_CHUNK_BYTES, Plan, regions

logger = logging.getLogger(__name__)


#: Progress counts in units of this many multiplications, so that totals are numbers a person can read.
COST_UNIT = 1e6


class NotFiniteError(ArithmeticError):
    """The features hold an infinity or NaN, which a longer precision may not; nothing has been written to the sink."""


@dataclass
class Run:
    """One pass of one image, or batch, through the network.

    Attributes
    ----------
    program, geometry, plan
        What to compute, on which grids (in pixels), in what memory (in bytes).
    source, sink
        Where the image (B, 3, h, w) in 0..1 comes from and the output (B, 3, h', w'), float32 and not clipped, goes to,
        region by region.
    device, dtype
        Where and in what precision feature maps are computed.
    batch : int
        Images at once, B.
    progress : callable, optional
        ``progress(done, total)`` after each chunk, in millions of multiplications.
    cancel : callable, optional
        ``cancel() -> bool``, asked after each chunk; ``True`` stops the run.
    """

    program: Program
    geometry: Geometry
    plan: Plan
    source: Source
    sink: Sink
    device: torch.device
    dtype: torch.dtype
    batch: int = 1
    progress: Progress | None = None
    cancel: Cancel | None = None
    _maps: dict[str, TensorMap | FileMap] = field(default_factory=dict, repr=False)
    _done: float = 0.0
    _chunk_bytes: int = 0

    def execute(self) -> None:
        """Fill the sink.

        Raises
        ------
        Cancelled
            If `cancel` said so; memory and files are free by then.
        EscError
            If the device runs out of memory with the smallest chunk too.
        NotFiniteError
            If the last features overflow in a precision shorter than float32.
        """
        self._chunk_bytes = self.plan.chunk_bytes
        try:
            with torch.inference_mode(), without_autocast(self.device):
                mean = None
                for step in self.program.steps:
                    mean = self._step(step, mean)
        finally:
            for stored in self._maps.values():
                stored.close()
            self._maps.clear()

    def _step(self, step: Step, mean: Tensor | None) -> Tensor | None:
        value = self._set_up(step, mean)
        total: Tensor | float = 0.0
        for region in regions(step, self.geometry.grid, self._chunk_bytes, self.dtype.itemsize, self.batch):
            for part, out in self._compute(step, region, value):
                if step is self.program.steps[-2] and self.dtype != torch.float32 and not out.isfinite().all():
                    raise NotFiniteError
                if step.mean:
                    total = total + pixel_sum(out[:, : step.mean])
                self._write(step.writes, part, out)
                self._advance(step.cost * part.height * part.width)
        return (total / prod(self.geometry.grid)).float() if isinstance(total, Tensor) else None

    def _set_up(self, step: Step, mean: Tensor | None) -> object:
        try:
            return step.setup(mean) if step.setup else None
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            size = f"{step.held / 2**30:.2f} GiB"
            raise EscError(f"{self.device} has no {size} for what {step.name!r} needs beside the image.") from None

    def _compute(self, step: Step, region: Region, value: object) -> Iterator[tuple[Region, Tensor]]:
        """Yield the output of a region, in smaller parts if the device can't do it at once."""
        try:
            chunk = Chunk(region, self.geometry, lambda name, halo: self._read(name, region, halo))
            reads = [self._read(name, region, halo) for name, halo in step.reads.items()]
            out = step.apply(chunk, value, *reads)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            parts = _quarters(region, step.multiple)
            if len(parts) == 1:
                raise EscError(f"{self.device} is out of memory even for the smallest piece of the image.") from None
        else:
            yield region, out
            return
        self._shrink()
        for part in parts:
            yield from self._compute(step, part, value)

    def _shrink(self) -> None:
        """After running out of memory: free what is cached, and plan smaller from here on."""
        if self._chunk_bytes == self.plan.chunk_bytes:
            logger.warning("%s is out of memory; going on with smaller pieces, the result is the same.", self.device)
        self._chunk_bytes = max(self._chunk_bytes // 2, LEAST_CHUNK_BYTES)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _read(self, name: str, region: Region, halo: int) -> Tensor:
        grown = region.grow(halo, self.geometry.grid)
        if name == "image":
            return self.source.read(self.geometry.image_region(grown)).to(self.device)
        return self._maps[name].read(grown).to(self.device)

    def _write(self, name: str, region: Region, tensor: Tensor) -> None:
        if name == "output":
            self.sink.write(self.geometry.output_region(region), tensor)
            return
        if name not in self._maps:
            shape = (self.batch, *self.geometry.grid, self.program.channels[name])
            self._maps[name] = self._make_map(name, shape)
        self._maps[name].write(region, tensor)

    def _make_map(self, name: str, shape: tuple[int, int, int, int]) -> TensorMap | FileMap:
        home = self.plan.storage[name]
        size = f"{prod(shape) * self.dtype.itemsize / 2**30:.2f} GiB"
        try:
            return make_map(home, shape, self.dtype, self.device)
        except OSError as error:
            folder = tempfile.gettempdir()
            raise EscError(
                f"can't make a temporary file of {size} in {folder!r}: {error.strerror}; set TMPDIR to a larger disk."
            ) from None
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            where = self.device if home == "device" else "the host"
            raise EscError(
                f"{where} has no {size} for a feature map; lower the memory limit, then it goes elsewhere."
            ) from None

    def _advance(self, cost: float) -> None:
        self._done += cost
        if self.progress:
            height, width = self.geometry.grid
            total = self.program.cost * height * width
            self.progress(min(round(self._done / COST_UNIT), round(total / COST_UNIT)), round(total / COST_UNIT))
        stop_if_asked(self.cancel)


def out_of_memory(error: RuntimeError) -> bool:
    """Tell whether that is what an error means; CUDA has a class for it, others only words."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


def _quarters(region: Region, multiple: int) -> list[Region]:
    """Halve a region along both axes, at multiples, where it is long enough."""

    def halves(start: int, stop: int) -> list[tuple[int, int]]:
        middle = start + (stop - start) // 2 // multiple * multiple
        return [(start, middle), (middle, stop)] if middle > start else [(start, stop)]

    return [
        Region(top, left, bottom, right)
        for top, bottom in halves(region.top, region.bottom)
        for left, right in halves(region.left, region.right)
    ]
