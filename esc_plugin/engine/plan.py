"""How an image fits into the memory there is: where the feature maps live, and how much of them to work on at a time."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..device import allowed_bytes, free_bytes, usable_threads
from ..errors import DiskSpaceError, EscError
from ..network.grid import Geometry, Region
from ..network.program import Program, Step
from ..workplace import temporary_folder
from .maps import Storage
from .partition import Extent, Partition, Span, partition, seconds, spans

#: What the values of one chunk may take by default. On a CPU a chunk should stay in the caches and be done in a fraction of
#: a second; other devices want to be filled. (Twice as much in 16 bits gains 2 to 4 %, and takes 40 MiB more on two cores.)
CPU_CHUNK_BYTES = 12 * 2**20
DEVICE_CHUNK_BYTES = 2 * 2**30
#: The least that a chunk is given; below it, windows and halos are all there is.
LEAST_CHUNK_BYTES = 4 * 2**20
#: What the runtime itself takes beyond tensors: threads, kernels, allocator slack.
RESERVE_BYTES = 128 * 2**20
#: Of what is free, how much is taken unless a limit is given.
SHARE_OF_FREE = 0.8
#: Maps in the order in which they move out of memory: those that are used least, first.
OUT_FIRST = ("a", "c", "b")
#: What to do about feature maps that no disk here holds.
WAYS_OUT = (
    "set TMPDIR to a larger disk, use more memory or several machines (torchrun ... esc-sr upscale), "
    "or a sampled survey (--sampled, pixels=)"
)


@dataclass(frozen=True)
class Plan:
    """Where maps live and how large a chunk is. Any plan gives the same pixels.

    Attributes
    ----------
    storage : mapping of str to {"device", "host", "disk"}
        The home of each feature map.
    chunk_bytes : int
        Bytes that the values of one chunk may take on the device.
    workers : int
        Chunks that are computed at once, at most, each on its own share of a CPU's threads, see `Workers`.
    device_bytes, host_bytes, disk_bytes : int
        Predicted peak in bytes, above what the process had before. On a CPU the device is the host, and `host_bytes` is 0.
    """

    storage: Mapping[str, Storage]
    chunk_bytes: int
    device_bytes: int = 0
    host_bytes: int = 0
    disk_bytes: int = 0
    workers: int = 1


@dataclass(frozen=True)
class Need:
    """What a run asks of the memory.

    Attributes
    ----------
    program : Program
        The steps, with what each takes per feature pixel.
    geometry : Geometry
        The grids, in pixels.
    batch : int
        Images at once.
    itemsize : int
        Bytes of a feature value.
    caller_bytes : int
        Bytes that the caller holds in host memory for the run: the output array, if it isn't a file.
    network_bytes : int
        Bytes of the parameters on the device, and of what is kept beside them: attention biases.
    areas : sequence of Region, optional
        What each step computes; by default the whole feature grid.
    together : int
        Runs of this kind whose maps live at the same time. One of them computes at a time.
    """

    program: Program
    geometry: Geometry
    batch: int
    itemsize: int
    caller_bytes: int = 0
    network_bytes: int = 0
    areas: Sequence[Region] = ()
    together: int = 1

    @property
    def parts(self) -> list[tuple[Step, Region]]:
        """Each step and what it computes."""
        whole = Region(0, 0, *self.geometry.grid)
        return list(zip(self.program.steps, self.areas or [whole] * len(self.program.steps), strict=True))

    def map_bytes(self, name: str) -> int:
        """Return the bytes that a feature map takes at most."""
        pixels = max((area.height * area.width for step, area in self.parts if step.writes == name), default=0)
        return self.together * self.batch * pixels * self.program.channels[name] * self.itemsize

    def largest_chunk_bytes(self, chunk_bytes: int, workers: int = 1, files: Collection[str] = ()) -> int:
        """Return the most bytes that chunks planned with `chunk_bytes` really take at once, with what their step holds.

        Of maps in files, what the next chunks of several workers need has been read, too.
        """
        return max(self._step_bytes(step, area, chunk_bytes, workers, files) for step, area in self.parts)

    def chunks(self, chunk_bytes: int, workers: int = 1) -> int:
        """Return how many chunks the run has if one may take `chunk_bytes`."""
        grids = (_grid(step, area, chunk_bytes, self.itemsize, self.batch, workers) for step, area in self.parts)
        return sum(len(rows) * len(columns) for rows, columns in grids)

    def efficiency(self, chunk_bytes: int, workers: int) -> float:
        """Return which part of the time of so many threads goes into multiplications that one chunk would take too.

        The rest is halos, waiting for the last chunk of a step, and what chunks take beside their arithmetic.
        """
        spans = (
            seconds(Extent.of(step, area), _partition(step, area, *sizes), workers, step.cost * self.batch)
            for sizes in [(chunk_bytes, self.itemsize, self.batch, workers)]
            for step, area in self.parts
        )
        return self.batch * sum(step.cost * area.height * area.width for step, area in self.parts) / workers / sum(spans)

    def _step_bytes(self, step: Step, area: Region, chunk_bytes: int, workers: int, files: Collection[str]) -> int:
        halo, cut = max(step.reads.values()), (step, area, chunk_bytes, self.itemsize, self.batch, workers)
        # Not all of them are looked at: a large image has millions.
        (top, bottom), (left, right) = (max(spans, key=lambda span: span[1] - span[0]) for spans in _grid(*cut))
        grown = Region(top, left, bottom, right).grow(halo, self.geometry.grid)
        # A part of a window is filled up to a whole one.
        height, width = (-(-n // step.multiple) * step.multiple for n in (grown.height, grown.width))
        count = at_once(*cut)
        ahead = sum(self.program.channels[name] for name in step.reads if name in files) if count > 1 else 0
        one = int(height * width * (step.values_per_pixel + ahead) * self.itemsize * self.batch)
        return one * count + step.held * self.batch


def make_plan(need: Need, device: torch.device, memory_limit: int | None = None) -> Plan:
    """Choose the fastest plan that fits.

    Parameters
    ----------
    memory_limit : int, optional
        Bytes that the device (on a CPU: the process, beyond what it has) may use at most; more than it has for this process
        counts as that. By default most of what is free.

    Raises
    ------
    EscError
        If not even the smallest plan fits; the text says what it would take.
    """
    on_host = device.type == "cpu"
    # What is used now may be given back, but nobody gets more than a control group or a job allows.
    budget = int(free_bytes(device) * SHARE_OF_FREE) if memory_limit is None else min(memory_limit, allowed_bytes(device))
    fixed = RESERVE_BYTES + need.network_bytes + (need.caller_bytes if on_host else 0)
    best_bytes = CPU_CHUNK_BYTES if on_host else DEVICE_CHUNK_BYTES
    names = [name for name in OUT_FIRST if name in need.program.channels]
    plan = Plan({}, 0)
    # Smaller chunks cost less time than a map further away, so they are tried first at every distance.
    for storage in _storages(names, need, on_host):
        resident = sum(need.map_bytes(name) for name in names if storage[name] == "device")
        host = 0 if on_host else need.caller_bytes + sum(need.map_bytes(n) for n in names if storage[n] == "host")
        files = [name for name in names if storage[name] == "disk"]
        disk = sum(need.map_bytes(name) for name in files)
        for chunk_bytes, workers in _chunks(best_bytes, usable_threads() if on_host else 1):
            device_bytes = fixed + resident + need.largest_chunk_bytes(chunk_bytes, workers, files)
            plan = Plan(storage, chunk_bytes, device_bytes, host, disk, workers)
            if plan.device_bytes <= budget:
                _check_disk(plan)
                return plan
    raise EscError(
        f"the image needs at least {plan.device_bytes / 2**30:.2f} GiB of memory on {device}, of which "
        f"{budget / 2**30:.2f} GiB may be used; close other programs or raise the memory limit (--memory, memory_limit=)."
    )


def _chunks(chunk_bytes: int, workers: int) -> Iterator[tuple[int, int]]:
    """Yield sizes of chunks and how many are worked on at once, the fastest first: smaller ones before fewer."""
    while workers:
        for halvings in range((chunk_bytes // LEAST_CHUNK_BYTES).bit_length()):
            yield chunk_bytes >> halvings, workers
        workers //= 2


def _storages(names: list[str], need: Need, on_host: bool) -> Iterator[dict[str, Storage]]:
    """Yield homes for the maps, nearest first."""
    yield dict.fromkeys(names, "device")
    # What the host has is asked only where a map has to move.
    host_room = 0 if on_host else int(free_bytes(torch.device("cpu")) * SHARE_OF_FREE) - need.caller_bytes
    for moved in range(1, len(names) + 1):
        storage: dict[str, Storage] = dict.fromkeys(names, "device")
        room = host_room
        for name in names[:moved]:
            fits = need.map_bytes(name) <= room
            storage[name] = "host" if fits else "disk"
            room -= need.map_bytes(name) if fits else 0
        yield storage


def _check_disk(plan: Plan) -> None:
    if not plan.disk_bytes:
        return
    folder = temporary_folder()
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise EscError(f"can't use the folder for temporary files, {folder!r}: {error.strerror}; set TMPDIR.") from None
    if plan.disk_bytes > free:
        needed = f"the image needs {plan.disk_bytes / 2**30:.1f} GiB of temporary files"
        raise DiskSpaceError(f"{needed}, {free / 2**30:.1f} GiB are free in {folder!r}", WAYS_OUT)


def regions(step: Step, area: Region, chunk_bytes: int, itemsize: int, batch: int = 1, workers: int = 1) -> Iterator[Region]:
    """Partition what a step computes, in reading order, into chunks whose values take about `chunk_bytes`."""
    rows, columns = _grid(step, area, chunk_bytes, itemsize, batch, workers)
    yield from (Region(top, left, bottom, right) for top, bottom in rows for left, right in columns)


def at_once(step: Step, area: Region, chunk_bytes: int, itemsize: int, batch: int, workers: int) -> int:
    """Return how many of a step's chunks are worked on at once."""
    return _partition(step, area, chunk_bytes, itemsize, batch, workers).at_once


def _partition(step: Step, area: Region, chunk_bytes: int, itemsize: int, batch: int, workers: int) -> Partition:
    pixels = int(chunk_bytes / (step.values_per_pixel * itemsize * batch))
    return partition(Extent.of(step, area), pixels, workers, step.cost * batch)


def _grid(
    step: Step, area: Region, chunk_bytes: int, itemsize: int, batch: int, workers: int
) -> tuple[list[Span], list[Span]]:
    """Return the rows and the columns of the chunks that a step is partitioned into."""
    bands, columns, _ = _partition(step, area, chunk_bytes, itemsize, batch, workers)
    rows = spans(area.top, area.bottom, bands, step.multiple)
    return list(rows), list(spans(area.left, area.right, columns, step.multiple))
