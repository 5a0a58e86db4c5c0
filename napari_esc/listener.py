"""The viewer's events, for a panel that may be deleted at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Listener:
    """Hands the viewer's events on to a panel until the panel is deleted.

    The viewer compares its callbacks when it drops one, and a deleted Qt object can't even be compared: so it never sees the
    panel.
    """

    def __init__(self, layers: Callable[[], None], selection: Callable[[], None], view: Callable[[], None]) -> None:
        self._layers, self._selection, self._view = layers, selection, view
        self._open = True

    def listen_to(self, viewer: Any) -> None:
        """Connect; the viewer holds no strong reference."""
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self.layers)
        viewer.layers.selection.events.active.connect(self.selection)
        camera = getattr(viewer, "scene", viewer).camera.events
        for event in (viewer.dims.events.current_step, camera.zoom, camera.center):
            event.connect(self.view)

    def stop(self) -> None:
        """Hand nothing on any more."""
        self._open = False

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
