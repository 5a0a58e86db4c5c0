"""What runs in threads, as functions ``work(progress, cancel) -> result``, and what is known before they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from esc_plugin.device import free_host_bytes
from esc_plugin.progress import Cancel, Progress

from .engines import Engine, engine_for
from .job import Result, Settings, Task
from .settings import get_setting

#: A preview works on as much of the view as takes this many seconds.
PREVIEW_SECONDS = 1.5
#: Of the free memory, how much a result may take.
SHARE_OF_MEMORY = 0.6
#: From here on the panel warns.
LARGE_BYTES, LONG_SECONDS = 2 * 2**30, 120.0


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
    any_scale : bool
        Whether the model renders any factor itself.
    card : dict
        What the model says about itself.
    """

    seconds: float
    memory: int
    device: str
    scale: int
    any_scale: bool
    card: dict[str, Any]


def upscale_work(task: Task) -> Callable[[Progress, Cancel], tuple[Task, Result]]:
    """Return the work of a task."""

    def work(progress: Progress, cancel: Cancel) -> tuple[Task, Result]:
        return task, task.run(_engine(task.settings, progress, cancel), progress, cancel)

    return work


def preview_work(task: Task) -> Callable[[Progress, Cancel], tuple[Task, Result]]:
    """Return the work of a task, on as much of the middle of its region as can be done quickly."""

    def work(progress: Progress, cancel: Cancel) -> tuple[Task, Result]:
        engine = _engine(task.settings, progress, cancel)
        seconds = engine.seconds(task.image, task.size, task.target)
        pixels = int(task.size[0] * task.size[1] * min(1.0, PREVIEW_SECONDS / max(seconds, 1e-9)))
        part = task.central(pixels)
        return part, part.run(engine, progress, cancel)

    return work


def estimate_work(task: Task) -> Callable[[Progress, Cancel], Estimate]:
    """Return the work of finding out what a task takes. A model that isn't on this machine is a `HubError`."""

    def work(progress: Progress, cancel: Cancel) -> Estimate:
        from esc_plugin.upscaler import bits_of

        chosen = task.settings
        engine = engine_for(chosen.model, chosen.device, chosen.memory_limit, offline=True)
        model = engine.upscaler.model
        natural = task.target if model.any_scale else None
        plan = engine.upscaler.plan(*task.size, natural, bits=bits_of(task.image))
        seconds = engine.seconds(task.image, task.size, task.target) * task.planes
        return Estimate(seconds, plan.device_bytes, engine.device_words(), model.scale, model.any_scale, model.card)

    return work


def too_large(nbytes: int) -> bool:
    """Tell whether a result should not be made in memory."""
    return nbytes > SHARE_OF_MEMORY * free_host_bytes()


def memory_limit() -> int | None:
    """Return the limit that the user has set, in bytes."""
    return int(get_setting("memory_gb") * 2**30) or None


def _engine(settings: Settings, progress: Progress, cancel: Cancel) -> Engine:
    return engine_for(settings.model, settings.device, settings.memory_limit, progress=progress, cancel=cancel)
