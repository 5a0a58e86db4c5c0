"""The controls of the panel: what they show, and what they mean together. They start no work."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QVBoxLayout, QWidget

from .controls import LayerBox, TitledGroup, choice, small_label
from .model_group import ModelGroup
from .preferences import preference
from .result_group import ResultGroup
from .source import unit_names
from .task import Settings
from .texts import image_text

REGIONS = {"visible": "Visible region", "plane": "Current plane", "whole": "Whole layer"}
DEVICES = {"auto": "Best available", "cpu": "Processor (CPU)", "cuda": "Graphics card (CUDA)", "mps": "Apple GPU"}


class Form(QWidget):
    """All controls. `changed` says that any of them has changed."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.layer_box, self.image_info, self.region_box = LayerBox(), small_label(), choice(REGIONS)
        self.models, self.result = ModelGroup(), ResultGroup()
        self.device_box, self.memory_spin = choice(DEVICES), _memory_spin()
        self.device_box.setCurrentIndex(max(self.device_box.findData(preference("device")), 0))
        image, compute = TitledGroup("Image"), TitledGroup("Compute")
        image.add("Layer", self.layer_box)
        image.add("", self.image_info)
        image.add("Region", self.region_box)
        compute.add("Device", self.device_box)
        compute.add("Memory", self.memory_spin)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for group in (image, self.models, self.result, compute):
            layout.addWidget(group)
        layout.addStretch(1)
        self._connect()
        self.models.fill()

    def _connect(self) -> None:
        self.layer_box.currentIndexChanged.connect(self.show_layer)
        self.models.changed.connect(self._model_changed)
        self.result.changed.connect(self.changed)
        self.region_box.currentIndexChanged.connect(self.changed)
        self.device_box.currentIndexChanged.connect(self.changed)
        self.memory_spin.valueChanged.connect(self.changed)

    @property
    def layer(self) -> Image | None:
        """The chosen image layer."""
        return self.layer_box.layer

    @property
    def region(self) -> str:
        """One of `REGIONS`."""
        return str(self.region_box.currentData())

    def settings(self, layer: Image) -> Settings:
        """Return all choices, for a layer."""
        intensity, result = self.result.intensity_box.currentData(), self.result
        limits = (0, 1) if layer.rgb else layer.contrast_limits
        return Settings(
            model=self.models.model,
            factor=result.factor,
            intensity=(float(limits[0]), float(limits[1])) if intensity == "limits" else intensity,
            consistency=result.consistency_check.isChecked() and result.factor_is_whole,
            difference=result.difference_check.isChecked(),
            device=self.device_box.currentData(),
            memory_limit=int(self.memory_spin.value() * 2**30) or None,
            store=result.store,
            sampled=result.sampled_check.isChecked(),
        )

    def show_layer(self, event: Any = None) -> None:
        """Show what there is to know about the chosen layer."""
        layer = self.layer
        self.image_info.setText(image_text(layer) if layer is not None else "")
        if layer is not None:
            rows, columns = (abs(float(size)) for size in layer.scale[-2:])
            self.result.set_pixel_size((rows, columns), unit_names(layer)[-1])
        self.changed.emit()

    def _model_changed(self) -> None:
        if (entry := self.models.entry) and entry.scale:
            self.result.set_scale(entry.scale)
        self.changed.emit()


def _memory_spin() -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setRange(0, 10000)
    spin.setSpecialValueText("most of what is free")
    spin.setSuffix(" GB at most")
    spin.setValue(float(preference("memory_gb")))
    spin.setToolTip("Less memory takes more time; the pixels are the same.")
    return spin
