"""The panel: upscale an image layer, with a look before and a measure after."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from esc_plugin import EscError
from esc_plugin.files.room import check_target

from .controls import dismissible_note
from .errors import advise_async, show_error
from .estimate import Estimate, Estimator
from .form import Form
from .geometry import Region, plane_region, visible_region, whole_region
from .layers import add_result, hide_if_added_up
from .listener import Listener
from .preferences import preference, set_preference, use_models_folder
from .run_bar import RunBar
from .task import Task
from .texts import card_text, result_text
from .threads import Runner
from .work import Result, lazy_work, preview_work, upscale_work

NOTE = (
    "<b>Super-resolution adds plausible detail; it is no measurement.</b> Measure on the original, and check the difference "
    "layer before you rely on what you see."
)


class EscWidget(QWidget):
    """Upscale an image layer with ESC.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Whose layers to work on.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        use_models_folder()
        self.viewer = napari_viewer
        self.form, self.run_bar, self.runner = Form(), RunBar(), Runner(self)
        self.estimator = Estimator(self, self.task)
        self.preview_layer: Image | None = None
        self._is_preview = False
        self._known_model = ""
        self._build()
        self._connect()
        self._layers_changed()
        self._follow_selection()

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
        self._listener.stop()
        self.runner.stop()
        self.estimator.stop()
        self.deleteLater()

    # What it is made of

    def _build(self) -> None:
        self.note = dismissible_note(NOTE, lambda: set_preference("show_note", False))
        self.note.setVisible(bool(preference("show_note")))
        area, layout = QScrollArea(), QVBoxLayout(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(self.form)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.note)
        layout.addWidget(area, 1)
        layout.addWidget(self.run_bar)
        self.setMinimumWidth(310)

    def _connect(self) -> None:
        self._listener = Listener(self.viewer, self, self._layers_changed, self._follow_selection, self._view_changed)
        self.form.changed.connect(self.estimator.begin_soon)
        self.estimator.told.connect(self._show_estimate)
        self.estimator.measured.connect(self._model_measured)
        self.run_bar.preview_button.clicked.connect(self.preview)
        self.run_bar.lazy_button.clicked.connect(self.show_lazily)
        self.run_bar.run_button.clicked.connect(self.run)
        self.run_bar.cancel_button.clicked.connect(self.runner.cancel)
        self.runner.progressed.connect(self.run_bar.show_progress)
        self.runner.finished.connect(self._finished)
        self.runner.failed.connect(self._failed)
        self.runner.cancelled.connect(self._cancelled)

    # What it does when something changes

    def _layers_changed(self) -> None:
        self.form.layer_box.fill(self.viewer.layers)
        self.form.show_layer()

    def _follow_selection(self) -> None:
        active = self.viewer.layers.selection.active
        if active is not None and active not in self.form.layer_box.layers:
            self._layers_changed()  # it is so new that the panel hasn't heard of it
        self.form.layer_box.follow(active)

    def _view_changed(self) -> None:
        if self.form.region != "whole":
            self.estimator.begin_soon()

    def _show_estimate(self, text: str, problem: bool) -> None:
        self.run_bar.show_estimate(text, problem)
        for button in (self.run_bar.preview_button, self.run_bar.lazy_button):
            button.setEnabled(self.form.layer is not None and bool(self.form.models.model))

    def _model_measured(self, task: Task, estimate: Estimate) -> None:
        """Propose the scale of a model that the catalogue knows nothing of: only the file itself could tell."""
        model, entry = task.settings.model, self.form.models.entry
        first, self._known_model = model != self._known_model, model
        if first and model == self.form.models.model and (entry is None or not entry.scale):
            self.form.result.set_scale(estimate.scale)
            self.form.models.card_label.setText(card_text(estimate.card))

    # What it runs

    def task(self, region: str | None = None) -> Task:
        """Return the task as it is set up now.

        Parameters
        ----------
        region : {"visible", "plane", "whole"}, optional
            Instead of the chosen one.

        Raises
        ------
        EscError
            If something is missing or can't be.
        """
        layer = self.form.layer
        if layer is None:
            raise EscError("Choose an image." if self.form.layer_box.layers else "Open an image to upscale.")
        if not self.form.models.model:
            raise EscError("Name a model: a weights file, or a repository on the Hub.")
        task = Task.of(layer, self._box(layer, region or self.form.region), self.form.settings(layer))
        if task.settings.store and not region:
            check_target(task.settings.store, task.nbytes)
        return task

    def _box(self, layer: Image, region: str) -> Region:
        if region == "whole":
            return whole_region(layer)
        return (plane_region if region == "plane" else visible_region)(self.viewer, layer)

    def preview(self) -> None:
        """Upscale the middle of what is in view."""
        self._start("visible", preview_work, "ESC preview", preview=True)

    def show_lazily(self) -> None:
        """Add a layer of the current planes, whose pixels are made when they are seen."""
        self._start("whole" if self.form.region == "whole" else "plane", lazy_work, "ESC")

    def run(self) -> None:
        """Upscale the chosen region into a new layer."""
        self._start(None, upscale_work, "ESC")

    def _start(self, region: str | None, work: Any, title: str, preview: bool = False) -> None:
        if self.runner.busy:
            return
        try:
            task = self.task(region)
            if region:  # what is only looked at isn't written, and too small or too large to measure
                task = task.to_look_at()
        except EscError as error:
            show_error(error)
            return
        self._is_preview = preview
        self.form.setEnabled(False)
        self.estimator.wanted = False
        self.run_bar.begin()
        try:
            self.runner.start(work(task), f"{title} {task.title}", task.identity)
        except EscError as error:
            self._failed(error)

    def _finished(self, made: tuple[Task, Result]) -> None:
        task, result = made
        self._remove_preview()
        layer = add_result(self.viewer, task, result)
        text = result_text(task, result, self._is_preview)
        if self._is_preview:
            self._make_preview(layer, task)
        elif hide_if_added_up(self._source_of(task), task):
            text += "<br>The source is hidden: with additive blending both would add up."
        elif result.metadata["esc"].get("lazy"):
            advise_async()
        self._ended(text)

    def _cancelled(self) -> None:
        self._ended("Cancelled; nothing was added.")

    def _failed(self, error: Exception) -> None:
        show_error(error)
        self._ended("")

    def _ended(self, text: str) -> None:
        self.run_bar.end(text)
        self.form.setEnabled(True)
        self.estimator.wanted = True
        self.estimator.begin_soon()

    def _source_of(self, task: Task) -> Image | None:
        return next((layer for layer in self.form.layer_box.layers if layer.unique_id == task.source), None)

    def _make_preview(self, layer: Image, task: Task) -> None:
        """Show a layer as a preview: it covers its source, because of added light both would be seen at once."""
        layer.name, layer.blending = f"{task.name} preview", "translucent_no_depth"
        self.preview_layer = layer
        if self.form.layer in self.viewer.layers:
            self.viewer.layers.selection.active = self.form.layer

    def _remove_preview(self) -> None:
        layer, self.preview_layer = self.preview_layer, None
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
