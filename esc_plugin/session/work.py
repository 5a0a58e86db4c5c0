"""What becomes of tasks: results in memory or on disk, previews, arrays that are made when they are looked at, estimates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays.consistency import Agreement, difference
from ..arrays.lazy import CancellableArray
from ..arrays.pyramid import levels_below, with_levels
from ..batch.record import record_of_result
from ..device import free_host_bytes, limited_threads
from ..files.ngff import Shown
from ..files.ome_axes import Axes
from ..files.ome_zarr import new_image
from ..progress import Cancel, Progress
from ..survey import Survey
from ..upscaler import bits_of
from .loaded import LoadedModel, load_on_device
from .task import Task
from .views import Viewed, survey_record

#: A preview renders as much of the view as takes this many seconds, but at least so many pixels of the source.
PREVIEW_SECONDS, LEAST_PREVIEW = 3.0, 128**2
#: A plane of a result on disk that takes more than this share of the free memory is built in a file.
SHARE_OF_MEMORY = 0.4

#: Input minus averaged result and the same in numbers, or nothing where that isn't wanted.
Compared = tuple[np.ndarray, Agreement] | tuple[()]
#: The pixels of a result, how they came about, and how they compare.
Made = tuple[Any, dict[str, Any], Compared]


@dataclass(frozen=True)
class Estimate:
    """What is known about a task before it runs.

    Attributes
    ----------
    seconds : float
        How long it will take.
    memory : int
        Bytes of memory on the device beside the result, at most.
    device : str
        What it runs on, for people.
    scale : int
        Of the model.
    card : dict
        What the model says about itself.
    """

    seconds: float
    memory: int
    device: str
    scale: int
    card: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What a task made.

    Attributes
    ----------
    task : Task
        What was done: of a preview, for a smaller part.
    data : array or list of array
        In the axes of the source; a list holds the levels of a pyramid.
    record : dict
        How it came about.
    seconds : float
        How long it took.
    difference : array, optional
        Input minus averaged result, (..., Y, X) float32.
    agreement : Agreement, optional
        The same in numbers, over all channels, in units of the input.
    """

    task: Task
    data: Any
    record: dict[str, Any]
    seconds: float
    difference: np.ndarray | None = None
    agreement: Agreement | None = None


@dataclass(frozen=True)
class Saved:
    """How the result of a task is described in its file.

    Attributes
    ----------
    axes : Axes
        Names, pixel size, position and units of its axes.
    look : Look, optional
        How viewers shall show it.
    """

    axes: Axes
    look: Shown | None = None


def estimate(task: Task) -> Estimate:
    """Return what a task takes, from a model that is on this machine.

    Raises
    ------
    HubError
        If the model would have to be downloaded.
    EscError
        If it can't be done.
    """
    with limited_threads(task.settings.threads):
        loaded = load_on_device(task.settings, offline=True)
        model = loaded.upscaler.model
        # All of a plane is surveyed, whatever part of it is wanted, unless samples will do.
        part = task.as_image() if task.settings.sampled else task
        plan = loaded.upscaler.plan(*part.size, part.target if model.any_scale else None, bits=bits_of(task.whole))
        seconds = look_at(task, loaded).seconds(loaded.speed, task.span)
        return Estimate(seconds, plan.device_bytes, loaded.device_text(), model.scale, model.card)


