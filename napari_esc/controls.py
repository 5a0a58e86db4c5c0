"""Small parts of which the panel's form is made."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QComboBox, QFormLayout, QGroupBox, QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget


def choice(items: dict[str, str]) -> QComboBox:
    """Return a list of texts; `currentData` tells the key of the chosen one."""
    box = QComboBox()
    # Long names shorten; they must not widen the panel.
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    for data, text in items.items():
        box.addItem(text, data)
    return box


def small_label() -> QLabel:
    """Return an empty label for explanations."""
    label = QLabel()
    label.setWordWrap(True)
    label.setStyleSheet("font-size: 10px;")
    return label


def titled_group(title: str, rows: list[tuple[str, QWidget]]) -> QGroupBox:
    """Return a titled group of named controls; those without a name take the whole width."""
    group = QGroupBox(title)
    layout = QFormLayout(group)
    layout.setContentsMargins(8, 4, 8, 6)
    layout.setVerticalSpacing(4)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for name, widget in rows:
        if name:
            layout.addRow(name, widget)
        else:
            layout.addRow(widget)
    return group


def side_by_side(*widgets: QWidget) -> QWidget:
    """Return widgets side by side."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row


def path_row(browse: Callable[[], None]) -> tuple[QLineEdit, QWidget]:
    """Return a line for a path, and the row that it stands in with its button."""
    edit, button = QLineEdit(), QPushButton("Browse...")
    button.clicked.connect(browse)
    return edit, side_by_side(edit, button)
