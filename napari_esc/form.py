"""The controls of the panel: what they show, and what they mean together. It starts no work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFileDialog,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from esc_plugin import CatalogEntry, list_models

from .controls import ask_file, choice, path_row, side_by_side, small_label, titled_group
from .job import Settings
from .settings import get_setting

FILE, HUB = "a weights file...", "the Hugging Face Hub..."
ANY_PURPOSE = "anything"
REGIONS = {"visible": "Visible region", "plane": "Current plane", "whole": "Whole layer"}
INTENSITIES = {
    "auto": "Automatic",
    "range": "Range of the data type",
    "minmax": "Lowest to highest value",
    "percentile": "0.1 to 99.9 percent",
    "limits": "Contrast limits of the layer",
}
DEVICES = {"auto": "Best available", "cpu": "Processor (CPU)", "cuda": "Graphics card (CUDA)", "mps": "Apple GPU"}
KEEP, CANNOT_KEEP = "Keep local averages", "Local averages aren't kept: the factor isn't whole"
WEIGHTS_FILTER = "Weights (*.safetensors *.pth *.pt *.ckpt)"


class Form(QWidget):
    """All controls. `changed` says that any of them has changed."""

    changed = Signal()
    model_changed = Signal()

    def __init__(self, layers: QWidget) -> None:
        super().__init__()
        self.entries: dict[str, CatalogEntry] = {}
        self.pixel_sizes, self.unit = (1.0, 1.0), "pixel"
        self._build(layers)
        self._connect()
        self.fill_models()

    # What was chosen

    @property
    def model(self) -> str:
        """Name, path or Hub repository of the model; empty where nothing is named yet."""
        if self.model_box.currentData() in (FILE, HUB):
            return self.source_edit.text().strip()
        return self.model_box.currentData() or ""

    @property
    def entry(self) -> CatalogEntry | None:
        """Return the catalogue's entry of the model, if it has one."""
        return self.entries.get(self.model_box.currentData())

    @property
    def factor(self) -> tuple[float, float]:
        """New pixels per pixel, down and across."""
        value = self.factor_spin.value()
        if self.factor_kind.currentData() == "factor":
            return value, value
        return self.pixel_sizes[0] / value, self.pixel_sizes[1] / value

    @property
    def whole_factor(self) -> bool:
        """Whether the factor is a whole number, as local averages need it; 0.3 / 0.1 is one."""
        return all(round(f, 6).is_integer() for f in self.factor)

    @property
    def region(self) -> str:
        """One of `REGIONS`."""
        return self.region_box.currentData()

    def settings(self, contrast_limits: Any) -> Settings:
        """Return all choices."""
        intensity = self.intensity_box.currentData()
        store = self.store_edit.text().strip()
        return Settings(
            model=self.model,
            factor=self.factor,
            intensity=(float(contrast_limits[0]), float(contrast_limits[1])) if intensity == "limits" else intensity,
            consistency=self.consistency_check.isChecked() and self.whole_factor,
            difference=self.difference_check.isChecked(),
            device=self.device_box.currentData(),
            memory_limit=int(self.memory_spin.value() * 2**30) or None,
            store=Path(store).expanduser().absolute() if store else None,
        )

    # What the panel tells the form

    def show_pixel_size(self, sizes: tuple[float, float], unit: str) -> None:
        """Take over the pixel size of the chosen layer, rows and columns."""
        self.pixel_sizes, self.unit = sizes, unit
        if self.factor_kind.currentData() == "size":
            self.factor_spin.setSuffix(f" {unit}")
        self._show_consistency()

    def set_scale(self, scale: int) -> None:
        """Propose a model's own factor."""
        if self.factor_kind.currentData() == "factor":
            self.factor_spin.setValue(scale)
        else:
            self.factor_spin.setValue(self.pixel_sizes[1] / scale)

    def fill_models(self) -> None:
        """List the models for the chosen purpose."""
        purpose, before = self.purpose_box.currentData(), self.model_box.currentData()
        shown = [e for e in list_models() if purpose in (ANY_PURPOSE, e.purpose) or not e.purpose]
        self.entries = {entry.name: entry for entry in shown}
        self.model_box.blockSignals(True)
        self.model_box.clear()
        for entry in shown:
            self.model_box.addItem(model_label(entry), entry.name)
            self.model_box.setItemData(self.model_box.count() - 1, entry.summary, Qt.ItemDataRole.ToolTipRole)
        for other in (FILE, HUB):
            self.model_box.addItem(f"From {other}", other)
        self.model_box.setCurrentIndex(max(self.model_box.findData(before), 0))
        self.model_box.blockSignals(False)
        self._model_chosen()

    # How it is made

    def _build(self, layers: QWidget) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.region_box = choice(REGIONS)
        self.image_info = small_label()
        layout.addWidget(titled_group("Image", [("Layer", layers), ("", self.image_info), ("Region", self.region_box)]))
        purposes = [e.purpose for e in list_models() if e.purpose]
        self.purpose_box = choice({ANY_PURPOSE: "Anything"} | {p: p.capitalize() for p in dict.fromkeys(purposes)})
        self.model_box, self.card_label = choice({}), small_label()
        self.source_edit, self.source_row = path_row(self._browse_weights)
        rows: list[tuple[str, QWidget]] = [("For", self.purpose_box), ("Model", self.model_box)]
        self.model_group = titled_group("Model", [*rows, ("", self.source_row), ("", self.card_label)])
        layout.addWidget(self.model_group)
        self._build_result(layout)
        self.device_box, self.memory_spin = choice(DEVICES), QDoubleSpinBox()
        self.device_box.setCurrentIndex(max(self.device_box.findData(get_setting("device")), 0))
        self.memory_spin.setRange(0, 10000)
        self.memory_spin.setSpecialValueText("most of what is free")
        self.memory_spin.setSuffix(" GB at most")
        self.memory_spin.setValue(float(get_setting("memory_gb")))
        self.memory_spin.setToolTip("Less memory takes more time; the pixels are the same.")
        layout.addWidget(titled_group("Compute", [("Device", self.device_box), ("Memory", self.memory_spin)]))
        layout.addStretch(1)

    def _build_result(self, layout: QVBoxLayout) -> None:
        self.factor_kind = choice({"factor": "Factor", "size": "Pixel size"})
        self.factor_spin = QDoubleSpinBox()
        self.factor_kind.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._factor_limits()
        self.factor_spin.setValue(2)
        self.intensity_box = choice(INTENSITIES)
        self.intensity_box.setToolTip(
            "Which values the network sees as black and white; the result is mapped back, so values keep their meaning.\n"
            "They are those of the whole layer, for previews and regions too; each channel axis entry has its own.\n"
            "Automatic: the range of the type for 8 bit, else what the layer holds apart from hot and dead pixels.\n"
            "What lies beyond is enlarged by interpolation and added back, so nothing is lost."
        )
        self.consistency_check = QCheckBox(KEEP)
        self.consistency_check.setToolTip("Correct the result so that its mean over each original pixel is that pixel.")
        self.difference_check = QCheckBox("Add a difference layer")
        self.difference_check.setToolTip("Input minus the averaged result, with its bias and RMS.")
        self.store_edit, store_row = path_row(self._browse_store)
        self.store_edit.setPlaceholderText("in memory")
        self.store_edit.setToolTip("Name of an OME-Zarr image to write the result to. Empty: the result stays in memory.")
        rows: list[tuple[str, QWidget]] = [
            ("Scale", side_by_side(self.factor_kind, self.factor_spin)),
            ("Intensity", self.intensity_box),
            ("", self.consistency_check),
            ("", self.difference_check),
            ("Write to", store_row),
        ]
        layout.addWidget(titled_group("Result", rows))

    def _connect(self) -> None:
        self.purpose_box.currentIndexChanged.connect(self.fill_models)
        self.model_box.currentIndexChanged.connect(self._model_chosen)
        self.source_edit.editingFinished.connect(self._source_named)
        self.factor_kind.currentIndexChanged.connect(self._factor_kind_changed)
        self.factor_spin.valueChanged.connect(self._factor_changed)
        for box in (self.region_box, self.intensity_box, self.device_box):
            box.currentIndexChanged.connect(self.changed)
        for check in (self.consistency_check, self.difference_check):
            check.toggled.connect(self.changed)
        self.memory_spin.valueChanged.connect(self.changed)
        self.store_edit.editingFinished.connect(self.changed)

    def _model_chosen(self) -> None:
        other = self.model_box.currentData()
        self.source_row.setVisible(other in (FILE, HUB))
        self.source_row.findChild(QPushButton).setVisible(other == FILE)
        self.source_edit.setPlaceholderText("organisation/repository" if other == HUB else "path of a weights file")
        self.source_edit.clear()
        entry = self.entry
        self.card_label.setText(card_text(entry.card, entry.summary) if entry else "")
        if entry and entry.scale:
            self.set_scale(entry.scale)
        self.model_changed.emit()
        self.changed.emit()

    def _source_named(self) -> None:
        self.model_changed.emit()
        self.changed.emit()

    def _factor_kind_changed(self) -> None:
        value, across = self.factor_spin.value(), self.pixel_sizes[1]
        self.factor_spin.blockSignals(True)
        self._factor_limits()
        self.factor_spin.setValue(across / value)
        self.factor_spin.blockSignals(False)
        self._factor_changed()

    def _factor_limits(self) -> None:
        if self.factor_kind.currentData() == "factor":
            self.factor_spin.setDecimals(2)
            self.factor_spin.setRange(1, 64)
            self.factor_spin.setSingleStep(0.5)
            self.factor_spin.setPrefix("x ")
            self.factor_spin.setSuffix("")
        else:
            self.factor_spin.setDecimals(6)
            self.factor_spin.setRange(self.pixel_sizes[1] / 64, self.pixel_sizes[1])
            self.factor_spin.setSingleStep(self.pixel_sizes[1] / 20)
            self.factor_spin.setPrefix("")
            self.factor_spin.setSuffix(f" {self.unit}")

    def _factor_changed(self) -> None:
        self._show_consistency()
        self.changed.emit()

    def _show_consistency(self) -> None:
        """Say it where local averages can't be kept: the box may be ticked."""
        self.consistency_check.setEnabled(self.whole_factor)
        self.consistency_check.setText(KEEP if self.whole_factor else CANNOT_KEEP)

    def _browse_weights(self) -> None:
        folder = get_setting("models_folder") or str(Path.home())
        dialog = QFileDialog(self, "Choose a weights file", folder, WEIGHTS_FILTER)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        ask_file(dialog, self._weights_chosen)

    def _weights_chosen(self, path: str) -> None:
        self.source_edit.setText(path)
        self._source_named()

    def _browse_store(self) -> None:
        dialog = QFileDialog(self, "Write the result to", str(Path.home()), "OME-Zarr (*.ome.zarr)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        ask_file(dialog, self._store_chosen)

    def _store_chosen(self, path: str) -> None:
        self.store_edit.setText(path if path.endswith(".zarr") else f"{path}.ome.zarr")
        self.changed.emit()


def model_label(entry: CatalogEntry) -> str:
    """Return how a model is listed."""
    scale = f" (x{entry.scale})" if entry.scale and f"x{entry.scale}" not in entry.name else ""
    return f"{entry.name}{scale}" + (", download" if entry.source in ("hub", "url") else "")


def card_text(card: dict[str, Any], summary: str = "") -> str:
    """Return what a user should know of a model: what it is for, and what it has seen."""
    training = str(card.get("training", "")).rstrip(".")
    licence = f" Licence: {card['license']}." if card.get("license") else ""
    seen = f"Trained: {training}." if training else "It doesn't say what it was trained on."
    return f"{summary} {seen}{licence}".strip()
