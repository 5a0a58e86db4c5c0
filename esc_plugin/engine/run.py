"""Run a program over an image in chunks. It knows maps, chunks and memory, and nothing of ESC."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from ..device import limited_threads, put_on, without_autocast
from ..errors import EscError
from ..network.grid import Geometry, Region
from ..network.program import FEATURES, Chunk, Program, Step, pixel_sum
from ..progress import Cancel, Progress, stop_if_asked
from ..workplace import temporary_folder
from .areas import areas_for
from .maps import FileMap, Sink, Source, TensorMap, make_map
from .means import Means
from .plan import LEAST_CHUNK_BYTES, WAYS_OUT, Plan, at_once, regions
from .workers import Workers

logger = logging.getLogger(__name__)


#: Progress counts in units of this many multiplications, so that totals are numbers a person can read.
COST_UNIT = 1e6


class NotFiniteError(ArithmeticError):
    """The features hold an infinity or NaN, which a longer precision may not; nothing has been written to the sink."""


class FartherError(LookupError):
    """A step asked for more of a map than there is, because its data says so.

    Attributes
    ----------
    name : str
        Of the map.
    halo : int
        Feature pixels that were asked for.
    """

    def __init__(self, name: str, halo: int) -> None:
        super().__init__(name, halo)
        self.name, self.halo = name, halo


class Made(NamedTuple):
    """A chunk: its region, its values (B, C, h, w) if no map has them, its sum for a mean, and whether all are finite.

    That is a tensor on the device, where it was looked at, and not known here before the device has come so far.
    """

    region: Region
    out: Tensor | None
    one: Tensor | None
    finite: Tensor | None


@dataclass
class Run:
    """One pass of one image, or batch, through the network, or of what a part of its output needs.

    Attributes
    ----------
    program, geometry, plan
        What to compute, on which grids (in pixels), in what memory (in bytes).
    source, sink
        Where the image (B, 3, h, w) in 0..1 comes from and the output (B, 3, h', w'), float32 and not clipped, goes to,
        region by region. Without a sink, only `means` are looked for.
    device, dtype
        Where and in what precision feature maps are computed.
    batch : int
        Images at once, B.
    progress : callable, optional
        ``progress(done, total)`` after each chunk, in millions of multiplications.
    cancel : callable, optional
        ``cancel() -> bool``, asked after each chunk; ``True`` stops the run.
    means : Means
        Those over the whole image. Without them, this is how a run finds them.
    wanted, counted : Region, optional
        Pixels of the feature grid: those whose output is wanted, and those that sums for the means are taken over; by
        default all. What is counted must be wanted.
    workers : Workers, optional
        Threads that the run may use; by default it has its own.
    """

    program: Program
    geometry: Geometry
    plan: Plan
    source: Source
    sink: Sink | None
    device: torch.device
    dtype: torch.dtype
    batch: int = 1
    progress: Progress | None = None
    cancel: Cancel | None = None
    means: Means = field(default_factory=Means)
    wanted: Region | None = None
    counted: Region | None = None
    workers: Workers | None = None
    _maps: dict[str, tuple[Region, TensorMap | FileMap]] = field(default_factory=dict, repr=False)
    _computed: dict[str, Region] = field(default_factory=dict, repr=False)  # of each map, by the step that wrote it last
    _asks: dict[str, int] = field(default_factory=dict)
    _done: float = 0.0
    _total: float = 0.0
    _chunk_bytes: int = 0
    _hands: Workers | None = None

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
        while not self._walked():
            pass  # with more of a map, as the data asks for it

    def _walked(self) -> bool:
        """Whether all went well with the halos that were known."""
        walk, mean = self.walk(), None
        try:
            while True:
                mean = self.means.settle(walk.send(mean), prod(self.geometry.grid))
        except StopIteration:
            return True
        except FartherError as error:
            self._asks[error.name] = error.halo
            return False

    def walk(self) -> Generator[Tensor, Tensor | None, None]:
        """Do the steps one after the other; yield the sum for each mean that isn't known, and be sent the mean.

        Raises
        ------
        FartherError
            If a step's data asks for more than was computed; then try again.
        """
        self._chunk_bytes = self.plan.chunk_bytes
        whole = Region(0, 0, *self.geometry.grid)
        areas = areas_for(self.program, self.geometry, self.wanted or whole, self._asks)
        self._done = 0.0
        parts = list(zip(self.program.steps, areas, strict=True))
        self._total = sum(step.cost * area.height * area.width for step, area in parts)
        with ExitStack() as stack:
            stack.callback(self._free_all_but, ())
            self._hands = self.workers or stack.enter_context(closing(Workers(self.plan.workers)))
            mean, number = None, 0
            for i, (step, area) in enumerate(parts):
                known = self.means.known(number) if step.mean else None
                with torch.inference_mode(), without_autocast(self.device):
                    total = self._step(step, area, mean, self.counted or whole if known is None else None)
                self._free_all_but(name for later in self.program.steps[i + 1 :] for name in later.reads)
                mean = known
                if step.mean:
                    number += 1
                    if known is None:
                        mean = yield total

    def _step(self, step: Step, area: Region, mean: Tensor | None, counted: Region | None) -> Tensor:
        value = self._set_up(step, mean)
        self._make_room(step, area)
        total, all_finite = torch.zeros(0), list[Tensor]()
        with closing(self._made(step, area, value, counted)) as made:
            for part, out, one, finite in made:
                all_finite += [] if finite is None else [finite]
                if one is not None:
                    total = total + one if total.numel() else one
                if self.sink and out is not None:
                    self.sink.write(self.geometry.output_region(part), out)
                self._advance(step.cost * part.height * part.width)
        if all_finite and self.means.any(~torch.stack(all_finite).all()):
            raise NotFiniteError
        return total

    def _is_last(self, step: Step) -> bool:
        """Whether a step writes features that may have overflowed in all steps until then.

        Means are not looked at: of one that isn't finite comes a kernel, and so features, that are NaN throughout.
        """
        return self.dtype != torch.float32 and step.writes == FEATURES and "image" in step.reads

    def _made(self, step: Step, area: Region, value: object, counted: Region | None) -> Generator[Made, None, None]:
        """Make the chunks of a step, in order, several at once if the plan says so."""
        planned = self._chunk_bytes == self.plan.chunk_bytes  # memory has been enough
        sizes = self._chunk_bytes, self.dtype.itemsize, self.batch, self.plan.workers if planned else 1
        workers = at_once(step, area, *sizes)
        if workers == 1:
            with limited_threads(0):
                for region in regions(step, area, *sizes):
                    yield from self._compute(step, region, value, counted)
            return
        calls = (
            partial(self._make, step, region, value, counted, self._reads(step, region))
            for region in regions(step, area, *sizes)
        )
        assert self._hands
        with closing(self._hands.outcomes(calls, workers, self._ahead(step))) as outcomes:
            for region, made in zip(regions(step, area, *sizes), outcomes, strict=True):
                yield from self._compute(step, region, value, counted, made)

    def _ahead(self, step: Step) -> int:
        """Return how many chunks are begun for each worker: where that takes no memory, so many that none ever waits."""
        names = {*step.reads, step.writes}
        outside = names & {"image", "output"}
        copied = outside or any(isinstance(self._maps[name][1], FileMap) for name in names)
        return 2 if copied else 32

    def _set_up(self, step: Step, mean: Tensor | None) -> object:
        try:
            # What is made of a mean is so little that threads would only wait for each other.
            with limited_threads(0 if mean is None else 1):
                return step.setup(mean) if step.setup else None
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            size = f"{step.held / 2**30:.2f} GiB"
            raise EscError(f"{self.device} has no {size} for what {step.name!r} needs beside the image.") from None

    def _compute(
        self,
        step: Step,
        region: Region,
        value: object,
        counted: Region | None,
        made: Callable[[], Made] | None = None,
    ) -> Iterator[Made]:
        """Yield what is made of a region, now or by ``made()``; in smaller parts if the device can't do it at once."""
        try:
            whole = made() if made else self._make(step, region, value, counted, self._reads(step, region))
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            parts = _quarters(region, step.multiple)
            if len(parts) == 1:
                raise EscError(f"{self.device} is out of memory even for the smallest piece of the image.") from None
        else:
            yield whole
            return
        self._shrink()
        for part in parts:
            yield from self._compute(step, part, value, counted)

    def _reads(self, step: Step, region: Region) -> list[Tensor]:
        return [self._read(name, region, halo) for name, halo in step.reads.items()]

    def _make(self, step: Step, region: Region, value: object, counted: Region | None, reads: list[Tensor]) -> Made:
        """Compute a region and fill its map, last of all: a step that overwrites what it reads could not do it again."""
        chunk = Chunk(region, self.geometry, lambda name, halo: self._read_farther(name, region, halo))
        with torch.inference_mode(), without_autocast(self.device):  # of this thread, which may be a worker's
            out, one = step.apply(chunk, value, *reads), None
            finite = out.isfinite().all() if self._is_last(step) else None
            if step.mean and counted:
                own = region.meet(counted).within(region).slices
                one = pixel_sum(out[:, : step.mean, own[0], own[1]], prod(self.geometry.grid))
            if step.writes != "output":
                place, stored = self._maps[step.writes]
                stored.write(region.within(place), out)
                return Made(region, None, one, finite)
        return Made(region, out, one, finite)

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
            return put_on(self.device, self.source.read(self.geometry.image_region(grown)))
        place, stored = self._maps[name]
        return put_on(self.device, stored.read(grown.within(place)))

    def _read_farther(self, name: str, region: Region, halo: int) -> Tensor:
        if not self._computed[name].holds(region.grow(halo, self.geometry.grid)):
            raise FartherError(name, halo)
        return self._read(name, region, halo)

    def _make_room(self, step: Step, area: Region) -> None:
        """Make the map that a step writes. It is the old one where that is read too, or where it has the same place."""
        name = step.writes
        self._computed[name] = area
        if name == "output" or (name in self._maps and (name in step.reads or self._maps[name][0] == area)):
            return
        if name in self._maps:
            self._maps.pop(name)[1].close()
        shape = (self.batch, area.height, area.width, self.program.channels[name])
        self._maps[name] = area, self._make_map(name, shape)

    def _free_all_but(self, names: Iterable[str]) -> None:
        for name in self._maps.keys() - set(names):
            self._maps.pop(name)[1].close()

    def _make_map(self, name: str, shape: tuple[int, int, int, int]) -> TensorMap | FileMap:
        home = self.plan.storage[name]
        size = f"{prod(shape) * self.dtype.itemsize / 2**30:.2f} GiB"
        try:
            return make_map(home, shape, self.dtype, self.device)
        except OSError as error:
            folder = temporary_folder()
            raise EscError(f"can't make a temporary file of {size} in {folder!r}: {error.strerror}; {WAYS_OUT}.") from None
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
            total = round(self._total / COST_UNIT)
            self.progress(min(round(self._done / COST_UNIT), total), total)
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
