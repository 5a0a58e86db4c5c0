"""The panel: upscale image layers, with a look before and a measure after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Image
from qtpy.QtWidgets import QLabel, QWidget

from esc_plugin import EscError, HubError, list_models

from .compare_bar import CompareBar
from .controls import button, side_by_side
from .errors import advise_async, problem_text, show_error
from .form import Form
from .geometry import Region, plane_region, shapes_regions, visible_region, whole_region
from .jobs import Job, Work
from .layers import add_results
from .order import Order
from .panel import Panel
from .preferences import preference, set_preference
from .preflight import Preflight
from .run_bar import RunBar
from .texts import estimate_text, html_of, results_text, size_text

NOTE = (
    "<b>Super-resolution adds plausible detail; it is no measurement.</b> Measure on the original, and check the difference "
    "layer before you rely on what you see."
)


class EscWidget(Panel):
    """Upscale the image layers of a viewer with ESC."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, RunBar())
        self.form, self.compare_bar = Form(), CompareBar(napari_viewer)
        self.preflight = Preflight(self, self._estimate)
        self.previewed: list[Image] = []
        self._known_model = ""
        self.note = _note()
        self._stack(self.form, self.compare_bar, above=[self.note])
        self._connect()
        self._layers_changed()

    def _connect(self) -> None:
        self._listen_to_layers(self._layers_changed)
        viewer = self.viewer
        camera = viewer.scene.camera.events
        dims, grid = viewer.dims.events, viewer.canvas.grid.events
        for event in (dims.current_step, dims.order, camera.zoom, camera.center, grid.enabled):
            self._listen(event, self._view_changed)
        self.form.changed.connect(self.preflight.begin_soon)
        self.form.finetuning_wanted.connect(self._finetune)
        self.preflight.found.connect(self._estimated)
        self.preflight.failed.connect(self._not_estimated)
        self.closed.connect(self.compare_bar.stop)
        self.run_bar.clicked.connect(self._clicked)

    # What it does when something changes

    def _layers_changed(self) -> None:
        self.form.fill_layers(list(self.viewer.layers), list(self.viewer.layers.selection))
        self.preflight.begin_soon()

    def _view_changed(self) -> None:
        if self.form.region.value != "whole":
            self.preflight.begin_soon()

    def _estimate(self) -> tuple[Work, Order]:
        """Say what is known at once, and return what finds the rest."""
        order = self.order()
        if order.too_large:
            advice = "too large for memory. Choose a file under 'Write to', or show it lazily."
            raise EscError(f"{size_text(order)}: {advice}")
        self._show_estimate(estimate_text(order))
        return order.estimate, order

    def _estimated(self, order: Order, estimates: Sequence[Any]) -> None:
        self._show_estimate(estimate_text(order, estimates))
        self._model_measured(order, estimates)

    def _not_estimated(self, order: Order | None, error: Exception) -> None:
        if order and isinstance(error, HubError) and _can_be_downloaded(order.settings.model):
            self._show_estimate(f"{estimate_text(order)}<br>The model isn't on this machine yet; it is downloaded first.")
        else:
            self._show_estimate(problem_text(error), problem=True)

    def _show_estimate(self, text: str, problem: bool = False) -> None:
        self.run_bar.show_estimate(text, problem)
        shown = self.form.chosen and self.form.model_name and self.form.scale.value != "isotropic"
        for name in ("Preview", "Show lazily"):
            self.run_bar.buttons[name].enabled = bool(shown)

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
        self.form.check_model()
        stack = self.form.scale.value == "isotropic"
        if stack and region:
            raise EscError("Planes between planes are made of whole stacks only: choose Run.")
        parts = [
            (layer, box)
            for layer in layers
            for box in self._boxes(layer, "whole" if stack else region or self.form.region.value)
        ]
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
        self._start("visible", "preview", "ESC preview")

    def show_lazily(self) -> None:
        """Add layers of the current planes, whose pixels are made when they are seen."""
        self._start("whole" if self.form.region.value == "whole" else "plane", "lazy", "ESC")

    def run(self) -> None:
        """Upscale the chosen region into new layers."""
        self._start("", "run", "ESC")

    def _start(self, region: str, what: str, title: str) -> None:
        try:
            order = self.order(region)
            job = Job(getattr(order, what), order, f"{title} {order.title}", (what, order.identity), self)
            self._begin(job, self._previewed if what == "preview" else self._finished)
        except EscError as error:
            show_error(error)

    def _finished(self, job: Job, results: Sequence[Any]) -> None:
        added, hidden = self._add(job.subject, results)
        self.viewer.layers.selection = set(added)
        if results[0].record.get("lazy"):
            advise_async()
        names = ", ".join(html_of(layer.name) for layer in hidden)
        self._ended(
            results_text(job.subject, results) + (f"<br>Hidden, because one would see both: {names}." if hidden else "")
        )

    def _previewed(self, job: Job, results: Sequence[Any]) -> None:
        active = set(self.viewer.layers.selection)
        self.previewed, _ = self._add(job.subject, results, preview=True)
        self.viewer.layers.selection = active
        self._ended(results_text(job.subject, results, preview=True))

    def _add(self, order: Order, results: Sequence[Any], preview: bool = False) -> tuple[list[Image], list[Image]]:
        self.compare_bar.stop()
        self._remove_preview()
        added, hidden = add_results(self.viewer, order, results, preview=preview)
        self.compare_bar.compare(_pairs(self.viewer.layers, order, added))
        return added, hidden

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


def _can_be_downloaded(model: str) -> bool:
    return "/" in model or any(entry.name == model for entry in list_models())


def _note() -> QWidget:
    """Return what a user should know first, with a button that hides it for good."""
    label = QLabel(NOTE)
    label.setWordWrap(True)
    hide = button("Got it", "Don't show this again.", lambda: set_preference("show_note", False))
    note = side_by_side(label, hide.native)
    hide.changed.connect(lambda *_: note.hide())
    note.setVisible(preference("show_note"))
    return note
