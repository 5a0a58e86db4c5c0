"""Small parts of which the panel's form is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)


class LayerBox(QComboBox):
    """The image layers of a viewer, of which one or none is chosen.

    By itself it never chooses what this plugin has made, or a second run would upscale the result of the first. A person
    may.
    """

    def __init__(self) -> None:
        super().__init__()
        shorten(self)
        self.layers: list[Image] = []

    @property
    def layer(self) -> Image | None:
        """The chosen one."""
        return self.layers[self.currentIndex()] if self.currentIndex() >= 0 else None

    def fill(self, layers: Iterable[Any]) -> None:
        """List the images among layers. What was chosen stays so; else the first one is that is a source."""
        before = self.layer
        self.layers = [layer for layer in layers if isinstance(layer, Image)]
        # Compared by ==, because the viewer that a plugin gets may hand out a layer behind another proxy each time.
        kept = [i for i, layer in enumerate(self.layers) if layer == before]
        sources = [i for i, layer in enumerate(self.layers) if is_source(layer)]
        with QSignalBlocker(self):
            self.clear()
            self.addItems([layer.name for layer in self.layers])
            self.setCurrentIndex([*kept, *sources, -1][0])

    def follow(self, active: Any) -> None:
        """Choose the active layer if it is listed and a source."""
        for i, layer in enumerate(self.layers):
            if layer == active and is_source(layer):
                self.setCurrentIndex(i)


def is_source(layer: Image) -> bool:
    """Tell whether a layer is none that this plugin has made."""
    return "esc" not in layer.metadata


def shorten(box: QComboBox) -> None:
    """Let long names be shortened; they must not widen the panel."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)


def choice(items: dict[str, str]) -> QComboBox:
    """Return a list of texts; `currentData` tells the key of the chosen one."""
    box = QComboBox()
    shorten(box)
    for data, text in items.items():
        box.addItem(text, data)
    return box


def small_label() -> QLabel:
    """Return an empty label for explanations."""
    label = QLabel()
    label.setWordWrap(True)
    label.setStyleSheet("font-size: 10px;")
    return label


class TitledGroup(QGroupBox):
    """A titled group of named controls."""

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self._rows = QFormLayout(self)
        self._rows.setContentsMargins(8, 4, 8, 6)
        self._rows.setVerticalSpacing(4)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)

    def add(self, name: str, widget: QWidget) -> None:
        """Add a control; one without a name takes the whole width."""
        if name:
            self._rows.addRow(name, widget)
        else:
            self._rows.addRow(widget)


def side_by_side(*widgets: QWidget) -> QWidget:
    """Return widgets side by side."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row


def dismissible_note(text: str, dismissed: Callable[[], None]) -> QFrame:
    """Return a framed text with a button that hides it and calls `dismissed`."""
    note, label, button = QFrame(), QLabel(text), QPushButton("Got it")
    note.setFrameShape(QFrame.Shape.StyledPanel)
    label.setWordWrap(True)
    row = QHBoxLayout(note)
    row.addWidget(label, 1)
    row.addWidget(button)
    button.clicked.connect(note.hide)
    button.clicked.connect(dismissed)
    return note


def path_row(browse: Callable[[], None]) -> tuple[QLineEdit, QWidget]:
    """Return a line for a path, and the row that it stands in with its button."""
    edit, button = QLineEdit(), QPushButton("Browse...")
    button.clicked.connect(browse)
    return edit, side_by_side(edit, button)


def ask_file(dialog: QFileDialog, chosen: Callable[[str], None]) -> None:
    """Show a dialog and return at once: code that waited for the answer could find its panel gone."""
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(chosen)
    dialog.open()
