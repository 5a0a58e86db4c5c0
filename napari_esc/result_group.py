"""What the result shall be: its scale, its levels of intensity, what is checked of it, and where it goes."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFileDialog, QSizePolicy

from esc_plugin.arrays.sizes import LARGEST_SCALE

from .controls import TitledGroup, ask_file, choice, path_row, side_by_side

INTENSITIES = {
    "auto": "Automatic",
    "range": "Range of the data type",
    "minmax": "Lowest to highest value",
    "percentile": "0.1 to 99.9 percent",
    "limits": "Contrast limits of the layer",
}
INTENSITY_HELP = (
    "Which values the network sees as black and white; the result is mapped back, so values keep their meaning.\n"
    "They are those of the whole layer, for previews and regions too; each channel axis entry has its own.\n"
    "Automatic: the range of the type for 8 bit, else what the layer holds apart from hot and dead pixels.\n"
    "What lies beyond is enlarged by interpolation and added back, so nothing is lost."
)
SAMPLED_HELP = (
    "The network must know the whole plane to make a part of it. Samples of it take less time where the plane is large,\n"
    "and are enough for a result that differs a little. Otherwise results are exact."
)
KEEP, CANNOT_KEEP = "Keep local averages", "Local averages aren't kept: the factor isn't whole"


class ResultGroup(TitledGroup):
    """The controls of a result. `changed` says that any of them has changed."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__("Result")
        self.pixel_sizes, self.unit = (1.0, 1.0), "pixel"
        self.factor_kind, self.factor_spin = choice({"factor": "Factor", "size": "Pixel size"}), QDoubleSpinBox()
        self.factor_kind.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._set_limits()
        self.factor_spin.setValue(2)
        self.intensity_box = choice(INTENSITIES)
        self.intensity_box.setToolTip(INTENSITY_HELP)
        self.consistency_check, self.difference_check = QCheckBox(KEEP), QCheckBox("Add a difference layer")
        self.consistency_check.setToolTip("Correct the result so that its mean over each original pixel is that pixel.")
        self.sampled_check = QCheckBox("Survey by samples")
        self.sampled_check.setToolTip(SAMPLED_HELP)
        self.difference_check.setToolTip("Input minus the averaged result, with its bias and RMS.")
        self.store_edit, store_row = path_row(self._browse)
        self.store_edit.setPlaceholderText("in memory")
        self.store_edit.setToolTip("Name of an OME-Zarr image to write the result to. Empty: the result stays in memory.")
        self.add("Scale", side_by_side(self.factor_kind, self.factor_spin))
        self.add("Intensity", self.intensity_box)
        self.add("", self.consistency_check)
        self.add("", self.difference_check)
        self.add("", self.sampled_check)
        self.add("Write to", store_row)
        self._connect()

    def _connect(self) -> None:
        self.factor_kind.currentIndexChanged.connect(self._kind_changed)
        self.factor_spin.valueChanged.connect(self._factor_changed)
        self.intensity_box.currentIndexChanged.connect(self.changed)
        self.consistency_check.toggled.connect(self.changed)
        self.difference_check.toggled.connect(self.changed)
        self.sampled_check.toggled.connect(self.changed)
        self.store_edit.editingFinished.connect(self.changed)

    @property
    def factor(self) -> tuple[float, float]:
        """New pixels per pixel, down and across."""
        value = self.factor_spin.value()
        return (value, value) if self._by_factor else (self.pixel_sizes[0] / value, self.pixel_sizes[1] / value)

    @property
    def factor_is_whole(self) -> bool:
        """Whether the factor is a whole number, as local averages need it; 0.3 / 0.1 is one."""
        return all(round(factor, 6).is_integer() for factor in self.factor)

    @property
    def store(self) -> Path | None:
        """Where the result is to be written, if not to memory."""
        name = self.store_edit.text().strip()
        return Path(name).expanduser().absolute() if name else None

    def set_pixel_size(self, sizes: tuple[float, float], unit: str) -> None:
        """Take over the pixel size of the chosen layer, rows and columns."""
        self.pixel_sizes, self.unit = sizes, unit
        if not self._by_factor:
            self.factor_spin.setSuffix(f" {unit}")
        self._show_consistency()

    def set_scale(self, scale: int) -> None:
        """Propose a model's own factor."""
        self.factor_spin.setValue(scale if self._by_factor else self.pixel_sizes[1] / scale)

    @property
    def _by_factor(self) -> bool:
        return bool(self.factor_kind.currentData() == "factor")

    def _kind_changed(self) -> None:
        """Say the same in other words: a factor is what the pixel size is divided by, and the other way round."""
        value = self.pixel_sizes[1] / self.factor_spin.value()
        with QSignalBlocker(self.factor_spin):
            self._set_limits()
            self.factor_spin.setValue(value)
        self._factor_changed()

    def _set_limits(self) -> None:
        width, spin = self.pixel_sizes[1], self.factor_spin
        low, high, step = (1, LARGEST_SCALE, 0.5) if self._by_factor else (width / LARGEST_SCALE, width, width / 20)
        spin.setDecimals(2 if self._by_factor else 6)
        spin.setRange(low, high)
        spin.setSingleStep(step)
        spin.setPrefix("x " if self._by_factor else "")
        spin.setSuffix("" if self._by_factor else f" {self.unit}")

    def _factor_changed(self) -> None:
        self._show_consistency()
        self.changed.emit()

    def _show_consistency(self) -> None:
        """Say it where local averages can't be kept: the box may be ticked."""
        self.consistency_check.setEnabled(self.factor_is_whole)
        self.consistency_check.setText(KEEP if self.factor_is_whole else CANNOT_KEEP)

    def _browse(self) -> None:
        dialog = QFileDialog(self, "Write the result to", str(Path.home()), "OME-Zarr (*.ome.zarr)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        ask_file(dialog, self._file_chosen)

    def _file_chosen(self, path: str) -> None:
        self.store_edit.setText(path if path.endswith(".zarr") else f"{path}.ome.zarr")
        self.changed.emit()
