"""The buttons that start and stop a run, how far it is, and what became of it."""

from __future__ import annotations

import time

from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from .texts import progress_text


class RunBar(QWidget):
    """Preview and Run, or while something runs, its progress and Cancel; above an estimate, below a result."""

    def __init__(self) -> None:
        super().__init__()
        self.estimate_label, self.result_label, self.bar = QLabel(), QLabel(), QProgressBar()
        for label in (self.estimate_label, self.result_label):
            label.setWordWrap(True)
        self.bar.setTextVisible(True)
        titles = "Preview", "Show lazily", "Run", "Cancel"
        self.preview_button, self.lazy_button, self.run_button, self.cancel_button = map(QPushButton, titles)
        self.preview_button.setToolTip("Upscale the middle of what is in view, as much as takes a second or two.")
        self.lazy_button.setToolTip("Add a layer of any size at once; its pixels are made when they come into view.")
        self._idle = self.preview_button, self.lazy_button, self.run_button
        buttons, layout = QHBoxLayout(), QVBoxLayout(self)
        for widget in (*self._idle, self.bar, self.cancel_button):
            buttons.addWidget(widget, int(widget is self.bar))
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.estimate_label)
        layout.addLayout(buttons)
        layout.addWidget(self.result_label)
        self._began = 0.0
        self._show_running(False)

    def show_estimate(self, text: str, problem: bool = False) -> None:
        """Show what a run would make and take, or the problem that there is none."""
        self.estimate_label.setText(text)
        self.run_button.setEnabled(not problem)
        self.run_button.setToolTip(text if problem else "")

    def begin(self) -> None:
        """Show that something runs."""
        self._began = time.perf_counter()
        self.result_label.clear()
        self._show_running(True)

    def show_progress(self, done: int, total: int) -> None:
        """Show how far it is."""
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setFormat(progress_text(done, total, time.perf_counter() - self._began))

    def end(self, text: str) -> None:
        """Show what became of it."""
        self._show_running(False)
        self.result_label.setText(text)

    def _show_running(self, running: bool) -> None:
        self.bar.setRange(0, 0)
        self.bar.setFormat("%p %")
        for widget in (self.bar, self.cancel_button):
            widget.setVisible(running)
        for widget in self._idle:
            widget.setVisible(not running)
