"""A picture that covers the left part of the canvas, with an edge to drag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QApplication, QWidget

#: Pixels beside the edge where it can be taken hold of.
GRIP = 6


class Curtain(QWidget):
    """Covers the left part of a canvas with a picture. All but its edge lets the mouse through.

    Parameters
    ----------
    canvas : QWidget
        What to cover.
    dragged : callable
        Gets the new position, as a part of the width, when the edge is dragged.
    """

    def __init__(self, canvas: QWidget, dragged: Callable[[float], None]) -> None:
        super().__init__(canvas)
        self._canvas, self._dragged, self._held, self.picture = canvas, dragged, False, QImage()
        self.setMouseTracking(True)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.lower()  # below napari's own messages

    def place(self, position: float) -> None:
        """Cover a part of the width, if there is a picture."""
        self.setGeometry(0, 0, round(position * self._canvas.width()), self._canvas.height())
        self.setVisible(not self.picture.isNull())

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Draw the picture, and a line that can be seen on dark and on bright images."""
        painter = QPainter(self)
        painter.drawImage(0, 0, self.picture)
        for left, width, color in ((3, 3, "black"), (2, 1, "white")):
            painter.fillRect(self.width() - left, 0, width, self.height(), QColor(color))

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802
        """Take hold of the edge."""
        self._held = self._is_edge(event)
        event.setAccepted(self._held)

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802
        """Follow the mouse, but stay where the edge can be taken hold of again."""
        if self._held or self._is_edge(event):
            self.setCursor(Qt.CursorShape.SplitHCursor)
        else:
            self.unsetCursor()
        if self._held:
            width = self._canvas.width()
            self._dragged(min(max(event.pos().x(), 2 * GRIP), width - GRIP) / width)
        event.setAccepted(self._held)

    def mouseReleaseEvent(self, event: Any) -> None:  # noqa: N802
        """Let go."""
        event.setAccepted(self._held)
        self._held = False

    def _is_edge(self, event: Any) -> bool:
        return bool(event.pos().x() >= self.width() - GRIP)


def canvas_of(viewer: Any) -> QWidget:
    """Return the widget that a viewer is drawn on."""
    from napari.qt import QtViewer

    model = getattr(viewer, "__wrapped__", viewer)  # plugins get a proxy
    return next(w.canvas.native for w in QApplication.allWidgets() if isinstance(w, QtViewer) and w.viewer is model)


def image_of(pixels: Any, ratio: float) -> QImage:
    """Return a screenshot as Qt draws it.

    Parameters
    ----------
    pixels : numpy.ndarray
        (Y, X, RGBA), uint8.
    ratio : float
        Pixels of the screen per unit of Qt.
    """
    height, width, _ = pixels.shape
    image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()
    image.setDevicePixelRatio(ratio)
    return image
