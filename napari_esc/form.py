"""The controls of the panel: what they show, and what they mean together. They start no work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import expanduser
from pathlib import Path
from typing import Any

from magicgui.widgets import CheckBox, FloatSpinBox, LineEdit, SpinBox
from napari.layers import Image, Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from esc_plugin import CatalogEntry
from esc_plugin.arrays.sizes import LARGEST_SCALE
from esc_plugin.catalog.by_purpose import is_here, models_for, none_text
from esc_plugin.catalog.cards import card_lines
from esc_plugin.catalog.purposes import PURPOSES
from esc_plugin.device import cores
from esc_plugin.session.task import Settings

from .controls import Rows, ask_file, button, choice, refill, small_label
from .preferences import preference
from .source import is_source, unit_names
from .texts import image_text, model_text

#: Stands for all images that are selected in napari's list of layers.
SELECTED = "selected"
FILE, HUB = "a weights file...", "the Hugging Face Hub..."
WEIGHTS_FILTER, STORE_FILTER = "Weights (*.safetensors *.pth *.pt *.ckpt)", "OME-Zarr (*.ome.zarr);;OME-TIFF (*.ome.tif)"
SUFFIXES = (".ome.zarr", ".zarr", ".tif", ".tiff")
REGIONS = {"visible": "Visible region", "plane": "Current plane", "whole": "Whole layer"}
SCALES = {"factor": "Factor", "size": "Pixel size"}
INTENSITIES = {
    "auto": "Automatic",
    "range": "Range of the data type",
    "minmax": "Lowest to highest value",
    "percentile": "0.1 to 99.9 percent",
    "limits": "Contrast limits of the layer",
}
DEVICES = {"auto": "Best available", "cpu": "Processor (CPU)", "cuda": "Graphics card (CUDA)", "mps": "Apple GPU"}
KEEP, CANNOT_KEEP = "Keep local averages", "Local averages aren't kept: the factor isn't whole"
HELP = {
    "image": "The image to upscale, or all images that are selected in the list of layers, each with its own levels.",
    "region": "How much of it; of shapes, those that are selected, or all. A part has the same pixels as the whole result.",
    "purpose": "What is in the image: models learn from one kind, and are of little use for another.",
    "model": "What upscales. Looking at a model downloads nothing; Preview and Run do.",
    "source": "The path of a weights file, or organisation/repository on the Hugging Face Hub.",
    "scale": "Whether to ask for a factor, or for the pixel size of the result.",
    "factor": "New pixels per pixel, in both directions.",
    "pixel_size": "Of the result, in the unit of the layer. Oblong pixels become square ones.",
    "intensity": (
        "Which values the network sees as black and white; the result is mapped back, so values keep their meaning.\n"
        "They are those of the whole layer, for previews and regions too; each entry of a channel axis has its own.\n"
        "Automatic: the range of the type for 8 bit, else what the layer holds apart from hot and dead pixels.\n"
        "What lies beyond is enlarged by interpolation and added back, so nothing is lost."
    ),
    "consistency": "Correct the result so that its mean over each original pixel is that pixel.",
    "difference": "Add a layer with the input minus the averaged result, and tell its bias and RMS.",
    "sampled": (
        "The network must know the whole plane to make a part of it. Samples take less time where the plane is large,\n"
        "and are enough for a result that differs a little. Otherwise results are exact."
    ),
    "store": (
        "Name of an OME-Zarr (.ome.zarr) or OME-TIFF (.ome.tif) to write the result to, several images as its channels.\n"
        "Empty: the result stays in memory."
    ),
    "device": "Where to compute.",
    "memory": "The most memory to take. Less takes more time; the pixels are the same.",
    "threads": "On how many cores to compute. Fewer are faster where other programs need them.",
    "more": "Show or hide the settings that are right for most images as they are.",
}


class Form(Rows):
    """All controls."""

    def __init__(self) -> None:
        super().__init__(HELP)
        self.layers: list[Image] = []
        self.selected: list[Image] = []
        self.shapes: list[Shapes] = []
        self.entries: dict[str, CatalogEntry] = {}
        self._pixel, self._kept = (1.0, 1.0), False
        self._add_image()
        self._add_model()
        self._add_result()
        self._connect()
        refill(self.region, list(REGIONS))
        self.fill_models()
        self._show_more(False)

    def _add_image(self) -> None:
        self.image, self.about_image = choice("image", self._images), small_label()
        self.region = choice("region", self._regions)
        self.add("Image", self.image)
        self.add_native("", self.about_image)
        self.add("Region", self.region)

    def _add_model(self) -> None:
        self.purpose = choice("purpose", {"": "Anything"} | {purpose.key: purpose.title for purpose in PURPOSES})
        self.model, self.card, self.none = choice("model", self._models), small_label(), small_label()
        self.source = LineEdit(name="source")
        self.browse = button("browse", "Browse...", "Choose a weights file in a dialog.", self._browse_weights)
        self.add("For", self.purpose)
        self.add_native("", self.none)
        self.add("Model", self.model)
        self.add("From", self.source, self.browse)
        self.add_native("", self.card)

    def _add_result(self) -> None:
        self.scale, self.factor = choice("scale", SCALES), FloatSpinBox(name="factor", value=2, min=1, max=LARGEST_SCALE)
        self.pixel_size = FloatSpinBox(name="pixel_size", value=1, min=0, max=1e9, step=0.01)
        self.more = CheckBox(name="more", text="More settings")
        self.intensity = choice("intensity", INTENSITIES)
        self.consistency = CheckBox(name="consistency", text=KEEP)
        self.difference = CheckBox(name="difference", text="Add a difference layer")
        self.sampled, self.store = CheckBox(name="sampled", text="Survey by samples"), LineEdit(name="store")
        self.device = choice("device", DEVICES, preference("device"))
        self.memory = FloatSpinBox(name="memory", value=preference("memory_gb"), max=10_000, step=0.5)
        self.threads = SpinBox(name="threads", value=min(preference("threads"), cores()), max=cores())
        self.factor.native.setPrefix("x ")
        self.factor.native.setSingleStep(0.5)
        self.pixel_size.native.setDecimals(6)
        self.memory.native.setSpecialValueText("most of what is free")
        self.memory.native.setSuffix(" GB at most")
        self.threads.native.setSpecialValueText("all cores")
        self.store.native.setPlaceholderText("in memory")
        self.add("Scale", self.scale, self.factor, self.pixel_size)
        self.add("", self.more)
        self.add("Intensity", self.intensity)
        self.add("", self.consistency)
        self.add("", self.difference)
        self.add("", self.sampled)
        find = button("find", "Browse...", "Choose a name in a dialog.", self._browse_store)
        self.add("Write to", self.store, find)
        self.add("Device", self.device)
        self.add("Memory", self.memory)
        self.add("Threads", self.threads)

    def _connect(self) -> None:
        self.image.changed.connect(self.show_layer)
        self.purpose.changed.connect(self.fill_models)
        self.model.changed.connect(self._model_chosen)
        self.scale.changed.connect(self._scale_chosen)
        self.more.changed.connect(self._show_more)
        self.consistency.changed.connect(self._consistency_chosen)
        self.factor.changed.connect(self._show_consistency)
        self.pixel_size.changed.connect(self._show_consistency)

    # What it means

    @property
    def chosen(self) -> list[Image]:
        """The chosen layers."""
        if isinstance(self.image.value, str):
            return self.selected
        return [] if self.image.value is None else [self.image.value]

    @property
    def model_name(self) -> str:
        """Name, path or Hub repository of the model; empty where nothing is named yet."""
        return str(self.source.value.strip() if self.model.value in (FILE, HUB) else self.model.value or "")

    @property
    def entry(self) -> CatalogEntry | None:
        """The catalogue's entry of the model, if it has one."""
        return self.entries.get(self.model.value)

    @property
    def factors(self) -> tuple[float, float]:
        """New pixels per pixel, down and across."""
        if self.scale.value == "factor":
            return self.factor.value, self.factor.value
        (rows, columns), wanted = self._pixel, self.pixel_size.value or 1e-9
        return rows / wanted, columns / wanted

    @property
    def target(self) -> Path | None:
        """Where the result is to be written, if not to memory."""
        name = self.store.value.strip()
        if name and not name.lower().endswith(SUFFIXES):
            name += SUFFIXES[0]
        # Not that of Path: while a name is typed, it is one of no user at times, and Path can't stand that.
        return Path(expanduser(name)).absolute() if name else None  # noqa: PTH111

    def settings(self, layer: Image) -> Settings:
        """Return all choices, for a layer."""
        limits, intensity = (0, 1) if layer.rgb else layer.contrast_limits, self.intensity.value
        return Settings(
            model=self.model_name,
            factor=self.factors,
            intensity=(float(limits[0]), float(limits[1])) if intensity == "limits" else intensity,
            consistency=self.consistency.value,
            difference=self.difference.value,
            device=self.device.value,
            memory_limit=int(self.memory.value * 2**30) or None,
            threads=self.threads.value,
            store=self.target,
            sampled=self.sampled.value,
        )

    # What it shows

    def fill_layers(self, layers: Sequence[Any], selected: Sequence[Any]) -> None:
        """List images, and choose those that are selected in the viewer unless this plugin has made them.

        A second run would else upscale the result of the first. What was chosen before stays so if nothing else is selected.
        """
        before, self.layers = self.image.value, [layer for layer in layers if isinstance(layer, Image)]
        sources = [layer for layer in self.layers if is_source(layer)]
        chosen = [layer for layer in sources if layer in selected]
        self.selected = chosen or [layer for layer in self.selected if layer in self.layers]
        several = len(self.selected) > 1 and (chosen or isinstance(before, str))
        wanted: list[Any] = [SELECTED] if several else chosen
        # Compared by ==, because the viewer that a plugin gets may hand out a layer behind another proxy each time.
        kept = [layer for layer in self.layers if layer == before]
        refill(self.image, [*wanted, *kept, *sources][:1])
        self.shapes = [layer for layer in layers if isinstance(layer, Shapes)]
        refill(self.region, [self.region.value, *REGIONS])
        self.show_layer()

    def _images(self, box: Any) -> list[tuple[str, Any]]:
        several = [(f"{len(self.selected)} selected images", SELECTED)] if len(self.selected) > 1 else []
        return [*several, *((layer.name, layer) for layer in self.layers)]

    def _regions(self, box: Any) -> list[tuple[str, Any]]:
        drawn = ((f"Shapes of {layer.name}", layer) for layer in self.shapes)
        return [*((text, key) for key, text in REGIONS.items()), *drawn]

    def show_layer(self) -> None:
        """Show what there is to know about the chosen layers."""
        chosen = self.chosen
        if chosen:
            self._pixel = abs(float(chosen[0].scale[-2])), abs(float(chosen[0].scale[-1]))
            self.pixel_size.native.setSuffix(f" {unit_names(chosen[0])[-1]}")
        self.about_image.setText(image_text(chosen[0]) if len(chosen) == 1 else ", ".join(it.name for it in chosen))
        self._show_consistency()
        self.changed.emit()

    def fill_models(self) -> None:
        """List the models for the chosen purpose; what was chosen stays so if it is among them."""
        before, self.entries = self.model.value, {entry.name: entry for entry in models_for(self.purpose.value)}
        self.entries = self.entries or {entry.name: entry for entry in models_for() if is_here(entry)}
        self.none.setText(none_text(self.purpose.value))
        self.none.setVisible(bool(self.none.text()))
        refill(self.model, [before, *self.entries, FILE])
        for i, entry in enumerate(self.entries.values()):
            self.model.native.setItemData(i, entry.summary, Qt.ItemDataRole.ToolTipRole)
        self._model_chosen()

    def _models(self, box: Any) -> list[tuple[str, Any]]:
        listed = [(model_text(entry), name) for name, entry in self.entries.items()]
        return [*listed, *((f"From {other}", other) for other in (FILE, HUB))]

    def propose_scale(self, scale: int) -> None:
        """Take a model's own factor."""
        self.factor.value, self.pixel_size.value = scale, self._pixel[1] / scale

    def show_card(self, card: CatalogEntry | Mapping[str, Any] | None) -> None:
        """Show what a model says of itself."""
        self.card.setText("\n".join(card_lines(card)) if card is not None else "")

    def _model_chosen(self) -> None:
        other, entry = self.model.value, self.entry
        self.show_row(self.source, other in (FILE, HUB))
        self.browse.visible = other == FILE
        self.source.native.setPlaceholderText("organisation/repository" if other == HUB else "path of a weights file")
        self.source.value = ""
        self.show_card(entry)
        if entry and entry.scale:
            self.propose_scale(entry.scale)

    def _scale_chosen(self, kind: str) -> None:
        """Say the same in other words: a factor is what the pixel size is divided by, and the other way round."""
        if kind == "size":
            self.pixel_size.value = self._pixel[1] / self.factor.value
        else:
            self.factor.value = min(max(self._pixel[1] / (self.pixel_size.value or 1), 1), LARGEST_SCALE)
        self._show_scale()

    def _show_scale(self) -> None:
        self.factor.visible, self.pixel_size.visible = self.scale.value == "factor", self.scale.value == "size"

    def _consistency_chosen(self, kept: bool) -> None:
        self._kept = kept

    def _show_consistency(self) -> None:
        """Untick it where local averages can't be had, and say why; 0.3 / 0.1 is a whole factor."""
        whole = all(round(factor, 6).is_integer() for factor in self.factors)
        with self.consistency.changed.blocked():
            self.consistency.value = self._kept and whole
        self.consistency.enabled, self.consistency.text = whole, KEEP if whole else CANNOT_KEEP

    def _show_more(self, shown: bool) -> None:
        for control in (self.intensity, self.consistency, self.difference, self.sampled, self.store, self.device):
            self.show_row(control, shown)
        for control in (self.memory, self.threads):
            self.show_row(control, shown)
        self._show_scale()

    # Files

    def _browse_weights(self) -> None:
        dialog = QFileDialog(self, "Choose a weights file", preference("models_folder") or str(Path.home()), WEIGHTS_FILTER)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        ask_file(dialog, self.source)

    def _browse_store(self) -> None:
        dialog = QFileDialog(self, "Write the result to", str(Path.home()), STORE_FILTER)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("ome.zarr")
        ask_file(dialog, self.store)
