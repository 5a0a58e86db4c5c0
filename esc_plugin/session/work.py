"""What becomes of tasks: results in memory or on disk, previews, arrays that are made when they are looked at, estimates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arrays.consistency import Agreement, difference
from ..arrays.lazy import CancellableArray
from ..arrays.pyramid import levels_below, with_levels
from ..batch.record import record_of_result
from ..device import free_host_bytes
from ..files.ome_image import new_image
from ..files.ome_layers import Joined
from ..progress import Cancel, Progress, part_of
from ..survey import Survey
from ..upscaler import Upscaler, bits_of
from .loaded import LoadedModel, ready
from .task import StackTask, Task
from .views import Viewed, survey_record

#: A preview renders as much of the view as takes this many seconds, but at least so many pixels of the source.
PREVIEW_SECONDS, LEAST_PREVIEW = 3.0, 128**2
#: A plane of a result on disk that takes more than this share of the free memory is built in a file.
SHARE_OF_MEMORY = 0.4

#: Input minus averaged result and the same in numbers, or nothing where that isn't wanted.
Compared = tuple[np.ndarray, Agreement] | tuple[()]


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


def estimate(task: Task) -> Estimate:
    """Return what a task takes, from a model that is on this machine.

    Raises
    ------
    HubError
        If the model would have to be downloaded.
    EscError
        If it can't be done.
    """
    with ready(task.settings, offline=True) as loaded:
        model = loaded.upscaler.model
        # All of a plane is surveyed, whatever part of it is wanted, unless samples will do.
        part = task.as_image() if task.settings.sampled else task
        plan = loaded.upscaler.plan(*part.size, part.target if model.any_scale else None, bits=bits_of(task.whole))
        if isinstance(task, StackTask):
            seconds = _stack_seconds(task, loaded)
        else:
            seconds = look_at(task, loaded).seconds(loaded.speed, task.span)
        return Estimate(seconds, plan.device_bytes, loaded.device_text(), model.scale, model.card)


def _stack_seconds(task: StackTask, loaded: LoadedModel) -> float:
    """Predict how long it takes to put planes between those of a stack: a run for each row and each column."""
    (height, width), planes = task.size, task.layout.shape[task.axes.index("Z")]
    each = [
        sections * loaded.speed.seconds(loaded.upscaler, task.whole, (planes, edge), (task.planes, edge))
        for sections, edge in ((height, width), (width, height))
    ]
    return sum(each) * task.count / planes


def run(task: Task, *, soon: bool = False, progress: Progress | None = None, cancel: Cancel | None = None) -> Result:
    """Make the pixels of a task in memory, and what is known about them.

    Parameters
    ----------
    soon : bool
        Whether a sampled survey will do where an exact one takes long.

    Raises
    ------
    Cancelled
        If `cancel` returned ``True``.
    EscError
        If it can't be done.
    """
    with ready(task.settings, progress=progress, cancel=cancel) as model:
        result = _made(task, model, None, soon, progress, cancel)
        return replace(result, data=with_levels(result.data, task.rgb, cancel))


def save(
    tasks: Sequence[Task], whole: Joined, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> list[Result]:
    """Make the pixels of tasks in a file, as channels of one image if there are several.

    Parameters
    ----------
    whole : Joined
        The image that they become, see `esc_plugin.session.saved.joined`.

    Returns
    -------
    list of Result
        Their data is read from the file when it is asked for.

    Raises
    ------
    Cancelled
        If `cancel` returned ``True``; nothing is left behind.
    EscError
        If it can't be done; nothing is left behind.
    """
    path, name = tasks[0].settings.store, tasks[0].title
    assert path is not None
    if len(tasks) > 1:
        name = path.name.partition(".")[0] or name
    results = []
    with (
        ready(tasks[0].settings, progress=progress, cancel=cancel) as model,
        new_image(path, whole.pixels.shape, whole.pixels.dtype, whole.axes, whole.rgb) as stored,
    ):
        large = max(task.nbytes / task.count for task in tasks) > SHARE_OF_MEMORY * free_host_bytes()
        plain = stored.planes_in_files() if large else stored
        for i, (task, part) in enumerate(zip(tasks, whole.parts, strict=True)):
            out = stored.channel(part) if len(tasks) > 1 else plain
            results.append(_made(task, model, out, False, part_of(progress, i, len(tasks)), cancel))
        record = whole.record([result.record for result in results])
        stored.finish(name, channels=whole.channels, record=record, cancel=cancel)
    levels = stored.lazy()
    return [replace(result, data=_channels(levels, whole, part)) for result, part in zip(results, whole.parts, strict=True)]


def _channels(levels: list[Any], whole: Joined, part: int | slice) -> Any:
    """Return what a layer has become of an image."""
    if len(whole.parts) > 1:
        levels = [level[(slice(None),) * whole.axes.letters.index("c") + (part,)] for level in levels]
    return levels if len(levels) > 1 else levels[0]


def preview(task: Task, *, progress: Progress | None = None, cancel: Cancel | None = None) -> Result:
    """Make as much of the middle of a task's part as can be rendered quickly, see `run`."""
    part = task.to_look_at()
    with ready(task.settings, progress=progress, cancel=cancel) as model:
        look = look_at(part, model)
        while part.pixels > LEAST_PREVIEW and look.rendering_seconds(model.speed, part.span) > PREVIEW_SECONDS:
            part = part.central(max(part.pixels * 2 // 3, LEAST_PREVIEW))
        return _made(part, model, None, True, progress, cancel)


def lazy(task: Task, *, progress: Progress | None = None, cancel: Cancel | None = None) -> Result:
    """Prepare an array whose pixels are made when they are asked for, of the planes of a task.

    Its finest level is a dask array, its coarser ones are the source's own.
    """
    start, planes = time.perf_counter(), task.to_look_at().of_planes()
    with ready(task.settings, progress=progress, cancel=cancel) as model:
        finest, survey = look_at(planes, model, soon=True).lazy(progress, cancel)
        source = [level[task.region[:-2]] for level in task.pyramid]
        data = [finest, *levels_below(finest, source, task.rgb, cancel)]
    return Result(planes, data, _record(planes, model, survey) | {"lazy": True}, time.perf_counter() - start)


def look_at(task: Task, model: LoadedModel, soon: bool = False) -> Viewed:
    """Return what makes the planes of a task, or parts of them; if it is wanted soon, perhaps from a sampled survey."""
    chosen = task.settings
    wanted = task.axes, task.target, chosen.intensity, chosen.consistency
    how = model.speed if soon else None, chosen.sampled, chosen.strength, task.passes
    return Viewed(model.upscaler, task.pyramid, task.region[:-2], *wanted, *how)


def _made(task: Task, model: LoadedModel, out: Any, soon: bool, progress: Progress | None, cancel: Cancel | None) -> Result:
    """Make the pixels of a task, in `out` if that is given, and compare them with the input."""
    start = time.perf_counter()
    if isinstance(task, StackTask):
        pixels, record = _deepened(task, model, out, progress, cancel)
        return Result(task, pixels, record, time.perf_counter() - start)
    pixels, survey = look_at(task, model, soon).upscale(task.span, out, progress, cancel)
    # With the precision that was really used. A file hasn't got its name yet: whoever cancels now finds none.
    record, image = _record(task, model, survey), CancellableArray(task.image, cancel)
    compared: Compared = difference(image, pixels, task.axes, task.part) if task.settings.difference else ()
    seconds = time.perf_counter() - start
    if task.region == task.of_planes().region:
        model.speed.learn(model.upscaler, task.whole, task.size, task.target, task.count, seconds, task.passes)
    return Result(task, pixels, record, seconds, *compared)


def _facts(task: Task, model: LoadedModel) -> dict[str, Any]:
    """Return what a record says of what was worked on, and where."""
    return {
        "source_layer": task.name,
        "source_region": [[part.start, part.stop] for part in task.region],
        "consistency": task.settings.consistency,
        "strength": task.settings.strength,
        "device": str(model.upscaler.device),
        "model_choice": task.settings.reason or None,
    }


def _deepened(
    task: StackTask, model: LoadedModel, out: Any, progress: Progress | None, cancel: Cancel | None
) -> tuple[Any, dict[str, Any]]:
    """Put planes between those of a stack; return all, and how they came about."""
    from ..volume import upscale_volume

    chosen, image = task.settings, CancellableArray(task.image, cancel)
    levels = Upscaler.levels(image, axes=task.axes, intensity=chosen.intensity, nan="keep", cancel=cancel)
    options: dict[str, Any] = {"axes": task.axes, "nan": "keep", "consistency": chosen.consistency, "intensity": levels}
    options["strength"] = chosen.strength
    deeper = task.factors[task.axes.index("Z")]
    pixels = upscale_volume(model.upscaler, image, factor=deeper, out=out, progress=progress, cancel=cancel, **options)
    facts = _facts(task, model) | {"planes": task.planes, "sections": ["XZ", "YZ"]}
    return pixels, record_of_result(model.upscaler, task.whole, task.size, levels, facts)


def _record(task: Task, model: LoadedModel, survey: Survey) -> dict[str, Any]:
    (top, bottom), (left, right) = task.span
    facts = _facts(task, model) | {"factor": task.factors[-2:], "survey": survey_record(survey)}
    facts |= model.upscaler.steps(survey.request)
    levels = survey.levels_of(task.whole.dtype)
    return record_of_result(model.upscaler, task.whole, (bottom - top, right - left), levels, facts, survey=survey)
