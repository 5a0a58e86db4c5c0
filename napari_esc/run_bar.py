"""The buttons that start and stop work, how far it is, what waits, and what became of it."""

from __future__ import annotations

import time
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from .controls import button, side_by_side
from .jobs import Job, queue
from .texts import progress_text

START = {
    "Preview": "Upscale the middle of what is in view, as much as takes a few seconds.",
    "Show lazily": "Add a layer of any size at once; its pixels are made when they come into view.",
    "Run": "Upscale the chosen region into a new layer.",
}
STOP = {
    "Cancel": "Stop what runs, as Esc does. Nothing is left behind, neither layer nor file.",
}


class RunBar(QWidget):
    """Buttons, and while something runs, its progress and Cancel; above an estimate, below a result. `clicked` names one.

    Parameters
    ----------
    start, stop : dict of str to str
        Tooltips of the buttons, by their texts: the last of the first ones starts the work itself.
    """

    clicked = Signal(str)

    def __init__(self, start: dict[str, str] = START, stop: dict[str, str] = STOP) -> None:
        super().__init__()
        self._main, self._help = list(start)[-1], start | stop
        self.buttons = {text: button(text, tooltip, self._clicked(text)) for text, tooltip in self._help.items()}
        self.estimate, self.waiting, self.result, self.bar = QLabel(), QLabel(), QLabel(), QProgressBar()
        self.bar.setAccessibleName("Progress")
        row, stops = ([self.buttons[text].native for text in texts] for texts in (start, stop))
        self._running, layout = side_by_side(self.bar, *stops), QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.estimate, side_by_side(*row, equal=True), self._running, self.waiting, self.result):
            layout.addWidget(widget)
        for label in (self.estimate, self.waiting, self.result):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText if label is self.waiting else Qt.TextFormat.RichText)
        self._began = 0.0
        self.show_jobs([])

    def show_estimate(self, text: str, problem: bool = False) -> None:
        """Show what a run would make and take, or the problem that there is none."""
        self.estimate.setText(text)
        self.buttons[self._main].enabled = not problem
        self.buttons[self._main].tooltip = text if problem else self._help[self._main]

    def show_jobs(self, jobs: list[Job]) -> None:
        """Show what runs and waits."""
        waiting = [job.title for job in jobs if job is not queue.jobs[0]]
        self.waiting.setText(f"Waits: {', '.join(waiting)}")
        self.waiting.setVisible(bool(waiting))
        self._running.setVisible(bool(jobs))

    def show_progress(self, done: int, total: int) -> None:
        """Show how far the first job is."""
        self._began = self._began or time.perf_counter()
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setFormat(progress_text(done, total, time.perf_counter() - self._began))

    def show_result(self, text: str) -> None:
        """Show what became of a job, and be ready for the next one."""
        self.result.setText(text)
        self.bar.setRange(0, 0)
        self.bar.setFormat("%p %")
        self._began = 0.0

    def _clicked(self, text: str) -> Any:
        return lambda: self.clicked.emit(text)
