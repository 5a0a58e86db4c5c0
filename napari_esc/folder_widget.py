"""The panel for many image files: what was found before, how far it is meanwhile, and what became of each after."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QVBoxLayout

from esc_plugin import EscError
from esc_plugin.session.folder import FolderWork

from .errors import plain_text, show_error
from .finetune_widget import news, open_finetuning
from .folder_form import FolderForm
from .folder_texts import ended_text, found_text, running_text
from .jobs import Job
from .panel import Panel, scrolled
from .run_bar import RunBar
from .widget import EscWidget

START = {
    "Open last result": "Open the result that was written last.",
    "Show folder": "Show the folder of the result that was written last.",
    "Run": "Upscale the images, one after the other. Nothing is added to the viewer.",
}
STOP = {"Cancel": "Stop what runs, as Esc does. Results that are finished stay; no half of one does."}
#: Milliseconds without a change after which the images are looked for anew.
PAUSE = 250


class FolderWidget(Panel):
    """Upscale image files with ESC, all with the same settings.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where a result is opened, if the user asks for it.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, RunBar(START, STOP))
        self.form, self.last = FolderForm(), Path()
        self._looking: Job | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(scrolled(self.form), 1)
        layout.addWidget(self.run_bar)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE)
        self._pause.timeout.connect(self.look)
        self.form.changed.connect(self._pause.start)
        self.form.finetuning_wanted.connect(self._finetune)
        news.model_made.connect(self.form.show_model)
        self.run_bar.clicked.connect(self._clicked)
        self._show_last(Path())
        if (panel := _open_panel(napari_viewer)) is not None:
            self.form.take_over(panel.form)
        self.look()

    # What there is to do

    def _finetune(self) -> None:
        open_finetuning(self.viewer, self.form.purpose.value)

    def look(self) -> None:
        """Look for the images in a thread: a folder may be large, and behind a network."""
        if self.jobs:
            return
        if self._looking is not None:
            self._pause.start()
            return
        try:
            work = FolderWork(self.form.order())
        except EscError as error:
            self._tell(error)
            return
        self._looking = job = Job(work.look, work, parent=self)
        job.finished.connect(self._looked)
        job.failed.connect(self._not_looked)
        job.start()

    def _looked(self, job: Job, work: FolderWork) -> None:
        self._looking = None
        if not self.jobs:
            self.run_bar.show_estimate(found_text(work), not work.ready)

    def _not_looked(self, job: Job, error: Exception) -> None:
        self._looking = None
        if not self.jobs:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        self.run_bar.show_estimate(escape(plain_text(error) or f"{type(error).__name__}: {error}"), True)

    # What it runs

    def _clicked(self, name: str) -> None:
        {"Run": self.run, "Open last result": self._open, "Show folder": self._show, "Cancel": self.cancel}[name]()

    def run(self) -> None:
        """Upscale all images."""
        try:
            work = FolderWork(self.form.order())
            self._begin(Job(work.run, work, f"ESC {', '.join(work.order.images)}", work.order, self), self._finished)
        except EscError as error:
            show_error(error)

    def _progressed(self, done: int, total: int) -> None:
        super()._progressed(done, total)
        job = self.jobs[0]
        text = running_text(job.subject)
        self.run_bar.show_estimate(f"Image {escape(text)}")
        job.show(f"ESC {text}")

    def _finished(self, job: Job, work: FolderWork) -> None:
        self._over("Done", work)

    def _cancelled(self, job: Job) -> None:
        self._over("Cancelled", job.subject)

    def _over(self, how: str, work: FolderWork) -> None:
        if work.summary.done:
            self._show_last(Path(str(work.summary.done[-1].target)))
        self._ended(ended_text(how, work))

    def _show_busy(self) -> None:
        super()._show_busy()
        if not self.jobs:
            self._pause.start()

    # The result

    def _show_last(self, path: Path) -> None:
        self.last = path
        for name in ("Open last result", "Show folder"):
            self.run_bar.buttons[name].enabled = path != Path()

    def _open(self) -> None:
        self.viewer.open(str(self.last), plugin="napari")

    def _show(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.last.absolute().parent)))


def _open_panel(viewer: Any) -> EscWidget | None:
    """Return the panel for layers, if it is open."""
    panels = (widget for widget in QApplication.allWidgets() if isinstance(widget, EscWidget))
    return next((panel for panel in panels if panel.viewer == viewer), None)
