"""Work in threads: napari's, one job at a time, in the order in which they came."""

from __future__ import annotations

import atexit
import time
import weakref
from collections.abc import Callable, Generator
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker
from napari.utils import cancelable_progress
from qtpy.compat import isalive
from qtpy.QtCore import QObject, Signal

from esc_plugin import Cancelled, EscError
from esc_plugin.progress import Cancel, Progress

#: Seconds between two reports of how far a job is.
PAUSE = 0.1

# Napari waits for its threads when the window is closed by hand. A script that simply ends would take Qt from under them.
atexit.register(GeneratorWorker.await_workers, 10_000)

#: ``work(progress=..., cancel=...) -> result``; it touches neither viewer nor widgets.
Work = Callable[..., Any]
#: What work returned, and the error that ended it.
Outcome = tuple[Any, Exception | None]


def steps(worker_of: Callable[[], Any], job: weakref.ref[Job]) -> Generator[Any, None, Outcome]:
    """Do the work of a job, as the generator of a napari worker that yields ``(done, total)``.

    It returns an error instead of raising it: a worker that raises a RuntimeError never ends. And it holds neither the work
    nor what became of it when it is told to quit: napari keeps all of its workers, and one that has quit keeps this.
    """
    worker, told = worker_of(), 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() > told + PAUSE:
            told = time.monotonic()
            worker.yielded.emit((done, total))

    def cancel() -> bool:
        # A window that is closed deletes what is in it, and tells nobody.
        owner = job()
        return bool(worker.abort_requested) or owner is None or not isalive(owner)

    outcome = _done(job, progress, cancel)
    if worker.abort_requested:
        outcome = None, None
    # Asked for one thing more, a worker that was told to quit reports itself as aborted.
    yield None
    return outcome


def _done(job: weakref.ref[Job], progress: Progress, cancel: Cancel) -> Outcome:
    owner = job()
    if owner is None:
        return None, Cancelled("cancelled.")
    work, owner = owner.work, None
    try:
        return work(progress=progress, cancel=cancel), None
    except Exception as error:  # whatever it is, the window's thread shows it
        return None, error


class Job(QObject):
    """Work that runs in a thread. All signals come in the window's thread, with the job, and its result or error.

    They want methods: a function that knows its panel would keep that alive.

    Parameters
    ----------
    work : callable
        See `Work`.
    subject : object
        What it is about, for those who are told.
    title : str
        Of the line in napari's list of activities; without one there is none.
    identity : object, optional
        Equal for work that would make the same.
    parent : QObject, optional
        Once it is deleted, the work stops.
    """

    progressed = Signal(int, int)
    finished = Signal(object, object)
    failed = Signal(object, object)
    cancelled = Signal(object)
    #: Other jobs came or went.
    moved = Signal()

    def __init__(
        self, work: Work, subject: Any, title: str = "", identity: Any = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.work, self.subject, self.title, self.identity = work, subject, title, identity
        self._worker, self._activity = None, None
        self._outcome: Outcome = None, None

    @property
    def is_running(self) -> bool:
        """Whether it has begun and isn't over."""
        return self._worker is not None

    def start(self) -> None:
        """Begin now."""
        worker: Any = create_worker(steps, lambda: worker, weakref.ref(self), _ignore_errors=True)
        self._worker = worker
        worker.yielded.connect(self._look)
        worker.returned.connect(self._returned)
        worker.finished.connect(self._end)
        worker.finished.connect(queue.go_on)
        self.show(self.title)
        worker.start()

    def cancel(self) -> None:
        """Ask the work to end; `cancelled` follows when it has."""
        if self._worker is not None:
            self._worker.quit()
        else:  # it waits
            self._release()
            self.cancelled.emit(self)

    def stop(self) -> None:
        """Ask the work to end, and don't wait for it: no signal follows."""
        if self._worker is not None:
            self._worker.quit()
        self._release()

    def show(self, text: str) -> None:
        """Show the job in napari's list of activities."""
        if self._activity is not None:
            self._activity.set_description(text)
        elif text:
            activity = cancelable_progress(total=0, desc=text)
            # To show it, napari lets Qt work on its events: by now the job may be over.
            if self in queue.jobs:
                self._activity = activity
            else:
                activity.close()

    def hide(self) -> None:
        """Take it off napari's list."""
        activity, self._activity = self._activity, None
        if activity is not None:
            activity.close()

    def check(self) -> None:
        """Cancel a job that was cancelled in napari's list, which tells nobody."""
        if self._activity is not None and self._activity.is_canceled:
            self.cancel()

    def _look(self, step: tuple[int, int] | None) -> None:
        if step is None or self._worker is None:
            return
        self.progressed.emit(*step)
        for job in queue.alive():
            job.check()
        activity, (done, total) = self._activity, step
        if activity is not None:
            activity.total = total
            # Last, because it lets Qt work on its events, and the end of the work may be one of them.
            activity.update(done - activity.n)

    def _returned(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def _end(self) -> None:
        worker, (result, error) = self._worker, self._outcome
        if worker is None:  # it was stopped
            return
        over = worker.abort_requested or isinstance(error, Cancelled)
        self._release()
        if over:
            self.cancelled.emit(self)
        elif error is not None:
            self.failed.emit(self, error)
        else:
            self.finished.emit(self, result)

    def _release(self) -> None:
        self._worker = None
        self.hide()
        queue.drop(self)
        self.deleteLater()


class Queue(QObject):
    """Jobs, of which the first runs and the others wait: two networks at a time would take each other's cores and memory."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []

    def alive(self) -> list[Job]:
        """Return the jobs whose windows are still there."""
        gone = [job for job in self.jobs if not isalive(job)]
        self.jobs = [job for job in self.jobs if job not in gone]
        for job in gone:
            job.hide()
        return list(self.jobs)

    def add(self, job: Job) -> None:
        """Let a job run when its turn comes.

        Raises
        ------
        EscError
            If the same is being worked on already, or waits.
        """
        if job.identity is not None and any(other.identity == job.identity for other in self.alive()):
            raise EscError("this is being made already, with the same settings.")
        self.jobs.append(job)
        if self.jobs[0] is not job:
            job.show(f"waits: {job.title}")
        self.go_on()

    def drop(self, job: Job) -> None:
        """Forget a job, and let the next one begin."""
        self.jobs = [other for other in self.jobs if other is not job]
        self.go_on()

    def go_on(self) -> None:
        """Begin the first job unless it runs: a window that is closed takes its jobs along, and those of others wait."""
        jobs = self.alive()
        if jobs and not jobs[0].is_running:
            jobs[0].start()
        for job in self.alive():
            job.moved.emit()


#: Of all panels and commands.
queue = Queue()
