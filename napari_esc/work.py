"""What runs in threads, as functions ``work(progress, cancel) -> result``. They touch neither viewer nor widgets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from esc_plugin.arrays.consistency import Agreement, difference
from esc_plugin.arrays.lazy import CancellableArray
from esc_plugin.arrays.pyramid import with_levels
from esc_plugin.device import free_host_bytes
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_zarr import new_image
from esc_plugin.progress import Cancel, Progress

from .loaded import LoadedModel, load_on_device
from .task import Task
from .writer import look_of

if TYPE_CHECKING:
    from esc_plugin.arrays.levels import Levels

#: A preview works on as much of the view as takes this many seconds.
PREVIEW_SECONDS = 1.5
#: A plane of a result on disk that takes more than this share of the free memory is built in a file.
SHARE_OF_MEMORY = 0.4

#: Input minus averaged result and the same in numbers, or nothing where that isn't wanted.
Compared = tuple[np.ndarray, Agreement] | tuple[()]
#: The pixels of a result, how they came about, and how they compare.
Made = tuple[Any, dict[str, Any], Compared]

#: What was measured last of a lazy layer.
_measured: dict[Any, list[Levels]] = {}


@dataclass(frozen=True)
class Result:
    """What a task made.

    Attributes
    ----------
    data : array or list of array
        In the axes of the source; a list holds the levels of a pyramid.
    metadata : dict
        The source's, and under ``"esc"`` how the result came about.
    seconds : float
        How long it took.
    difference : array, optional
        Input minus averaged result, (..., Y, X) float32.
    agreement : Agreement, optional
        The same in numbers, over all channels, in units of the input.
    """

    data: Any
    metadata: dict[str, Any]
    seconds: float
    difference: np.ndarray | None = None
    agreement: Agreement | None = None


def upscale_work(task: Task) -> Callable[[Progress, Cancel], tuple[Task, Result]]:
    """Return the work of a task."""

    def work(progress: Progress, cancel: Cancel) -> tuple[Task, Result]:
        return task, run_task(task, _load(task, progress, cancel), progress, cancel)

    return work


def preview_work(task: Task) -> Callable[[Progress, Cancel], tuple[Task, Result]]:
    """Return the work of a task, on as much of the middle of its region as can be done quickly."""

    def work(progress: Progress, cancel: Cancel) -> tuple[Task, Result]:
        model = _load(task, progress, cancel)
        seconds = model.speed.seconds(model.upscaler, task.image, task.size, task.target)
        share = min(1.0, PREVIEW_SECONDS / max(seconds, 1e-9))
        part = task.central(int(task.size[0] * task.size[1] * share))
        return part, run_task(part, model, progress, cancel)

    return work


def _load(task: Task, progress: Progress, cancel: Cancel) -> LoadedModel:
    chosen = task.settings
    return load_on_device(chosen.model, chosen.device, chosen.memory_limit, progress=progress, cancel=cancel)


def run_task(task: Task, model: LoadedModel, progress: Progress | None = None, cancel: Cancel | None = None) -> Result:
    """Make the pixels of a task, and what is known about them.

    Raises
    ------
    Cancelled
        If `cancel` returned ``True``; nothing is left behind.
    EscError
        If it can't be done; nothing is left behind.
    """
    start = time.perf_counter()
    image, levels = CancellableArray(task.image, cancel), _levels(task, cancel)

    def upscale(out: Any = None) -> tuple[Any, dict[str, Any]]:
        pixels = model.upscaler(
            image,
            axes=task.layout.axes,
            size=task.target,
            intensity=levels,
            nan="keep",  # pixels without a value are common where images were registered or masked
            consistency=task.settings.consistency,
            out=out,
            progress=progress,
            cancel=cancel,
        )
        return pixels, _provenance(task, model, levels)  # with the precision that was really used

    make = _to_disk if task.settings.store else _in_memory
    data, record, compared = make(task, image, upscale, cancel)
    seconds = time.perf_counter() - start
    model.speed.learn(model.upscaler, task.image, task.size, task.target, task.planes, seconds)
    return Result(data, task.metadata | {"esc": record}, seconds, *compared)


def _levels(task: Task, cancel: Cancel | None) -> list[Levels]:
    """Return the levels of the whole layer, for the channels that are in the region."""
    from esc_plugin import Upscaler

    axes, wanted = task.layout.axes, task.settings.intensity
    # An array in memory has no name, can be changed in place, and is measured in no time.
    key = task.source, getattr(task.whole, "name", None), axes, wanted
    if key[1] is None or key not in _measured:
        _measured.clear()
        whole = CancellableArray(task.whole, cancel)
        _measured[key] = Upscaler.levels(whole, axes=axes, intensity=wanted, nan="keep", cancel=cancel)
    levels = _measured[key]
    return levels[task.region[axes.index("C")]] if "C" in axes else levels


def _in_memory(task: Task, image: CancellableArray, upscale: Callable[..., Any], cancel: Cancel | None) -> Made:
    pixels, record = upscale()
    return with_levels(pixels, task.rgb, cancel), record, _compared(task, image, pixels)


def _to_disk(task: Task, image: CancellableArray, upscale: Callable[..., Any], cancel: Cancel | None) -> Made:
    assert task.settings.store is not None
    axes = Axes.of(task.state | task.place, len(task.region))
    with new_image(task.settings.store, task.shape, task.image.dtype, axes, task.rgb) as stored:
        large = task.nbytes / task.planes > SHARE_OF_MEMORY * free_host_bytes()
        pixels = stored.planes_in_files() if large else stored
        _, record = upscale(pixels)
        # Before the file gets its name: whoever cancels now finds none.
        compared = _compared(task, image, pixels)
        stored.finish(task.title, look=look_of(task.state), record=record, cancel=cancel)
    levels = stored.lazy()
    return (levels if len(levels) > 1 else levels[0]), record, compared


def _compared(task: Task, image: CancellableArray, pixels: Any) -> Compared:
    """Return input minus averaged result if it is wanted, and the same in numbers."""
    return difference(image, pixels, task.layout.axes) if task.settings.difference else ()


def _provenance(task: Task, model: LoadedModel, levels: list[Levels]) -> dict[str, Any]:
    from esc_plugin.batch.record import record_of_result

    options = {
        "consistency": task.settings.consistency,
        "source_layer": task.name,
        "source_region": [[part.start, part.stop] for part in task.region],
        "factor": [new / old for new, old in zip(task.target, task.size, strict=True)],
        "device": str(model.upscaler.device),
    }
    return record_of_result(model.upscaler, task.image, task.target, levels, options)
