"""The parts of which forms are made: magicgui's controls in rows, each with a tooltip and a name for screen readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from magicgui.widgets import ComboBox, LineEdit, PushButton
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QHBoxLayout, QLabel, QWidget

#: Between the names of several files.
SEPARATOR = "; "
Control = TypeVar("Control")


class Rows(QWidget):
    """Controls below each other. `changed` says that any of them has changed.

    Parameters
    ----------
    tooltips : dict of str to str
        By the controls' names.
    """

    changed = Signal()

    def __init__(self, tooltips: dict[str, str]) -> None:
        super().__init__()
        self._tooltips = tooltips
        self.rows = QFormLayout(self)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.rows.setVerticalSpacing(4)
        self.rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)

    def add(self, label: str, first: Control, *others: Any) -> Control:
        """Add a row of magicgui controls, and return the first; what has no label takes all of it."""
        controls: tuple[Any, ...] = first, *others
        for control in controls:
            control.tooltip = control.tooltip or self._tooltips[control.name]
            control.native.setAccessibleName(label or control.text)
            control.changed.connect(lambda *_: self.changed.emit())
        self.add_native(label, *(control.native for control in controls))
        return first

    def add_native(self, label: str, *widgets: QWidget) -> None:
        """Add a row of Qt's widgets."""
        row = widgets[0] if len(widgets) == 1 else side_by_side(*widgets)
        self.rows.addRow(label, row) if label else self.rows.addRow(row)

    def show_row(self, control: Any, shown: bool) -> None:
        """Show or hide the row of a control, with its label."""
        row = control.native
        while row.parent() is not self:
            row = row.parent()
        self.rows.setRowVisible(row, shown)

    def browse(
        self,
        edit: LineEdit,
        what: str,
        mode: QFileDialog.FileMode = QFileDialog.FileMode.ExistingFile,
        *,
        text: str = "Browse...",
        filters: str = "",
        folder: str = "",
        suffix: str = "",
    ) -> PushButton:
        """Return a button that shows a dialog: what to do in it, with which files. With a suffix they are saved to.

        The dialog isn't waited for: code that does could find its panel gone.
        """

        def ask() -> None:
            named = edit.value if mode == QFileDialog.FileMode.Directory else ""
            dialog = QFileDialog(self, what, named or folder or str(Path.home()), filters)
            dialog.setFileMode(mode)
            if suffix:
                dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
                dialog.setDefaultSuffix(suffix)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.filesSelected.connect(lambda paths: setattr(edit, "value", SEPARATOR.join(paths)))
            dialog.open()

        return button(text, f"{what} in a dialog.", ask)


def side_by_side(*widgets: QWidget, equal: bool = False) -> QWidget:
    """Return widgets side by side, of which the first or all take the room that is left."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for i, widget in enumerate(widgets):
        layout.addWidget(widget, int(equal or not i))
    return row


def choice(name: str, choices: dict[Any, str] | Callable[[Any], list[tuple[str, Any]]], value: Any = None) -> ComboBox:
    """Return a list of texts, whose value is the key of the chosen one.

    Parameters
    ----------
    choices : dict or callable
        Texts by key, or what returns pairs of both when the list is filled: on `reset_choices`.
    """
    known = [(text, key) for key, text in choices.items()] if isinstance(choices, dict) else choices
    box = ComboBox(name=name, choices=known, nullable=not isinstance(choices, dict))
    if isinstance(choices, dict) and value in choices:
        box.value = value
    # Long texts are shortened; they must not widen the panel.
    box.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.native.setMinimumContentsLength(6)
    return box


def refill(box: ComboBox, wanted: Sequence[Any]) -> None:
    """List choices anew, and choose the first of those that are wanted; `changed` isn't emitted."""
    with box.changed.blocked():
        box.native.clear()  # else what is listed already comes first
        box.reset_choices()
        box.value = next((value for value in wanted if value is not None and value in box.choices), None)


def button(text: str, tooltip: str, clicked: Callable[[], Any]) -> PushButton:
    """Return a button."""
    made = PushButton(text=text, tooltip=tooltip)
    made.native.setAccessibleName(text)
    made.changed.connect(lambda *_: clicked())
    return made


def small_label() -> QLabel:
    """Return an empty label for explanations."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)  # texts may come from files
    label.setStyleSheet("font-size: 10px;")
    return label
