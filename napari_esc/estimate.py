"""What a task makes and takes, said before it runs, and said anew when something changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from esc_plugin import EscError, HubError, list_models
from esc_plugin.device import free_host_bytes
from esc_plugin.progress import Cancel, Progress
from esc_plugin.texts import bytes_words, seconds_text

from .errors import plain_text
from .loaded import load_on_device
from .task import Task
from .texts import size_text
from .threads import Runner
from .work import look_at

#: Milliseconds without a change after which the estimate is made anew.
PAUSE = 250
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
    card : dict
        What the model says about itself.
    """

    seconds: float
    memory: int
    device: str
    scale: int
    card: dict[str, Any]


def estimate_work(task: Task) -> Callable[[Progress, Cancel], Estimate]:
    """Return the work of finding out what a task takes. A model that isn't on this machine is a `HubError`."""

    def work(progress: Progress, cancel: Cancel) -> Estimate:
        from esc_plugin.upscaler import bits_of

        chosen = task.settings
        loaded = load_on_device(chosen.model, chosen.device, chosen.memory_limit, offline=True)
        model = loaded.upscaler.model
        # All of a plane is surveyed, whatever part of it is wanted, unless samples will do.
        part = task.as_image() if chosen.sampled else task
        natural = part.target if model.any_scale else None
        plan = loaded.upscaler.plan(*part.size, natural, bits=bits_of(task.whole))
        seconds = look_at(task, loaded).seconds(loaded.speed, task.span)
        return Estimate(seconds, plan.device_bytes, loaded.device_text(), model.scale, model.card)

    return work


def too_large(nbytes: int) -> bool:
    """Tell whether a result should not be made in memory."""
    return nbytes > SHARE_OF_MEMORY * free_host_bytes()


def estimate_text(task: Task, estimate: Estimate | None) -> str:
    """Return what a task will make and take; with a warning where that is much."""
    text = f"Result: {size_text(task)}"
    if estimate:
        needs = f"{seconds_text(estimate.seconds)} and {bytes_words(estimate.memory)} of memory on {estimate.device}"
        text += f"<br>About {needs}."
    warning = "Large." if task.nbytes > LARGE_BYTES else ""
    if not warning and estimate and estimate.seconds > LONG_SECONDS:
        warning = "This takes a while."
    return f"<span style='color: #e8a33d'><b>{warning}</b> {text}</span>" if warning else text


class Estimator(QObject):
    """Says what a task takes as soon as nothing has changed for a moment: at once what is known, the rest from a thread.

    Parameters
    ----------
    parent : QObject
        The panel; the estimator ends with it.
    current_task : callable
        Returns the task as it is set up now, or raises an `EscError` that says what is missing.
    """

    #: What there is to say, and whether it stands in the way of a run.
    told = Signal(str, bool)
    #: A `Task` and its `Estimate`.
    measured = Signal(object, object)

    def __init__(self, parent: QObject, current_task: Callable[[], Task]) -> None:
        super().__init__(parent)
        #: Whether estimates are wanted; while the network runs they aren't.
        self.wanted = True
        self._current_task = current_task
        self._task: Task | None = None
        self._runner = Runner(self)
        self._runner.finished.connect(self._finished)
        self._runner.failed.connect(self._failed)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE)
        self._pause.timeout.connect(self.begin)

    def begin_soon(self) -> None:
        """Make a new estimate when nothing has changed for a moment."""
        self._pause.start()

    def stop(self) -> None:
        """Make no more estimates."""
        self._pause.stop()
        self._runner.stop()

    def begin(self) -> None:
        """Make a new estimate now."""
        if not self.wanted:
            return
        try:
            task = self._current_task()
        except EscError as error:
            self.told.emit(plain_text(error), True)
            return
        if too_large(task.nbytes) and not task.settings.store:
            self.told.emit(
                f"{size_text(task)}: too large for memory. Choose a file under 'Write to', or show it lazily.", True
            )
            return
        self.told.emit(estimate_text(task, None), False)
        if not self._runner.busy:
            self._task = task
            self._runner.start(estimate_work(task))

    def _finished(self, estimate: Estimate) -> None:
        assert self._task is not None
        task = self._task
        self.measured.emit(task, estimate)
        if task.identity == self._identity_now():
            self.told.emit(estimate_text(task, estimate), False)
        else:
            self.begin_soon()  # something has changed meanwhile

    def _failed(self, error: Exception) -> None:
        assert self._task is not None
        if isinstance(error, HubError) and _can_be_downloaded(self._task.settings.model):
            known = estimate_text(self._task, None)
            self.told.emit(f"{known}<br>The model isn't on this machine yet; it is downloaded first.", False)
        else:
            self.told.emit(plain_text(error) or f"{type(error).__name__}: {error}", True)

    def _identity_now(self) -> Any:
        try:
            return self._current_task().identity
        except EscError:
            return None


def _can_be_downloaded(model: str) -> bool:
    return "/" in model or any(entry.name == model for entry in list_models())
