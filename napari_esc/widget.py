"""The panel: upscale an image layer, with a look before and a measure after."""

from __future__ import annotations

import time
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QScrollArea, QVBoxLayout, QWidget

from esc_plugin import EscError, HubError
from esc_plugin.files.room import check_target

from . import geometry
from .controls import LayerBox
from .form import Form, card_text
from .job import Result, Task
from .listener import Listener
from .runner import Runner
from .settings import get_setting, set_setting, use_models_folder
from .viewing import add_result, plain_text, show_problem
from .words import estimate_words, image_words, left_words, result_words, size_words
from .work import Estimate, estimate_work, preview_work, too_large, upscale_work

NOTE = (
    "<b>Super-resolution adds plausible detail; it is no measurement.</b> Measure on the original, and check the difference "
    "layer before you rely on what you see."
)
#: Milliseconds without a change after which the estimate is made anew.
PAUSE = 250


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
        self.layers = LayerBox()
        self.form = Form(self.layers)
        self.runner, self.estimator = Runner(self), Runner(self)
        self.preview_layer: Image | None = None
        self._is_preview = False
        self._began = 0.0
        self._estimated_for: Any = None
        self._known_model = ""
        self._build()
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE)
        self._connect()
        self._layers_changed()
        self._follow_selection()

    # How it ends

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Close when the panel loses its dock: napari's X takes it out and drops it, without a close event."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._close()

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """Close for good when the panel is a window of its own."""
        super().closeEvent(event)
        self._close()

    def _close(self) -> None:
        """End the work and let go of the viewer. Qt deletes the panel soon, and not Python at any later moment."""
        self._pause.stop()
        self._listener.stop()
        self.runner.stop()
        self.estimator.stop()
        self.deleteLater()

    # What it is made of

    def _build(self) -> None:
        outer = QVBoxLayout(self)
        outer.setContentsMargins(6, 6, 6, 6)
        outer.addWidget(self._note())
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(self.form)
        outer.addWidget(area, 1)
        self.estimate_label, self.result_label = QLabel(), QLabel()
        for label in (self.estimate_label, self.result_label):
            label.setWordWrap(True)
        self.preview_button, self.run_button, self.cancel_button = (QPushButton(t) for t in ("Preview", "Run", "Cancel"))
        self.preview_button.setToolTip("Upscale the middle of what is in view, as much as takes a second or two.")
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        buttons, running = QHBoxLayout(), QHBoxLayout()
        for widget in (self.preview_button, self.run_button):
            buttons.addWidget(widget)
        running.addWidget(self.bar, 1)
        running.addWidget(self.cancel_button)
        outer.addWidget(self.estimate_label)
        outer.addLayout(buttons)
        outer.addLayout(running)
        outer.addWidget(self.result_label)
        self._show_running(False)
        self.setMinimumWidth(310)

    def _note(self) -> QWidget:
        note, row = QFrame(), QHBoxLayout()
        note.setFrameShape(QFrame.Shape.StyledPanel)
        text, button = QLabel(NOTE), QPushButton("Got it")
        text.setWordWrap(True)
        row.addWidget(text, 1)
        row.addWidget(button)
        note.setLayout(row)
        note.setVisible(bool(get_setting("show_note")))
        button.clicked.connect(note.hide)
        button.clicked.connect(lambda: set_setting("show_note", False))
        self.note = note
        return note

    def _connect(self) -> None:
        self._listener = Listener(self.viewer, self, self._layers_changed, self._follow_selection, self._view_changed)
        self.layers.currentIndexChanged.connect(self._layer_changed)
        self.form.changed.connect(self._something_changed)
        self._pause.timeout.connect(self._estimate)
        self.preview_button.clicked.connect(self.preview)
        self.run_button.clicked.connect(self.run)
        self.cancel_button.clicked.connect(self.runner.cancel)
        self.runner.progressed.connect(self._show_progress)
        self.runner.finished.connect(self._finished)
        self.runner.failed.connect(self._failed)
        self.runner.cancelled.connect(self._cancelled)
        self.estimator.finished.connect(self._estimated)
        self.estimator.failed.connect(self._not_estimated)

    # Which layer, and what the task is

    @property
    def layer(self) -> Image | None:
        """The chosen image layer."""
        return self.layers.layer

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
        layer = self.layer
        if layer is None:
            raise EscError("Choose an image." if self.layers.layers else "Open an image to upscale.")
        if not self.form.model:
            raise EscError("Name a model: a weights file, or a repository on the Hub.")
        limits = layer.contrast_limits if not layer.rgb else (0, 1)
        kind = region or self.form.region
        if kind == "whole":
            box = geometry.whole_region(layer)
        else:
            box = (geometry.plane_region if kind == "plane" else geometry.visible_region)(self.viewer, layer)
        task = Task.of(layer, box, self.form.settings(limits))
        if task.settings.store and not region:
            check_target(task.settings.store, task.nbytes)
        return task

    # What happens when something changes

    def _layers_changed(self) -> None:
        self.layers.fill(self.viewer.layers)
        self._layer_changed()

    def _follow_selection(self) -> None:
        active = self.viewer.layers.selection.active
        if active is not None and active not in self.layers.layers:
            self._layers_changed()  # it is so new that the panel hasn't heard of it
        self.layers.follow(active)

    def _layer_changed(self, value: Any = None) -> None:
        layer = self.layer
        self.form.image_info.setText(image_words(layer) if layer is not None else "")
        if layer is not None:
            rows, columns = (abs(float(v)) for v in layer.scale[-2:])
            self.form.show_pixel_size((rows, columns), geometry.unit_names(layer)[-1])
        self._something_changed()

    def _view_changed(self) -> None:
        if self.form.region != "whole":
            self._something_changed()

    def _something_changed(self, event: Any = None) -> None:
        self._pause.start()

    def _estimate(self) -> None:
        """Say what is known at once, and find out the rest in a thread."""
        if self.runner.busy:
            return
        try:
            task = self.task()
        except EscError as error:
            self._show_estimate(plain_text(error) or "", problem=True)
            return
        if too_large(task.nbytes) and not task.settings.store:
            self._show_estimate(f"{size_words(task)}: too large for memory. Choose a file under 'Write to'.", problem=True)
            return
        self._show_estimate(estimate_words(task, None))
        if not self.estimator.busy:
            self._estimated_for = task
            self.estimator.start(estimate_work(task))

    def _estimated(self, estimate: Estimate) -> None:
        task = self._estimated_for
        model, entry = task.settings.model, self.form.entry
        first, self._known_model = model != self._known_model, model
        if first and model == self.form.model and (entry is None or not entry.scale):
            # Only the file itself could tell.
            self.form.set_scale(estimate.scale)
            self.form.card_label.setText(card_text(estimate.card))
        if (task.settings, task.region) != self._asked_for():
            self._pause.start()  # something has changed meanwhile
        else:
            self._show_estimate(estimate_words(task, estimate))

    def _not_estimated(self, error: Exception) -> None:
        task = self._estimated_for
        if isinstance(error, HubError) and (self.form.entry or "/" in task.settings.model):
            words = estimate_words(task, None)
            self._show_estimate(f"{words}<br>The model isn't on this machine yet; it is downloaded first.")
        else:
            self._show_estimate(plain_text(error) or f"{type(error).__name__}: {error}", problem=True)

    def _asked_for(self) -> Any:
        """Return the settings and the region as they are now."""
        try:
            task = self.task()
        except EscError:
            return None
        return task.settings, task.region

    def _show_estimate(self, text: str, problem: bool = False) -> None:
        self.estimate_label.setText(text)
        self.run_button.setEnabled(not problem)
        self.run_button.setToolTip(text if problem else "")
        self.preview_button.setEnabled(self.layer is not None and bool(self.form.model))

    # Work

    def preview(self) -> None:
        """Upscale the middle of what is in view."""
        self._start("visible", preview_work, "ESC preview")

    def run(self) -> None:
        """Upscale the chosen region into a new layer."""
        self._start(None, upscale_work, "ESC")

    def _start(self, region: str | None, work: Any, title: str) -> None:
        if self.runner.busy:
            return
        try:
            task = self.task(region)
            if region:  # a preview is no result: it isn't written, and too small to measure
                task = task.for_preview()
        except EscError as error:
            show_problem(error)
            return
        self._show_running(True)
        self._is_preview, self._began = bool(region), time.perf_counter()
        self.result_label.clear()
        try:
            self.runner.start(work(task), f"{title} {task.title}", task.job)
        except EscError as error:
            self._failed(error)

    def _show_running(self, running: bool) -> None:
        self.bar.setVisible(running)
        self.cancel_button.setVisible(running)
        self.cancel_button.setEnabled(running)
        self.bar.setRange(0, 0)
        self.bar.setFormat("%p %")
        for button in (self.preview_button, self.run_button):
            button.setVisible(not running)
        self.form.setEnabled(not running)

    def _show_progress(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setFormat(left_words(done, total, time.perf_counter() - self._began))

    def _finished(self, made: tuple[Task, Result]) -> None:
        task, result = made
        self._remove_preview()
        layer = add_result(self.viewer, task, result)
        if self._is_preview:
            self._make_preview(layer, task)
        words = result_words(task, result, self._is_preview)
        self._ended(words + self._hide_source(task) * (not self._is_preview))

    def _hide_source(self, task: Task) -> str:
        """Hide a layer whose light would add to that of its result, and return what to say about it."""
        source = next((layer for layer in self.layers.layers if layer.unique_id == task.source), None)
        if source is None or task.state["blending"] != "additive" or task.region != geometry.whole_region(source):
            return ""
        source.visible = False
        return "<br>The source is hidden: with additive blending both would add up."

    def _make_preview(self, layer: Image, task: Task) -> None:
        """Show a layer as a preview: it covers its source, because of added light both would be seen at once."""
        layer.name, layer.blending = f"{task.name} preview", "translucent_no_depth"
        self.preview_layer = layer
        if self.layer in self.viewer.layers:
            self.viewer.layers.selection.active = self.layer

    def _cancelled(self) -> None:
        self._ended("Cancelled; nothing was added.")

    def _failed(self, error: Exception) -> None:
        show_problem(error)
        self._ended("")

    def _ended(self, text: str) -> None:
        self._show_running(False)
        self.result_label.setText(text)
        self._something_changed()

    def _remove_preview(self) -> None:
        layer, self.preview_layer = self.preview_layer, None
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
