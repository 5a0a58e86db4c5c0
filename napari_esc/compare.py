"""A result beside its source: one key shows the source instead, and a curtain over the canvas shows both at once.

Napari can't cut images off in 2-D; clipping planes act in 3-D only. So the canvas is drawn once with the source instead of
the result, and that picture covers it as far as the curtain. It costs the pixels of a canvas, whatever the layers are:
large, lazy, turned, or added up with others. Moving the curtain draws no layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QTimer
from qtpy.QtGui import QImage

from .curtain import Curtain, canvas_of, image_of

if TYPE_CHECKING:
    from napari.layers import Image

#: Shows the source and goes back. Neither napari nor any of its layers use it.
KEY = "W"
#: Blendings of a result below which the source may stay: it is what is seen around a region.
COVERING = ("opaque", "translucent", "translucent_no_depth")
#: Events of layers after which the canvas looks different.
LOOKS = {"inserted", "reordered", "data", "visible", "opacity", "blending", "colormap", "contrast_limits", "gamma", "affine"}
LOOKS |= {"scale", "translate", "rotate", "shear", "units", "interpolation2d", "interpolation3d", "rendering", "removed"}
#: Milliseconds without a change after which the picture is drawn anew.
PAUSE = 80


class Comparison:
    """Shows sources left of a position and their results right of it. Afterwards all are as they were.

    It is no Qt object, because napari compares the callbacks of its events, and a deleted Qt object can't be compared.

    Parameters
    ----------
    viewer : napari.Viewer
        With a window.
    pairs : sequence of (source, result)
        Image layers of the viewer. When one is removed, the comparison is closed.
    moved : callable
        Called without arguments when `position` or `is_open` has changed.
    """

    def __init__(self, viewer: Any, pairs: Sequence[tuple[Image, Image]], moved: Callable[[], None]) -> None:
        self.viewer, self.pairs, self._moved = viewer, pairs, moved
        self.position, self.is_open = 0.0, True
        self._before = 0.0  # the position to go back to from the source alone
        self._kept: dict[Any, bool] = {}  # what the user has set visible, while it may be something else
        self._is_ours = False  # what changes is our own doing
        viewer.layers.events.removed.connect(self._removed)
        self._other_key = viewer.bind_key(KEY, lambda _: self.toggle(), overwrite=True)

    def close(self) -> None:
        """Leave all as it was."""
        if self.is_open:
            self.is_open = False
            self.viewer.layers.events.removed.disconnect(self._removed)
            self.viewer.bind_key(KEY, self._other_key, overwrite=True)
            self.show(0)
            self._moved()

    def toggle(self) -> None:
        """Show the source alone, or go back."""
        self.show(self._before if self.position == 1 else 1)

    def show(self, position: float) -> None:
        """Move the curtain to a part of the canvas' width: 0 is what the user has set, 1 the source alone."""
        if position == self.position:
            return
        if not self.position:
            self._begin()
        self.position, self._before = position, position if position < 1 else self.position
        if position:
            self._set_visible(source=position == 1)
            self._draw()
        else:
            self._end()
        self._moved()

    def _begin(self) -> None:
        self._kept = {layer: layer.visible for pair in self.pairs for layer in pair}
        self._curtain = Curtain(canvas_of(self.viewer), self.show)
        self._timer = QTimer(self._curtain, singleShot=True, interval=PAUSE)
        self._timer.timeout.connect(self._take_picture)
        self._listen("connect")
        self._other_escape = self.viewer.bind_key("Escape", lambda _: self.show(0), overwrite=True)

    def _end(self) -> None:
        self.viewer.bind_key("Escape", self._other_escape, overwrite=True)
        self._listen("disconnect")
        with self._ours():
            for layer, visible in self._kept.items():
                _set(layer, visible)
        if isalive(self._curtain):
            self._curtain.hide()
            self._curtain.deleteLater()

    def _listen(self, how: str) -> None:
        viewer = self.viewer
        for events in (viewer.dims.events, viewer.scene.camera.events, viewer.canvas.events.size):
            getattr(events, how)(self._changed)
        getattr(viewer.layers.events, how)(self._layers_changed)
        for layer in self._kept:
            getattr(layer.events.visible, how)(self._chosen)

    def _removed(self, event: Any) -> None:
        if any(event.value in pair for pair in self.pairs):
            self.close()

    def _chosen(self, event: Any) -> None:
        """Give way to a user who shows or hides one of both."""
        if not self._is_ours:
            self._kept[event.source] = event.source.visible
            self.show(0)

    def _layers_changed(self, event: Any) -> None:
        if event.type in LOOKS:
            self._changed()

    def _changed(self, event: Any = None) -> None:
        """Drop the picture: it shows what was."""
        if self.position and not self._is_ours:
            self._curtain.picture = QImage()
            self._draw()

    def _draw(self) -> None:
        self._curtain.place(self.position % 1)
        if self._curtain.picture.isNull() and self.position < 1:
            self._timer.start()

    def _take_picture(self) -> None:
        """Draw the canvas with the source. Layers that are being loaded are waited for in the event loop."""
        if self.position in (0, 1):
            return
        self._set_visible(source=True)
        pixels = self._pixels() if self._is_loaded() else None
        if pixels is None or not self._is_loaded():  # to draw may have asked for other pixels
            self._timer.start()
            return
        self._set_visible(source=False)
        self._curtain.picture = image_of(pixels, self._curtain.devicePixelRatioF())
        self._draw()

    def _pixels(self) -> Any:
        """Return the canvas as it is now, ``None`` while napari still slices."""
        with self._ours(), suppress(TimeoutError):
            return self.viewer.screenshot(canvas_only=True, flash=False)

    def _is_loaded(self) -> bool:
        return all(layer.loaded for layer in self.viewer.layers if layer.visible)

    def _set_visible(self, source: bool) -> None:
        with self._ours():
            for before, after in self.pairs:
                _set(before, source or (self._kept[before] and after.blending in COVERING))
                _set(after, not source)

    @contextmanager
    def _ours(self) -> Iterator[None]:
        self._is_ours = True
        try:
            yield
        finally:
            self._is_ours = False


def _set(layer: Image, visible: bool) -> None:
    if layer.visible != visible:  # what becomes visible is loaded
        layer.visible = visible
