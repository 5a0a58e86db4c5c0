"""The viewer's events, for a panel that may be deleted at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject


class Listener:
    """Hands the viewer's events on to a panel as long as there is one.

    The viewer compares its callbacks when it drops one, and a deleted Qt object can't even be compared: so it never sees the
    panel.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose events; it holds no strong reference.
    panel : QObject
        Once it is deleted, as by closing the window, nothing is handed on.
    layers, selection, view : callable
        For layers that were added, removed or moved, another active layer, and another part in view.
    """

    def __init__(
        self,
        viewer: Any,
        panel: QObject,
        layers: Callable[[], None],
        selection: Callable[[], None],
        view: Callable[[], None],
    ) -> None:
        self._panel: QObject | None = panel
        self._layers, self._selection, self._view = layers, selection, view
        events = viewer.layers.events
        camera = getattr(viewer, "scene", viewer).camera.events
        self._connected = [(event, self.layers) for event in (events.inserted, events.removed, events.reordered)]
        self._connected += [(viewer.layers.selection.events.active, self.selection)]
        self._connected += [(event, self.view) for event in (viewer.dims.events.current_step, camera.zoom, camera.center)]
        for event, callback in self._connected:
            event.connect(callback)

    def stop(self) -> None:
        """Hand nothing on any more."""
        for event, callback in self._connected:
            event.disconnect(callback)
        self._connected.clear()
        self._panel = None

    @property
    def _open(self) -> bool:
        return self._panel is not None and isalive(self._panel)

    def layers(self, event: Any = None) -> None:
        """Layers were added, removed or moved."""
        if self._open:
            self._layers()

    def selection(self, event: Any = None) -> None:
        """Another layer is active."""
        if self._open:
            self._selection()

    def view(self, event: Any = None) -> None:
        """Something else is in view."""
        if self._open:
            self._view()
