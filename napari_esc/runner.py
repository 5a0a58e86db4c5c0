"""Work in a thread, with progress and cancel; one piece at a time."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from napari.qt.threading import create_worker
from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, QTimer, Signal
from superqt.utils import WorkerBase

from esc_plugin import Cancelled

#: Milliseconds between two looks at how far the work is.
LOOK = 100

# Napari waits for its threads when the window is closed by hand. A script that simply ends would take Qt from under them.
atexit.register(WorkerBase.await_workers, 10_000)

Work = Callable[[Callable[[int, int], None], Callable[[], bool]], Any]


@dataclass
class Ticket:
    """What the thread and the window share. Each field has one writer, so no lock is needed.

    Attributes
    ----------
    work : callable
        ``work(progress, cancel) -> result``.
    cancel : callable
        Whether someone said stop: the window by our button, or napari because it closes.
    done, total : int
        How far it is.
    result, error
        How it ended; both ``None`` if it was cancelled.
    """

    work: Work
    cancel: Callable[[], bool] = lambda: False
    done: int = 0
    total: int = 0
    result: Any = None
    error: Exception | None = None

    def tell(self, done: int, total: int) -> None:
        """Take note of progress."""
        self.done, self.total = done, total


def esc_work(ticket: Ticket) -> Iterator[None]:
    """Run in the thread. It is a generator, because only those can be told to quit."""
    try:
        ticket.result = ticket.work(ticket.tell, ticket.cancel)
    except Cancelled:
        pass
    except Exception as error:  # whatever it is, the window's thread shows it
        ticket.error = error
    # Asked for one thing more, a worker that was told to quit reports itself as aborted.
    yield


class Runner(QObject):
    """Runs work in a thread. All signals come in the window's thread.

    Parameters
    ----------
    parent : QObject
        With it the work ends.
    """

    progressed = Signal(int, int)
    finished = Signal(object)
    failed = Signal(object)
    cancelled = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: Any = None
        self._ticket: Ticket | None = None
        self._activity: cancelable_progress | None = None
        # A panel that is deleted while work goes on takes the work with it; what is connected here must not be a part of it.
        workers: list[Any] = []
        self._workers = workers
        self.destroyed.connect(lambda: [worker.quit() for worker in workers])
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK)
        self._timer.timeout.connect(self._look)

    @property
    def busy(self) -> bool:
        """Whether work is going on."""
        return self._worker is not None

    def start(self, work: Work, title: str = "") -> None:
        """Begin.

        Parameters
        ----------
        work : callable
            ``work(progress, cancel) -> result``; it touches neither viewer nor widgets.
        title : str
            Of the line in napari's activity list; without one there is none.

        Raises
        ------
        RuntimeError
            If work is going on.
        """
        if self.busy:
            raise RuntimeError("one piece of work at a time.")
        ticket = self._ticket = Ticket(work)
        worker = self._worker = create_worker(esc_work, ticket, _ignore_errors=True)
        ticket.cancel = lambda: worker.abort_requested
        worker.finished.connect(self._end)
        self._workers.append(worker)
        self._activity = cancelable_progress(total=0, desc=title) if title else None
        worker.start()
        self._timer.start()

    def cancel(self) -> None:
        """Ask the work to end; `cancelled` follows when it has."""
        if self._worker is not None:
            self._worker.quit()

    def _look(self) -> None:
        ticket, activity = self._ticket, self._activity
        if ticket is None or not ticket.total:
            return
        self.progressed.emit(ticket.done, ticket.total)
        if activity is None:
            return
        if activity.is_canceled:
            self.cancel()
        if activity.total != ticket.total:
            activity.total = ticket.total
        # Last, because it lets Qt work on its events, and the end of the work may be one of them.
        activity.update(ticket.done - activity.n)

    def _end(self) -> None:
        self._timer.stop()
        ticket, worker, self._ticket, self._worker = self._ticket, self._worker, None, None
        if self._activity is not None:
            self._activity.close()
            self._activity = None
        self._workers.clear()
        if ticket is None:
            return
        # The worker holds the ticket; without the way back it can go at once, in this thread.
        cancelled, ticket.cancel = worker.abort_requested, lambda: False
        del worker
        if ticket.error is not None:
            self.failed.emit(ticket.error)
        elif ticket.result is None or cancelled:
            self.cancelled.emit()
        else:
            self.finished.emit(ticket.result)
