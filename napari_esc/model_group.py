"""Which model: by what it is for, from a file, or from the Hub."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QFileDialog, QPushButton

from esc_plugin import CatalogEntry, list_models

from .controls import TitledGroup, ask_file, choice, path_row, small_label
from .preferences import preference
from .texts import card_text, model_text

FILE, HUB = "a weights file...", "the Hugging Face Hub..."
ANY_PURPOSE = "anything"
WEIGHTS_FILTER = "Weights (*.safetensors *.pth *.pt *.ckpt)"


class ModelGroup(TitledGroup):
    """The models on offer and elsewhere. `changed` says that another one is chosen or named."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__("Model")
        self.entries: dict[str, CatalogEntry] = {}
        purposes = dict.fromkeys(entry.purpose for entry in list_models() if entry.purpose)
        self.purpose_box = choice({ANY_PURPOSE: "Anything"} | {purpose: purpose.capitalize() for purpose in purposes})
        self.model_box, self.card_label = choice({}), small_label()
        self.source_edit, self.source_row = path_row(self._browse)
        self.add("For", self.purpose_box)
        self.add("Model", self.model_box)
        self.add("", self.source_row)
        self.add("", self.card_label)
        self.purpose_box.currentIndexChanged.connect(self.fill)
        self.model_box.currentIndexChanged.connect(self._chosen)
        self.source_edit.editingFinished.connect(self.changed)

    @property
    def model(self) -> str:
        """Name, path or Hub repository of the model; empty where nothing is named yet."""
        chosen = self.model_box.currentData()
        return str(self.source_edit.text().strip() if chosen in (FILE, HUB) else chosen or "")

    @property
    def entry(self) -> CatalogEntry | None:
        """The catalogue's entry of the model, if it has one."""
        return self.entries.get(self.model_box.currentData())

    def fill(self) -> None:
        """List the models for the chosen purpose; what was chosen stays so if it is among them."""
        purpose, before = self.purpose_box.currentData(), self.model_box.currentData()
        shown = [entry for entry in list_models() if purpose in (ANY_PURPOSE, entry.purpose) or not entry.purpose]
        self.entries = {entry.name: entry for entry in shown}
        with QSignalBlocker(self.model_box):
            self.model_box.clear()
            for i, entry in enumerate(shown):
                self.model_box.addItem(model_text(entry), entry.name)
                self.model_box.setItemData(i, entry.summary, Qt.ItemDataRole.ToolTipRole)
            for other in (FILE, HUB):
                self.model_box.addItem(f"From {other}", other)
            self.model_box.setCurrentIndex(max(self.model_box.findData(before), 0))
        self._chosen()

    def _chosen(self) -> None:
        other = self.model_box.currentData()
        self.source_row.setVisible(other in (FILE, HUB))
        self.source_row.findChild(QPushButton).setVisible(other == FILE)
        self.source_edit.setPlaceholderText("organisation/repository" if other == HUB else "path of a weights file")
        self.source_edit.clear()
        self.card_label.setText(card_text(self.entry.card, self.entry.summary) if self.entry else "")
        self.changed.emit()

    def _browse(self) -> None:
        dialog = QFileDialog(self, "Choose a weights file", preference("models_folder") or str(Path.home()), WEIGHTS_FILTER)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        ask_file(dialog, self._file_chosen)

    def _file_chosen(self, path: str) -> None:
        self.source_edit.setText(path)
        self.changed.emit()
