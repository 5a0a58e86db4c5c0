"""What an order makes and takes, said before it runs, and said anew when something changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from esc_plugin import EscError, HubError, list_models

from .errors import plain_text
from .jobs import Job
from .order import Order
from .texts import estimate_text, size_text, too_large

#: Milliseconds without a change after which the estimate is made anew.
PAUSE = 250


class Estimator(QObject):
    """Says what an order takes as soon as nothing has changed for a moment: at once what is known, the rest from a thread.

    Parameters
    ----------
    parent : QObject
        The panel; the estimator ends with it.
    order_now : callable
        Returns the order as it is set up now, or raises an `EscError` that says what is missing.
    """

    #: What there is to say, and whether it stands in the way of a run.
    told = Signal(str, bool)
    #: An `Order` and the `Estimate` of each task.
    measured = Signal(object, object)

    def __init__(self, parent: QObject, order_now: Callable[[], Order]) -> None:
        super().__init__(parent)
        #: Whether more is wanted than is known at once; while a network runs it isn't.
        self.wanted = True
        self._order_now = order_now
        self._job: Job | None = None
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
        if self._job is not None:
            self._job.stop()

    def begin(self) -> None:
        """Make a new estimate now."""
        try:
            order = self._order_now()
        except EscError as error:
            self.told.emit(plain_text(error), True)
            return
        if too_large(order.nbytes) and not order.settings.store:
            advice = "too large for memory. Choose a file under 'Write to', or show it lazily."
            self.told.emit(f"{size_text(order)}: {advice}", True)
            return
        self.told.emit(estimate_text(order), False)
        if self._job is None and self.wanted:
            self._job = job = Job(order.estimate, order, parent=self)
            job.finished.connect(self._finished)
            job.failed.connect(self._failed)
            job.start()

    def _finished(self, job: Job, estimates: Any) -> None:
        order = self._over(job)
        self.measured.emit(order, estimates)
        if order.identity == self._identity_now():
            self.told.emit(estimate_text(order, estimates), False)
        else:
            self.begin_soon()  # something has changed meanwhile

    def _over(self, job: Job) -> Order:
        self._job = None
        order: Order = job.subject
        return order

    def _failed(self, job: Job, error: Exception) -> None:
        order = self._over(job)
        if isinstance(error, HubError) and _can_be_downloaded(order.settings.model):
            self.told.emit(f"{estimate_text(order)}<br>The model isn't on this machine yet; it is downloaded first.", False)
        else:
            self.told.emit(plain_text(error) or f"{type(error).__name__}: {error}", True)

    def _identity_now(self) -> Any:
        try:
            return self._order_now().identity
        except EscError:
            return None


def _can_be_downloaded(model: str) -> bool:
    return "/" in model or any(entry.name == model for entry in list_models())
