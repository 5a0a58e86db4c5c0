"""What panels have in common: they follow their viewer, put work into the queue, and end with their dock or window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from npe2 import PluginManager
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QFrame, QScrollArea, QShortcut, QVBoxLayout, QWidget

from .errors import show_error
from .jobs import Job, queue
from .preferences import use_models_folder
from .run_bar import RunBar

#: The dock of the panel that fine-tunes, as napari calls it when a menu opens it. `Window.add_plugin_dock_widget` names it
#: otherwise, so that there were two.
FINETUNING = "Fine-tune with ESC... (ESC super-resolution)"


class Panel(QWidget):
    """A widget for a dock, whose work a bar shows."""

    #: It has nothing to do any more; it ends.
    idle, closed = Signal(), Signal()
    cancelled = "Cancelled; nothing was added."

    def __init__(self, viewer: Any, run_bar: RunBar) -> None:
        super().__init__()
        use_models_folder()
        self.viewer, self.run_bar = viewer, run_bar
        self._heard: list[tuple[Any, Callable[..., None]]] = []
        self.escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self, self.cancel)
        self.escape.activatedAmbiguously.connect(self.cancel)  # another panel's work could be meant, too
        self.escape.setEnabled(False)
        self.setMinimumWidth(310)

    def _stack(self, form: QWidget, *below: QWidget, above: Sequence[QWidget] = ()) -> None:
        """Fill the panel; the form takes the room that is left, and is scrolled where that is too little."""
        layout, area = QVBoxLayout(self), QScrollArea()
        layout.setContentsMargins(6, 6, 6, 6)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(form)
        for widget in (*above, area, self.run_bar, *below):
            layout.addWidget(widget, int(widget is area))

    def sizeHint(self) -> QSize:  # noqa: N802
        """Leave most of a small window to the canvas."""
        return QSize(320, super().sizeHint().height())

    # How it ends

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Close when the panel loses its dock: napari's X takes it out and drops it, without a close event."""
        super().changeEvent(event)
        if event and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._close()

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """Close for good when the panel is a window of its own."""
        super().closeEvent(event)
        self._close()

    def _close(self) -> None:
        """End the work and let go of the viewer. Qt deletes the panel soon, and not Python at any later moment."""
        for event, heard in self._heard:
            event.disconnect(heard)
        self._heard.clear()
        self.closed.emit()
        for job in self.jobs:
            job.stop()
        self.deleteLater()

    # What it hears of

    def _listen_to_layers(self, react: Callable[[], None]) -> None:
        """React to layers that come, go, move, or are selected."""
        layers = self.viewer.layers
        for event in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            self._listen(event, react)
        self._listen(layers.selection.events.changed, react)

    def _listen(self, event: Any, react: Callable[[], None]) -> None:
        """React to an event of the viewer as long as there is a panel: a window that is closed deletes it, and tells nobody.

        The viewer compares its callbacks when it drops one, and a deleted Qt object can't even be compared: so it is given
        a function.
        """

        def heard(event: Any = None) -> None:
            if isalive(self):
                react()

        event.connect(heard)
        self._heard.append((event, heard))

    # What it runs

    @property
    def jobs(self) -> list[Job]:
        """What the panel has begun and isn't over yet."""
        return [job for job in queue.alive() if job.parent() is self]

    def cancel(self) -> None:
        """Stop what runs, or else what waits first."""
        if self.jobs:
            self.jobs[0].cancel()

    def _begin(self, job: Job, finished: Callable[[Job, Any], None]) -> None:
        """Put a job into the queue.

        Raises
        ------
        EscError
            If the same is being worked on already.
        """
        if not self.jobs:
            self.run_bar.show_result("")  # what became of the job before would stand below the progress of this one
        job.finished.connect(finished)
        job.failed.connect(self._failed)
        job.cancelled.connect(self._cancelled)
        job.progressed.connect(self._progressed)
        job.moved.connect(self._show_busy)
        queue.add(job)

    def _progressed(self, done: int, total: int) -> None:
        self.run_bar.show_progress(done, total)

    def _failed(self, job: Job, error: Exception) -> None:
        show_error(error)
        self._ended("")

    def _cancelled(self, job: Job) -> None:
        self._ended(self.cancelled)

    def _ended(self, text: str) -> None:
        self.run_bar.show_result(text)
        self._show_busy()

    def _show_busy(self) -> None:
        """Show what runs."""
        jobs = self.jobs
        self.run_bar.show_jobs(jobs)
        self.escape.setEnabled(bool(jobs))
        if not jobs:
            self.idle.emit()

    def _finetune(self, purpose: str) -> None:
        open_finetuning(self.viewer, purpose)


def open_finetuning(viewer: Any, purpose: str = "") -> Any:
    """Show the panel that fine-tunes, for one of `esc_plugin.catalog.purposes.PURPOSES`, as a tab beside the others."""
    panel = viewer.window.dock_widgets.get(FINETUNING)
    if panel is None:
        panel = PluginManager.instance().commands.get("esc-plugin.open_finetuning")(viewer)
        viewer.window.add_dock_widget(panel, name=FINETUNING, tabify=True)
    dock = panel.parent()
    dock.show()
    dock.raise_()
    if purpose in panel.purpose.choices:
        panel.purpose.value = purpose
    return panel
