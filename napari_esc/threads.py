"""Work in a thread, with progress and cancel; one piece at a time."""

from __future__ import annotations

import atexit
import time
import weakref
from collections.abc import Callable, Generator
from typing import Any, ClassVar

from napari.qt.threading import GeneratorWorker, create_worker
from napari.utils import cancelable_progress
from qtpy.compat import isalive
from qtpy.QtCore import QObject, Signal

from esc_plugin import Cancelled, EscError
from esc_plugin.progress import Cancel, Progress

#: Seconds between two reports of how far the work is.
PAUSE = 0.1

# Napari waits for its threads when the window is closed by hand. A script that simply ends would take Qt from under them.
atexit.register(GeneratorWorker.await_workers, 10_000)

Work = Callable[[Progress, Cancel], Any]


#: What work returned, and the error that ended it.
Outcome = tuple[Any, Exception | None]


def steps(work: Work, worker_of: Callable[[], Any], runner: weakref.ref[Runner]) -> Generator[None, None, Outcome]:
    """Do the work in a thread, as the generator of a worker that tells ``(done, total)``.

    It returns an error instead of raising it: a worker that raises a RuntimeError never ends.
    """
    worker, told = worker_of(), 0.0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() > told + PAUSE:
            told = time.monotonic()
            worker.yielded.emit((done, total))

    def cancel() -> bool:
        # A window that is closed deletes what is in it, and tells nobody.
        owner = runner()
        return bool(worker.abort_requested) or owner is None or not isalive(owner)

    outcome: Outcome
    try:
        outcome = work(tell, cancel), None
    except Exception as error:  # whatever it is, the window's thread shows it
        outcome = None, error
    # Asked for one thing more, a worker that was told to quit reports itself as aborted.
    yield None
    return outcome


class Runner(QObject):
    """Runs work in a thread. All signals come in the window's thread.

    Parameters
    ----------
    parent : QObject
        Once it is deleted, the work stops.
    """

    progressed = Signal(int, int)
    finished = Signal(object)
    failed = Signal(object)
    cancelled = Signal()

    #: What is being worked on, by any runner; see `start`.
    _identities: ClassVar[list[Any]] = []

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: Any = None
        self._outcome: Outcome | None = None
        self._identity: Any = None
        self._activity: cancelable_progress | None = None

    @property
    def busy(self) -> bool:
        """Whether work is going on."""
        return self._worker is not None

    def start(self, work: Work, title: str = "", identity: Any = None) -> None:
        """Begin.

        Parameters
        ----------
        work : callable
            ``work(progress, cancel) -> result``; it touches neither viewer nor widgets.
        title : str
            Of the line in napari's activity list; without one there is none.
        identity : object, optional
            Equal for work that would make the same, which isn't done twice at a time.

        Raises
        ------
        RuntimeError
            If work is going on.
        EscError
            If the same is being worked on already.
        """
        if self.busy:
            raise RuntimeError("one piece of work at a time.")
        if identity is not None and identity in self._identities:
            raise EscError("this is being upscaled already, with the same settings.")
        worker: Any = create_worker(steps, work, lambda: worker, weakref.ref(self), _ignore_errors=True)
        self._worker, self._identity = worker, identity
        self._identities.append(identity)
        worker.yielded.connect(self._look)
        worker.returned.connect(self._returned)
        worker.finished.connect(self._end)
        if title:
            self._show_activity(title)
        worker.start()

    def cancel(self) -> None:
        """Ask the work to end; `cancelled` follows when it has."""
        if self._worker is not None:
            self._worker.quit()

    def stop(self) -> None:
        """Ask the work to end, and don't wait for it: no signal follows."""
        self.cancel()
        self._release()

    def _show_activity(self, title: str) -> None:
        activity = cancelable_progress(total=0, desc=title)
        # To show it, napari lets Qt work on its events: by now the panel may be closed.
        if self.busy:
            self._activity = activity
        else:
            activity.close()

    def _look(self, step: tuple[int, int] | None) -> None:
        if step is None or not self.busy:
            return
        self.progressed.emit(*step)
        activity, (done, total) = self._activity, step
        if activity is None:
            return
        if activity.is_canceled:
            self.cancel()
        if activity.total != total:
            activity.total = total
        # Last, because it lets Qt work on its events, and the end of the work may be one of them.
        activity.update(done - activity.n)

    def _returned(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def _end(self) -> None:
        if not self.busy:
            return
        cancelled, outcome = self._worker.abort_requested, self._outcome
        self._release()
        result, error = outcome or (None, None)
        if cancelled or outcome is None or isinstance(error, Cancelled):
            self.cancelled.emit()
        elif error is not None:
            self.failed.emit(error)
        else:
            self.finished.emit(result)

    def _release(self) -> None:
        """Be free for other work."""
        if not self.busy:
            return
        self._identities.remove(self._identity)
        activity, self._activity = self._activity, None
        self._worker = self._outcome = self._identity = None
        if activity is not None:
            activity.close()
