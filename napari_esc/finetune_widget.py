"""The panel that makes a model better at images like the selected ones, and tells the gain while it learns."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import FloatSpinBox, LineEdit
from napari.layers import Image

from esc_plugin import CatalogEntry, EscError
from esc_plugin.catalog.by_purpose import start_for, starts_for
from esc_plugin.catalog.new_model import new_model_folder, proposed_name
from esc_plugin.catalog.purposes import PURPOSES
from esc_plugin.errors import needs
from esc_plugin.session.finetuning import Finetuning

from .controls import Rows, choice, refill, small_label
from .errors import problem_text, show_error
from .facts import image_array, is_source
from .jobs import Job
from .model_form import news
from .panel import Panel
from .preferences import preference
from .run_bar import RunBar
from .texts import html_of, image_text, model_text

HELP = {
    "purpose": "What is in the images. Menus list the model under it; photos are reduced in another way than micrographs.",
    "model": "What to start from. The new model has its factor, and what is downloaded is downloaded first.",
    "minutes": "For all of it: measuring, training, measuring again. More is better.",
    "name": "What menus will call the new model. No model is ever replaced.",
}
START = {"Start": "Train a new model on the selected images, apart from what is held out to measure with."}
STOP = {
    "Stop and keep": "End the training now, and keep what was learned if it is better than before and than bicubic.",
    "Cancel": "Give up, as Esc does. Nothing is written.",
}


class FinetuneWidget(Panel):
    """Fine-tune a model on the image layers of a viewer."""

    cancelled = "Cancelled; nothing was written."

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, RunBar(START, STOP))
        self.images: list[Image] = []
        self.entries: dict[str, CatalogEntry] = {}
        self._proposed = ""
        self._build()
        self._connect()
        self._take_start()
        self._layers_changed()

    def _build(self) -> None:
        self.form, self.about_images = Rows(HELP), small_label()
        self.form.add_native("Images", self.about_images)
        kinds = {purpose.key: purpose.title for purpose in PURPOSES if purpose.kind}
        self.purpose = self.form.add("For", choice("purpose", kinds, "fluorescence"))
        self.model = self.form.add("Start from", choice("model", self._models))
        self.minutes = self.form.add("Minutes", FloatSpinBox(name="minutes", value=5, min=0.1, max=1440))
        self.minutes.native.setDecimals(1)
        self.name = self.form.add("Name", LineEdit(name="name"))
        self._stack(self.form)

    def _connect(self) -> None:
        self._listen_to_layers(self._layers_changed)
        self.purpose.changed.connect(self._take_start)
        self.model.changed.connect(self._propose_name)
        self.form.changed.connect(self._show_plan)
        self.run_bar.clicked.connect(self._clicked)
        news.model_made.connect(self._fill_models)

    # What it shows

    def _layers_changed(self) -> None:
        """Take the selected images that this plugin hasn't made; those taken before stay while there are none."""
        layers, selected = list(self.viewer.layers), list(self.viewer.layers.selection)
        sources = [layer for layer in layers if isinstance(layer, Image) and is_source(layer)]
        chosen = [layer for layer in sources if layer in selected]
        self.images = chosen or [layer for layer in sources if layer in self.images] or sources[:1]
        one = len(self.images) == 1
        self.about_images.setText("\n".join(f"{it.name}{f': {image_text(it)}' if one else ''}" for it in self.images))
        self._propose_name()

    def _take_start(self) -> None:
        """Start from the model for the kind of images, until a person takes another."""
        self._fill_models()
        self.model.value = start_for(self.purpose.value).name

    def _fill_models(self) -> None:
        self.entries = {entry.name: entry for entry in starts_for(self.purpose.value)}
        refill(self.model, [self.model.value, *self.entries])
        self._propose_name()

    def _models(self, box: Any) -> list[tuple[str, Any]]:
        return [(model_text(entry), name) for name, entry in self.entries.items()]

    def _propose_name(self) -> None:
        """Name the model by the images, unless a person has named it."""
        if self.images and self.name.value in ("", self._proposed):
            entry = self.entries.get(self.model.value)
            self._proposed = proposed_name(self.images[0].name, entry.scale if entry else 0)
            self.name.value = self._proposed
        self._show_plan()

    def _show_plan(self) -> None:
        try:
            self.run_bar.show_estimate(html_of(self.tuning().plan))
        except EscError as error:
            self.run_bar.show_estimate(problem_text(error), problem=True)
        if self.jobs:
            self.run_bar.buttons["Start"].enabled = False

    def _progressed(self, done: int, total: int) -> None:
        super()._progressed(done, total)
        self.run_bar.result.setText(self.jobs[0].subject.gain_text)

    def _show_busy(self) -> None:
        super()._show_busy()
        for job in self.jobs:
            self.run_bar.buttons["Stop and keep"].enabled = not job.subject.ending.is_set()
        self._show_plan()

    # What it runs

    def tuning(self) -> Finetuning:
        """Return what is to be done as it is set up now.

        Raises
        ------
        EscError
            If something is missing or can't be.
        """
        needs("train")
        if not self.images:
            raise EscError("Select images to learn from in the list of layers.")
        folder = new_model_folder(self.name.value.strip())
        chosen = self.model.value, self.purpose.value, self.minutes.value
        where = {"device": preference("device"), "threads": preference("threads")}
        return Finetuning([image_array(layer) for layer in self.images], *chosen, folder, **where)

    def _clicked(self, name: str) -> None:
        {"Start": self.start, "Stop and keep": self.stop, "Cancel": self.cancel}[name]()

    def start(self) -> None:
        """Train."""
        try:
            tuning = self.tuning()
            title = f"ESC fine-tuning {tuning.folder.name}"
            self._begin(Job(tuning.run, tuning, title, tuning.folder, self), self._finished)
        except EscError as error:
            show_error(error)

    def stop(self) -> None:
        """End the training, and keep what was learned if it is better."""
        for job in self.jobs:
            job.subject.ending.set()
        self._show_busy()

    def _finished(self, job: Job, outcome: Any) -> None:
        self._ended(job.subject.outcome_text(outcome))
        if outcome.weights:
            news.model_made.emit(job.subject.folder.name)
