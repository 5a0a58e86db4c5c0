"""The panel for many image files: what was found before, how far it is meanwhile, and what became of each after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication

from esc_plugin import EscError
from esc_plugin.session.folder import FolderWork

from .errors import problem_text, show_error
from .folder_form import FolderForm
from .folder_texts import ended_text, found_text, running_text
from .jobs import Job, Work
from .panel import Panel
from .preflight import Preflight
from .run_bar import RunBar
from .texts import html_of
from .widget import EscWidget

START = {
    "Open last result": "Open the result that was written last.",
    "Show folder": "Show the folder of the result that was written last.",
    "Run": "Upscale the images, one after the other. Nothing is added to the viewer.",
}
STOP = {"Cancel": "Stop what runs, as Esc does. Results that are finished stay; no half of one does."}


class FolderWidget(Panel):
    """Upscale image files with ESC, all with the same settings; the viewer shows a result if the user asks for it."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, RunBar(START, STOP))
        self.form, self.last = FolderForm(), Path()
        self.preflight = Preflight(self, self._look)
        self._stack(self.form)
        self.form.changed.connect(self.preflight.begin_soon)
        self.form.finetuning_wanted.connect(self._finetune)
        self.preflight.found.connect(self._looked)
        self.preflight.failed.connect(self._not_looked)
        self.run_bar.clicked.connect(self._clicked)
        self._show_last(Path())
        if (panel := _open_panel(napari_viewer)) is not None:
            self.form.take_over(panel.form)
        self.preflight.begin()

    # What there is to do

    def _look(self) -> tuple[Work, FolderWork]:
        """Return a look for the images: a folder may be large, and behind a network."""
        work = FolderWork(self.form.order())
        return work.look, work

    def _looked(self, work: FolderWork, result: Any) -> None:
        self.run_bar.show_estimate(found_text(work), not work.ready)

    def _not_looked(self, work: FolderWork | None, error: Exception) -> None:
        self.run_bar.show_estimate(problem_text(error), True)

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
        self.run_bar.show_estimate(f"Image {html_of(text)}")
        job.show(f"ESC {text}")

    def _finished(self, job: Job, work: FolderWork) -> None:
        self._over("Done", work)

    def _cancelled(self, job: Job) -> None:
        self._over("Cancelled", job.subject)

    def _over(self, how: str, work: FolderWork) -> None:
        if work.summary.done:
            self._show_last(Path(str(work.summary.done[-1].target)))
        self._ended(ended_text(how, work))

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
