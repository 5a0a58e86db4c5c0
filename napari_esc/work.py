"""What runs in threads, as functions ``work(progress, cancel) -> result``. They touch neither viewer nor widgets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from esc_plugin.arrays.consistency import Agreement, difference
from esc_plugin.arrays.lazy import CancellableArray
from esc_plugin.arrays.pyramid import levels_below, with_levels
from esc_plugin.device import free_host_bytes
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_image import new_image
from esc_plugin.progress import Cancel, Progress

from .loaded import LoadedModel, load_on_device
from .task import Task
from .writer import channel_of

if TYPE_CHECKING:
    from esc_plugin.measure.surveys import Viewed
    from esc_plugin.survey import Survey

#: A preview renders as much of the view as takes this many seconds, but at least so many pixels of the source.
PREVIEW_SECONDS, LEAST_PREVIEW = 1.5, 64**2
#: A plane of a result on disk that takes more than this share of the free memory is built in a file.
SHARE_OF_MEMORY = 0.4

#: Input minus averaged result and the same in numbers, or nothing where that isn't wanted.
Compared = tuple[np.ndarray, Agreement] | tuple[()]
#: The pixels of a result, how they came about, and how they compare.
Made = tuple[Any, dict[str, Any], Compared]


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
    """Return the work of a task, on as much of the middle of its region as can be rendered quickly."""

    def work(progress: Progress, cancel: Cancel) -> tuple[Task, Result]:
        model, part = _load(task, progress, cancel), task
        look = look_at(task, model)
        while part.pixels > LEAST_PREVIEW and look.rendering_seconds(model.speed, part.span) > PREVIEW_SECONDS:
            part = part.central(part.pixels * 2 // 3)
        return part, run_task(part, model, progress, cancel, soon=True)

    return work


def lazy_work(task: Task) -> Callable[[Progress, Cancel], tuple[Task, Result]]:
    """Return the work of preparing a layer whose pixels are made when they are seen, of the planes of a task."""

    def work(progress: Progress, cancel: Cancel) -> tuple[Task, Result]:
        start, planes = time.perf_counter(), task.of_planes()
        model = _load(task, progress, cancel)
        finest, survey = look_at(planes, model, soon=True).lazy(progress, cancel)
        source = [level[task.region[:-2]] for level in task.pyramid]
        data = [finest, *levels_below(finest, source, task.rgb, cancel)]
        metadata = task.metadata | {"esc": _provenance(planes, model, survey) | {"lazy": True}}
        return planes, Result(data, metadata, time.perf_counter() - start)

    return work


def _load(task: Task, progress: Progress, cancel: Cancel) -> LoadedModel:
    chosen = task.settings
    return load_on_device(chosen.model, chosen.device, chosen.memory_limit, progress=progress, cancel=cancel)


def look_at(task: Task, model: LoadedModel, soon: bool = False) -> Viewed:
    """Return what makes the planes of a task, or parts of them; if it is wanted soon, perhaps from a sampled survey."""
    from esc_plugin.measure.surveys import Viewed

    chosen = task.settings
    planes, speed = task.region[:-2], model.speed if soon else None
    wanted = task.layout.axes, task.target, chosen.intensity, chosen.consistency
    return Viewed(model.upscaler, task.pyramid, planes, *wanted, speed, chosen.sampled)


def run_task(
    task: Task,
    model: LoadedModel,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    soon: bool = False,
) -> Result:
    """Make the pixels of a task, and what is known about them.

    Parameters
    ----------
    soon : bool
        Whether a sampled survey will do where an exact one takes long.

    Raises
    ------
    Cancelled
        If `cancel` returned ``True``; nothing is left behind.
    EscError
        If it can't be done; nothing is left behind.
    """
    start = time.perf_counter()

    def upscale(out: Any = None) -> tuple[Any, dict[str, Any]]:
        pixels, survey = look_at(task, model, soon).upscale(task.span, out, progress, cancel)
        return pixels, _provenance(task, model, survey)  # with the precision that was really used

    make = _to_disk if task.settings.store else _in_memory
    data, record, compared = make(task, CancellableArray(task.image, cancel), upscale, cancel)
    seconds = time.perf_counter() - start
    if task.region == task.of_planes().region:
        model.speed.learn(model.upscaler, task.whole, task.size, task.target, task.count, seconds)
    return Result(data, task.metadata | {"esc": record}, seconds, *compared)


def _in_memory(task: Task, image: CancellableArray, upscale: Callable[..., Any], cancel: Cancel | None) -> Made:
    pixels, record = upscale()
    return with_levels(pixels, task.rgb, cancel), record, _compared(task, image, pixels)


def _to_disk(task: Task, image: CancellableArray, upscale: Callable[..., Any], cancel: Cancel | None) -> Made:
    assert task.settings.store is not None
    axes = Axes.of(task.state | task.place, len(task.region))
    with new_image(task.settings.store, task.shape, task.image.dtype, axes, task.rgb) as stored:
        large = task.nbytes / task.count > SHARE_OF_MEMORY * free_host_bytes()
        pixels = stored.planes_in_files() if large else stored
        _, record = upscale(pixels)
        # Before the file gets its name: whoever cancels now finds none.
        compared = _compared(task, image, pixels)
        stored.finish(task.title, channels=[channel_of(task.state | {"name": task.title})], record=record, cancel=cancel)
    levels = stored.lazy()
    return (levels if len(levels) > 1 else levels[0]), record, compared


def _compared(task: Task, image: CancellableArray, pixels: Any) -> Compared:
    """Return input minus averaged result if it is wanted, and the same in numbers."""
    return difference(image, pixels, task.layout.axes, task.part) if task.settings.difference else ()


def _provenance(task: Task, model: LoadedModel, survey: Survey) -> dict[str, Any]:
    from esc_plugin.batch.record import record_of_result
    from esc_plugin.measure.surveys import survey_record

    (top, bottom), (left, right) = task.span
    options = {
        "consistency": task.settings.consistency,
        "source_layer": task.name,
        "source_region": [[part.start, part.stop] for part in task.region],
        "factor": task.factors[-2:],
        "device": str(model.upscaler.device),
        "survey": survey_record(survey),
    }
    levels = survey.levels_of(task.whole.dtype)
    return record_of_result(model.upscaler, task.whole, (bottom - top, right - left), levels, options, survey=survey)
