"""The panel: upscale image layers, with a look before and a measure after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari.layers import Image
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QShortcut, QVBoxLayout, QWidget

from esc_plugin import EscError

from .compare_bar import CompareBar
from .controls import button, side_by_side
from .errors import advise_async, show_error
from .estimate import Estimator
from .form import Form
from .geometry import Region, plane_region, shapes_regions, visible_region, whole_region
from .jobs import Job, queue
from .layers import add_results, hide_replaced
from .order import Order
from .preferences import preference, set_preference, use_models_folder
from .run_bar import RunBar
from .texts import results_text

NOTE = (
    "<b>Super-resolution adds plausible detail; it is no measurement.</b> Measure on the original, and check the difference "
    "layer before you rely on what you see."
)


class EscWidget(QWidget):
    """Upscale image layers with ESC.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Whose layers to work on.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        use_models_folder()
        self.viewer = napari_viewer
        self.form, self.run_bar, self.compare_bar = Form(), RunBar(), CompareBar(napari_viewer)
        self.estimator = Estimator(self, self.order)
        self.previewed: list[Image] = []
        self._known_model = ""
        self._heard: list[tuple[Any, Callable[..., None]]] = []
        self._build()
        self._connect()
        self._layers_changed()

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
        self.estimator.stop()
        self.compare_bar.stop()
        for job in self.jobs:
            job.stop()
        self.deleteLater()

    @property
    def jobs(self) -> list[Job]:
        """What the panel has begun and isn't over yet."""
        return [job for job in queue.alive() if job.parent() is self]

    # What it is made of

    def sizeHint(self) -> QSize:  # noqa: N802
        """Leave most of a small window to the canvas."""
        return QSize(320, super().sizeHint().height())

    def _build(self) -> None:
        area, layout = QScrollArea(), QVBoxLayout(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(self.form)
        self.note = _note()
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.note)
        layout.addWidget(area, 1)
        layout.addWidget(self.run_bar)
        layout.addWidget(self.compare_bar)
        self.setMinimumWidth(310)

    def _connect(self) -> None:
        layers, viewer = self.viewer.layers, self.viewer
        for event in (
            layers.events.inserted,
            layers.events.removed,
            layers.events.reordered,
            layers.selection.events.changed,
        ):
            self._listen(event, self._layers_changed)
        camera = viewer.scene.camera.events
        for event in (viewer.dims.events.current_step, camera.zoom, camera.center):
            self._listen(event, self._view_changed)
        self.form.changed.connect(self.estimator.begin_soon)
        self.estimator.told.connect(self._show_estimate)
        self.estimator.measured.connect(self._model_measured)
        self.run_bar.clicked.connect(self._clicked)
        self.escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self, self.cancel)
        self.escape.setEnabled(False)

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

    # What it does when something changes

    def _layers_changed(self) -> None:
        self.form.fill_layers(list(self.viewer.layers), list(self.viewer.layers.selection))
        self.estimator.begin_soon()

    def _view_changed(self) -> None:
        if self.form.region.value != "whole":
            self.estimator.begin_soon()

    def _show_estimate(self, text: str, problem: bool) -> None:
        self.run_bar.show_estimate(text, problem)
        for name in ("Preview", "Show lazily"):
            self.run_bar.buttons[name].enabled = bool(self.form.chosen and self.form.model_name)

    def _model_measured(self, order: Order, estimates: Sequence[Any]) -> None:
        """Propose the scale of a model that the catalogue knows nothing of: only the file itself could tell."""
        model, entry = order.settings.model, self.form.entry
        first, self._known_model = model != self._known_model, model
        if first and model == self.form.model_name and (entry is None or not entry.scale):
            self.form.propose_scale(estimates[0].scale)
            self.form.show_card(estimates[0].card)

    # What it runs

    def order(self, region: str = "") -> Order:
        """Return what is to be done as it is set up now.

        Parameters
        ----------
        region : str, optional
            One of `napari_esc.form.REGIONS`, instead of the chosen one; then it is only to be looked at.

        Raises
        ------
        EscError
            If something is missing or can't be.
        """
        layers = self.form.chosen
        if not layers:
            raise EscError("Choose an image." if self.form.layers else "Open an image to upscale.")
        if not self.form.model_name:
            raise EscError("Name a model: a weights file, or a repository on the Hub.")
        parts = [(layer, box) for layer in layers for box in self._boxes(layer, region or self.form.region.value)]
        order = Order.of(parts, self.form.settings)
        if not region:
            order.check()
        return order

    def _boxes(self, layer: Image, region: Any) -> list[Region]:
        if region == "whole":
            return [whole_region(layer)]
        if isinstance(region, str):
            return [(plane_region if region == "plane" else visible_region)(self.viewer, layer)]
        return shapes_regions(self.viewer, layer, region)

    def _clicked(self, name: str) -> None:
        {"Preview": self.preview, "Show lazily": self.show_lazily, "Run": self.run, "Cancel": self.cancel}[name]()

    def preview(self) -> None:
        """Upscale the middle of what is in view."""
        self._begin("visible", "preview", "ESC preview")

    def show_lazily(self) -> None:
        """Add layers of the current planes, whose pixels are made when they are seen."""
        self._begin("whole" if self.form.region.value == "whole" else "plane", "lazy", "ESC")

    def run(self) -> None:
        """Upscale the chosen region into new layers."""
        self._begin("", "run", "ESC")

    def cancel(self) -> None:
        """Stop what runs, or else what waits first."""
        if self.jobs:
            self.jobs[0].cancel()

    def _begin(self, region: str, what: str, title: str) -> None:
        try:
            order = self.order(region)
            job = Job(getattr(order, what), order, f"{title} {order.title}", (what, order.identity), self)
            job.finished.connect(self._previewed if what == "preview" else self._finished)
            job.failed.connect(self._failed)
            job.cancelled.connect(self._cancelled)
            job.progressed.connect(self.run_bar.show_progress)
            job.moved.connect(self._show_busy)
            queue.add(job)
        except EscError as error:
            show_error(error)

    def _finished(self, job: Job, results: Sequence[Any]) -> None:
        _, hidden = self._add(job.subject, results)
        if results[0].record.get("lazy"):
            advise_async()
        names = ", ".join(layer.name for layer in hidden)
        self._ended(
            results_text(job.subject, results) + (f"<br>Hidden, because one would see both: {names}." if hidden else "")
        )

    def _previewed(self, job: Job, results: Sequence[Any]) -> None:
        active = set(self.viewer.layers.selection)
        self.previewed, _ = self._add(job.subject, results, preview=True)
        self.viewer.layers.selection = active
        self._ended(results_text(job.subject, results, preview=True))

    def _add(self, order: Order, results: Sequence[Any], preview: bool = False) -> tuple[list[Image], list[Image]]:
        """Add results, and hide what they replace; return both."""
        self.compare_bar.stop()
        self._remove_preview()
        added = add_results(self.viewer, order, results, preview=preview)
        hidden = hide_replaced(self.viewer, order, added)
        self.compare_bar.compare(_pairs(self.viewer.layers, order, added))
        return added, hidden

    def _failed(self, job: Job, error: Exception) -> None:
        show_error(error)
        self._ended("")

    def _cancelled(self, job: Job) -> None:
        self._ended("Cancelled; nothing was added.")

    def _ended(self, text: str) -> None:
        self.run_bar.show_result(text)
        self._show_busy()

    def _show_busy(self) -> None:
        """Show what runs; estimates, which run the network, have to wait for it."""
        jobs = self.jobs
        busy = bool(jobs)
        self.run_bar.show_jobs(jobs)
        self.escape.setEnabled(busy)
        self.estimator.wanted = not busy
        if not busy:
            self.estimator.begin_soon()

    def _remove_preview(self) -> None:
        """Take the preview away; that shows again what it has hidden."""
        layers, self.previewed = self.previewed, []
        for layer in layers:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)


def _pairs(layers: Sequence[Any], order: Order, added: Sequence[Image]) -> list[tuple[Image, Image]]:
    """Return sources that are still there, with their results."""
    sources = {layer.unique_id: layer for layer in layers}
    return [(sources[it.key], layer) for (it, _), layer in zip(order.parts, added, strict=True) if it.key in sources]


def _note() -> QWidget:
    """Return what a user should know first, with a button that hides it for good."""
    label = QLabel(NOTE)
    label.setWordWrap(True)
    hide = button("hide", "Got it", "Don't show this again.", lambda: set_preference("show_note", False))
    note = side_by_side(label, hide.native)
    hide.changed.connect(lambda *_: note.hide())
    note.setVisible(preference("show_note"))
    return note
