"""What a run would do, found out in a thread before it, and anew when something changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from esc_plugin import EscError

from .jobs import Job, Work
from .panel import Panel

#: Milliseconds without a change after which it is looked anew.
PAUSE = 250


class Preflight(QObject):
    """Looks at what a panel is set up for when nothing has changed for a moment; in a thread only while the panel is idle.

    Parameters
    ----------
    panel : Panel
        With it the preflight ends.
    set_up : callable
        Returns what is to be done in a thread, and what it is about, or raises an `EscError` that says what is missing.
    """

    #: What it was about, and what was found.
    found = Signal(object, object)
    #: What it was about, ``None`` if that isn't known, and the error.
    failed = Signal(object, object)

    def __init__(self, panel: Panel, set_up: Callable[[], tuple[Work, Any]]) -> None:
        super().__init__(panel)
        self._panel, self._set_up = panel, set_up
        self._job: Job | None = None
        self._changed = False  # since the job began
        self._pause = QTimer(self, singleShot=True, interval=PAUSE)
        self._pause.timeout.connect(self.begin)
        panel.idle.connect(self.begin_soon)
        panel.closed.connect(self.stop)

    def begin_soon(self) -> None:
        """Look when nothing has changed for a moment."""
        self._changed = True
        self._pause.start()

    def stop(self) -> None:
        """Look no more."""
        self._pause.stop()
        if self._job is not None:
            self._job.stop()

    def begin(self) -> None:
        """Look now."""
        self._changed = True
        try:
            work, subject = self._set_up()
        except EscError as error:
            self.failed.emit(None, error)
            return
        if self._job is None and not self._panel.jobs:
            self._changed, self._job = False, Job(work, subject, parent=self)
            self._job.finished.connect(self._finished)
            self._job.failed.connect(self._failed)
            self._job.start()

    def _finished(self, job: Job, result: Any) -> None:
        if self._is_news():
            self.found.emit(job.subject, result)

    def _failed(self, job: Job, error: Exception) -> None:
        if self._is_news():
            self.failed.emit(job.subject, error)

    def _is_news(self) -> bool:
        """Whether what was found is of what is set up now; else it is looked anew."""
        self._job = None
        if self._changed or self._panel.jobs:
            self.begin_soon()
            return False
        return True