def run(
    task: Task,
    saved: Saved | None = None,
    *,
    soon: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Result:
    """Make the pixels of a task, and what is known about them.

    Parameters
    ----------
    saved : Saved, optional
        What a result on disk needs.
    soon : bool
        Whether a sampled survey will do where an exact one takes long.

    Raises
    ------
    Cancelled
        If `cancel` returned ``True``; nothing is left behind.
    EscError
        If it can't be done; nothing is left behind.
    """
    with limited_threads(task.settings.threads):
        model = load_on_device(task.settings, progress=progress, cancel=cancel)
        return _run(task, model, saved, soon, progress, cancel)


def preview(task: Task, *, progress: Progress | None = None, cancel: Cancel | None = None) -> Result:
    """Make as much of the middle of a task's part as can be rendered quickly, see `run`."""
    part = task.to_look_at()
    with limited_threads(task.settings.threads):
        model = load_on_device(task.settings, progress=progress, cancel=cancel)
        look = look_at(part, model)
        while part.pixels > LEAST_PREVIEW and look.rendering_seconds(model.speed, part.span) > PREVIEW_SECONDS:
            part = part.central(max(part.pixels * 2 // 3, LEAST_PREVIEW))
        return _run(part, model, None, True, progress, cancel)


def lazy(task: Task, *, progress: Progress | None = None, cancel: Cancel | None = None) -> Result:
    """Prepare an array whose pixels are made when they are asked for, of the planes of a task.

    Its finest level is a dask array, its coarser ones are the source's own.
    """
    start, planes = time.perf_counter(), task.to_look_at().of_planes()
    with limited_threads(task.settings.threads):
        model = load_on_device(task.settings, progress=progress, cancel=cancel)
        finest, survey = look_at(planes, model, soon=True).lazy(progress, cancel)
        source = [level[task.region[:-2]] for level in task.pyramid]
        data = [finest, *levels_below(finest, source, task.rgb, cancel)]
    return Result(planes, data, _record(planes, model, survey) | {"lazy": True}, time.perf_counter() - start)


def look_at(task: Task, model: LoadedModel, soon: bool = False) -> Viewed:
    """Return what makes the planes of a task, or parts of them; if it is wanted soon, perhaps from a sampled survey."""
    chosen = task.settings
    wanted = task.axes, task.target, chosen.intensity, chosen.consistency
    return Viewed(model.upscaler, task.pyramid, task.region[:-2], *wanted, model.speed if soon else None, chosen.sampled)


def _run(
    task: Task, model: LoadedModel, saved: Saved | None, soon: bool, progress: Progress | None, cancel: Cancel | None
) -> Result:
    start = time.perf_counter()

    def upscale(out: Any = None) -> tuple[Any, dict[str, Any]]:
        pixels, survey = look_at(task, model, soon).upscale(task.span, out, progress, cancel)
        return pixels, _record(task, model, survey)  # with the precision that was really used

    image = CancellableArray(task.image, cancel)
    if task.settings.store:
        assert saved is not None
        made = _to_disk(task, saved, image, upscale, cancel)
    else:
        made = _in_memory(task, image, upscale, cancel)
    data, record, compared = made
    seconds = time.perf_counter() - start
    if task.region == task.of_planes().region:
        model.speed.learn(model.upscaler, task.whole, task.size, task.target, task.count, seconds)
    return Result(task, data, record, seconds, *compared)


def _in_memory(task: Task, image: CancellableArray, upscale: Callable[..., Any], cancel: Cancel | None) -> Made:
    pixels, record = upscale()
    return with_levels(pixels, task.rgb, cancel), record, _compared(task, image, pixels)


def _to_disk(task: Task, saved: Saved, image: CancellableArray, upscale: Callable[..., Any], cancel: Cancel | None) -> Made:
    assert task.settings.store is not None
    with new_image(task.settings.store, task.shape, task.image.dtype, saved.axes, task.rgb) as stored:
        large = task.nbytes / task.count > SHARE_OF_MEMORY * free_host_bytes()
        pixels = stored.planes_in_files() if large else stored
        _, record = upscale(pixels)
        # Before the file gets its name: whoever cancels now finds none.
        compared = _compared(task, image, pixels)
        stored.finish(task.title, look=saved.look, record=record, cancel=cancel)
    levels = stored.lazy()
    return (levels if len(levels) > 1 else levels[0]), record, compared


def _compared(task: Task, image: CancellableArray, pixels: Any) -> Compared:
    """Return input minus averaged result if it is wanted, and the same in numbers."""
    return difference(image, pixels, task.axes, task.part) if task.settings.difference else ()


def _record(task: Task, model: LoadedModel, survey: Survey) -> dict[str, Any]:
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
