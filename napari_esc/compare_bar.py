"""A button and a slider that compare a result with its source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSlider, QWidget

from .compare import KEY, Comparison

if TYPE_CHECKING:
    from napari.layers import Image


class CompareBar(QWidget):
    """A button that shows the source instead of the result, and a slider that draws a curtain between both.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are compared.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.comparison: Comparison | None = None
        self.button, self.slider = QPushButton("Source"), QSlider(Qt.Orientation.Horizontal)
        self.button.setCheckable(True)
        self.button.setToolTip(f"Show the source instead of the result, and go back; or press {KEY} over the image.")
        self.button.setAccessibleName("Show the source instead of the result")
        self.slider.setRange(0, 1000)
        self.slider.setToolTip("Uncover the source from the left, or drag the line over the image. Esc ends it.")
        self.slider.setAccessibleName("Part of the image that shows the source")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.slider, 1)
        self.button.clicked.connect(self._toggle)
        self.slider.valueChanged.connect(self._slide)
        self.setVisible(False)

    def compare(self, pairs: Sequence[tuple[Image, Image]]) -> None:
        """Offer to compare sources with their results, layers of the viewer, until one is removed or `stop` is called."""
        self.stop()
        if pairs:
            self.comparison = Comparison(self._viewer, pairs, self._moved)
        self._moved()

    def stop(self) -> None:
        """Leave both layers as they were, and offer nothing."""
        if self.comparison:
            self.comparison.close()

    def _toggle(self) -> None:
        if self.comparison:
            self.comparison.toggle()

    def _slide(self, value: int) -> None:
        if self.comparison:
            self.comparison.show(value / self.slider.maximum())

    def _moved(self) -> None:
        comparison = self.comparison
        if comparison and not comparison.is_open:
            self.comparison = comparison = None  # so that removed layers are let go of
        if isalive(self):
            position = comparison.position if comparison else 0.0
            with QSignalBlocker(self.slider):
                self.slider.setValue(round(position * self.slider.maximum()))
            self.button.setChecked(position == 1)
            self.setVisible(comparison is not None)
