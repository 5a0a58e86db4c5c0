"""The controls of the panel: what they show, and what they mean together. They start no work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from magicgui.widgets import CheckBox, FloatSpinBox, LineEdit
from napari.layers import Image, Shapes
from qtpy.QtWidgets import QFileDialog

from esc_plugin.arrays.sizes import LARGEST_SCALE
from esc_plugin.catalog.traits import PHOTO
from esc_plugin.device import cores
from esc_plugin.session.saved import named
from esc_plugin.session.task import Settings

from .controls import choice, refill, small_label
from .facts import is_source, traits_of, unit_names
from .model_form import LEVELS, ModelForm
from .preferences import preference
from .texts import image_text

#: Stands for all images that are selected in napari's list of layers.
SELECTED = "selected"
STORE_FILTER = "OME-Zarr (*.ome.zarr);;OME-TIFF (*.ome.tif)"
REGIONS = {"visible": "Visible region", "plane": "Current plane", "whole": "Whole layer"}
SCALES = {"factor": "Factor", "size": "Pixel size", "isotropic": "Planes between (z)"}
CAVEAT = (
    "New planes, until voxels are as deep as wide. They can't undo blur along z. Measured against cubic interpolation: "
    "+5.0 to -4.6 dB; worse for thin or noisy planes."
)
INTENSITIES = LEVELS | {"limits": "Contrast limits of the layer"}
DEVICES = {"auto": "Best available", "cpu": "Processor (CPU)", "cuda": "Graphics card (CUDA)", "mps": "Apple GPU"}
HELP = {
    "image": "The image to upscale, or all images that are selected in the list of layers, each with its own levels.",
    "region": "How much of it; of shapes, those that are selected, or all. A part has the same pixels as the whole result.",
    "scale": "Whether to ask for a factor, for the pixel size of the result, or for planes between those of a stack.",
    "pixel_size": "Of the result, in the unit of the layer. Oblong pixels become square ones.",
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


class Form(ModelForm):
    """All controls."""

    def __init__(self) -> None:
        super().__init__(HELP, INTENSITIES)
        self.layers: list[Image] = []
        self.selected: list[Image] = []
        self.shapes: list[Shapes] = []
        self._pixel = 1.0, 1.0
        self._add_image()
        self.add_model()
        self._add_result()
        self._connect()
        refill(self.region, list(REGIONS))
        self.fill_models()
        self._show_more(False)

    def _add_image(self) -> None:
        self.image, self.about_image = self.add("Image", choice("image", self._images)), small_label()
        self.add_native("", self.about_image)
        self.region = self.add("Region", choice("region", self._regions))

    def _add_result(self) -> None:
        self.scale, self.caveat = choice("scale", SCALES), small_label()
        self.scale.native.setMinimumContentsLength(3)  # it leaves room to the number beside it
        self.pixel_size = FloatSpinBox(name="pixel_size", value=1, min=0, max=1e9, step=0.01)
        self.pixel_size.native.setDecimals(6)
        self.add("Scale", self.scale, self.factor, self.pixel_size)
        self.caveat.setText(CAVEAT)
        self.add_native("", self.caveat)
        self.more = self.add("", CheckBox(name="more", text="More settings"))
        self.add("Intensity", self.intensity)
        self.add("Strength", self.strength)
        self.add("", self.consistency)
        self.difference = self.add("", CheckBox(name="difference", text="Add a difference layer"))
        self.sampled = self.add("", CheckBox(name="sampled", text="Survey by samples"))
        self.store = LineEdit(name="store")
        self.store.native.setPlaceholderText("in memory")
        self.find_store = self.browse(
            self.store, "Choose a name", QFileDialog.FileMode.AnyFile, filters=STORE_FILTER, suffix="ome.zarr"
        )
        self.add("Write to", self.store, self.find_store)
        self.device = self.add("Device", choice("device", DEVICES, preference("device")))
        self.memory = self.add("Memory", FloatSpinBox(name="memory", value=preference("memory_gb"), max=10_000, step=0.5))
        self.memory.native.setSpecialValueText("most of what is free")
        self.memory.native.setSuffix(" GB at most")
        counts = {0: "All cores"} | {count: str(count) for count in range(1, cores() + 1)}
        self.threads = self.add("Threads", choice("threads", counts, min(preference("threads"), cores())))

    def _connect(self) -> None:
        self.image.changed.connect(self.show_layer)
        self.scale.changed.connect(self._scale_chosen)
        self.more.changed.connect(self._show_more)
        self.pixel_size.changed.connect(self.show_consistency)
        self.pixel_size.changed.connect(self.follow)

    # What it means

    @property
    def chosen(self) -> list[Image]:
        """The chosen layers."""
        if isinstance(self.image.value, str):
            return self.selected
        return [] if self.image.value is None else [self.image.value]

    @property
    def factors(self) -> tuple[float, float]:
        """New pixels per pixel, down and across."""
        if self.scale.value == "isotropic":
            return 1.0, 1.0
        if self.scale.value == "factor":
            return self.factor.value, self.factor.value
        (rows, columns), wanted = self._pixel, self.pixel_size.value or 1e-9
        return rows / wanted, columns / wanted

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
            store=named(name) if (name := self.store.value.strip()) else None,
            sampled=self.sampled.value,
            isotropic=self.scale.value == "isotropic",
            strength=self.strength.value,
            reason=self.reason,
        )

    @property
    def not_kept(self) -> str:
        """Why local averages can't be kept; empty if they can: planes between planes leave rows and columns alone."""
        return "" if self.scale.value == "isotropic" else super().not_kept

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
        self.traits = traits_of(chosen[0]) if chosen else PHOTO
        self.follow()
        self.about_image.setText(image_text(chosen[0]) if len(chosen) == 1 else ", ".join(it.name for it in chosen))
        self.show_consistency()
        self.changed.emit()

    def propose_scale(self, scale: int) -> None:
        """Take a model's own factor."""
        self.factor.value, self.pixel_size.value = scale, self._pixel[1] / scale

    def _scale_chosen(self, kind: str) -> None:
        """Say the same in other words: a factor is what the pixel size is divided by, and the other way round."""
        if kind == "size":
            self.pixel_size.value = self._pixel[1] / self.factor.value
        elif kind == "factor":
            self.factor.value = min(max(self._pixel[1] / (self.pixel_size.value or 1), 1), LARGEST_SCALE)
        self._show_scale()
        self.follow()
        self.show_consistency()

    def _show_scale(self) -> None:
        kind = self.scale.value
        self.factor.visible, self.pixel_size.visible = kind == "factor", kind == "size"
        self.caveat.setVisible(kind == "isotropic")
        self.region.enabled = kind != "isotropic"  # which is of whole stacks

    def _show_more(self, shown: bool) -> None:
        further = self.intensity, self.strength, self.consistency, self.difference, self.sampled
        for control in (*further, self.store, self.device, self.memory, self.threads):
            self.show_row(control, shown)
        self._show_scale()
