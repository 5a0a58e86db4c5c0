"""The controls that every form of settings has: which model, how much larger, and what becomes of the values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from magicgui.widgets import CheckBox, FloatSpinBox, LineEdit
from qtpy.QtCore import QObject, Qt, Signal

from esc_plugin import CatalogEntry, EscError
from esc_plugin.arrays.sizes import LARGEST_SCALE
from esc_plugin.catalog.by_default import default_model
from esc_plugin.catalog.by_purpose import is_here, models_for, none_text
from esc_plugin.catalog.cards import card_lines
from esc_plugin.catalog.purposes import PURPOSES
from esc_plugin.catalog.traits import PHOTO

from .controls import Rows, button, choice, refill, small_label
from .preferences import preference
from .texts import model_text

FILE, HUB = "a weights file...", "the Hugging Face Hub..."
WEIGHTS_FILTER = "Weights (*.safetensors *.pth *.pt *.ckpt)"
LEVELS = {
    "auto": "Automatic",
    "range": "Range of the data type",
    "minmax": "Lowest to highest value",
    "percentile": "0.1 to 99.9 percent",
}
WHY = "Taken since {}, until you choose another."
KEEP, CANNOT_KEEP = "Keep local averages", "Averages not kept: {}"
HELP = {
    "purpose": "What is in the image: models learn from one kind, and are of little use for another.",
    "model": "What upscales. Looking at a model downloads nothing; Preview and Run do.",
    "finetune": "Make a model for this kind of images from one that is here, with images of your own.",
    "source": "The path of a weights file, or organisation/repository on the Hugging Face Hub.",
    "factor": (
        "New pixels per pixel, in both directions. At 1 the image is cleaned: the model runs once, and what it made is\n"
        "shrunk to the size of the image."
    ),
    "intensity": (
        "Which values the network sees as black and white; the result is mapped back, so values keep their meaning.\n"
        "They are those of the whole layer, for previews and regions too; each entry of a channel axis has its own.\n"
        "Automatic: the range of the type for 8 bit, else what the layer holds apart from hot and dead pixels.\n"
        "What lies beyond is enlarged by interpolation and added back, so nothing is lost."
    ),
    "strength": "How much of the result is the model's, from 0 to 1. The rest is the image, interpolated.",
    "consistency": "Correct the result so that its mean over each original pixel is that pixel.",
}


class News(QObject):
    """Tells all panels that there is a new model, by its name."""

    model_made = Signal(str)


news = News()


class ModelForm(Rows):
    """The rows of a model, and controls that a form places itself: `factor`, `intensity`, `strength`, `consistency`.

    Parameters
    ----------
    tooltips : dict of str to str
        Of further controls, by their names.
    levels : dict of str to str
        The choices of intensity.
    """

    #: For a kind of images.
    finetuning_wanted = Signal(str)

    def __init__(self, tooltips: dict[str, str], levels: dict[str, str]) -> None:
        super().__init__(HELP | tooltips)
        self.entries: dict[str, CatalogEntry] = {}
        self._kept = False
        #: What the image is, and whether a person has named the model; as long as nobody has, it follows the image.
        self.traits, self.by_hand, self.reason = PHOTO, False, ""
        self.factor = FloatSpinBox(name="factor", value=2, min=1, max=LARGEST_SCALE)
        self.factor.native.setPrefix("x ")
        self.factor.native.setSingleStep(0.5)
        self.factor.native.setSpecialValueText("x 1: clean")
        self.factor.native.setMinimumWidth(128)  # Qt doesn't count the room of napari's buttons
        self.strength = FloatSpinBox(name="strength", value=1, min=0, max=1, step=0.05)
        self.intensity, self.consistency = choice("intensity", levels), CheckBox(name="consistency", text=KEEP)
        self.consistency.native.setMinimumWidth(1)  # what it says mustn't widen the panel
        self.consistency.changed.connect(self._consistency_chosen)
        self.factor.changed.connect(self.show_consistency)
        self.factor.changed.connect(self.follow)

    def add_model(self) -> None:
        """Add the rows that say what upscales."""
        purposes = {"": "Anything"} | {purpose.key: purpose.title for purpose in PURPOSES}
        self.purpose = self.add("For", choice("purpose", purposes))
        self.none, self.why, self.card = small_label(), small_label(), small_label()
        self.source = LineEdit(name="source")
        self.finetune = button("Fine-tune...", HELP["finetune"], self._finetune)
        self.add_native("", self.none, self.finetune.native)
        self.model = self.add("Model", choice("model", self._models))
        folder = preference("models_folder")
        self.find_source = self.browse(self.source, "Choose a weights file", filters=WEIGHTS_FILTER, folder=folder)
        self.add("From", self.source, self.find_source)
        self.add_native("", self.why)
        self.add_native("", self.card)
        self.purpose.changed.connect(self.fill_models)
        self.model.changed.connect(self._named)
        self.model.native.activated.connect(self._kept_by_hand)  # also if it is the one that was shown
        news.model_made.connect(self.show_model)

    @property
    def model_name(self) -> str:
        """Name, path or Hub repository of the model; empty where nothing is named yet."""
        return str(self.source.value.strip() if self.model.value in (FILE, HUB) else self.model.value or "")

    def check_model(self) -> None:
        """Raise an `EscError` if no model is named."""
        if not self.model_name:
            raise EscError("Name a model: a weights file, or a repository on the Hub.")

    @property
    def entry(self) -> CatalogEntry | None:
        """The catalogue's entry of the model, if it has one."""
        return self.entries.get(self.model.value)

    @property
    def factors(self) -> tuple[float, float]:
        """New pixels per pixel, down and across."""
        return self.factor.value, self.factor.value

    def fill_models(self) -> None:
        """List the models for the chosen purpose; what a person has chosen stays so if it is among them."""
        before, made = self.model.value if self.by_hand else None, models_for(self.purpose.value)
        self.entries = {entry.name: entry for entry in made or filter(is_here, models_for())}
        self.none.setText("" if made else none_text(self.purpose.value))
        self.none.setVisible(not made)
        self.finetune.visible = not made
        proposed, reason = self._proposed(None)
        refill(self.model, [before, proposed, *self.entries, FILE])
        self.by_hand = self.by_hand and self.model.value == before
        self.reason = reason if not self.by_hand and self.model.value == proposed else ""
        for i, entry in enumerate(self.entries.values()):
            self.model.native.setItemData(i, entry.summary, Qt.ItemDataRole.ToolTipRole)
        self._model_chosen()

    def follow(self) -> None:
        """Take the model for the image and the size, unless a person has named one; the size stays."""
        name, reason = self._proposed(max(self.factors))
        if self.by_hand or name not in self.model.choices:
            return
        self.reason = reason
        with self.model.changed.blocked():
            self.model.value = name
        self._show_chosen()

    def _proposed(self, factor: float | None) -> tuple[str, str]:
        """Return the name of the model that is taken where nobody names one, and why; empty if none is here."""
        try:
            entry, reason, _ = default_model(self.traits, factor, self.purpose.value or "")
        except EscError:  # the list is for other images, and what there is to do is said
            return "", ""
        return entry.name, reason

    def show_model(self, name: str) -> None:
        """List the models anew, and choose one of them, also if it is for other images."""
        self.fill_models()
        if name not in self.entries:
            self.purpose.value = ""
        if name in self.entries:  # nobody has taken it away meanwhile
            self.model.value = name

    def _models(self, box: Any) -> list[tuple[str, Any]]:
        listed = [(model_text(entry), name) for name, entry in self.entries.items()]
        return [*listed, *((f"From {other}", other) for other in (FILE, HUB))]

    def propose_scale(self, scale: int) -> None:
        """Take a model's own factor."""
        self.factor.value = scale

    def show_card(self, card: CatalogEntry | Mapping[str, Any] | None) -> None:
        """Show what a model says of itself."""
        self.card.setText("\n".join(card_lines(card)) if card is not None else "")

    def _finetune(self) -> None:
        self.finetuning_wanted.emit(self.purpose.value)

    def _named(self) -> None:
        self._kept_by_hand()
        self._model_chosen()

    def _kept_by_hand(self) -> None:
        self.by_hand, self.reason = True, ""
        self.why.hide()

    def _model_chosen(self) -> None:
        self._show_chosen()
        if self.entry and self.entry.scale:
            self.propose_scale(self.entry.scale)

    def _show_chosen(self) -> None:
        other, entry = self.model.value, self.entry
        self.why.setText(WHY.format(self.reason))
        self.why.setVisible(bool(self.reason))
        self.show_row(self.source, other in (FILE, HUB))
        self.find_source.visible = other == FILE
        self.source.native.setPlaceholderText("organisation/repository" if other == HUB else "path of a weights file")
        self.source.value = ""
        self.show_card(entry)

    def _consistency_chosen(self, kept: bool) -> None:
        self._kept = kept

    def show_consistency(self) -> None:
        """Untick it where local averages can't be had, and say why."""
        problem = self.not_kept
        with self.consistency.changed.blocked():
            self.consistency.value = self._kept and not problem
        self.consistency.enabled, self.consistency.text = not problem, CANNOT_KEEP.format(problem) if problem else KEEP

    @property
    def not_kept(self) -> str:
        """Why local averages can't be kept; empty if they can. 0.3 / 0.1 is a whole factor."""
        factors = [round(factor, 6) for factor in self.factors]
        if not all(factor.is_integer() for factor in factors):
            return "factor isn't whole"
        return "the size stays" if max(factors) == 1 else ""
