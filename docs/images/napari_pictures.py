"""Make the pictures of docs/napari.md in a real window, under xvfb-run if need be; arguments are names of pictures."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A napari as after its installation, whatever the user has set.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import dask.array as da
import napari
import numpy as np
from napari.settings import get_settings
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_esc.sample import fluorescence_stack
from napari_esc.widget import EscWidget

HERE = Path(__file__).parent
#: Colours of a picture: enough for what is shown, and small.
COLORS = 200


class Stage:
    """A viewer with the sample and the panel."""

    def __init__(self, width: int = 1024, height: int = 700, theme: str = "dark") -> None:
        get_settings().appearance.theme = theme
        self.viewer = napari.Viewer(show_welcome_screen=False)
        self.viewer.window.resize(width, height)
        for data, properties, _ in fluorescence_stack():
            self.viewer.add_image(data, **properties)
        self.panel = EscWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.panel, name="Upscale with ESC...")
        self.panel.note.hide()
        self.select("nuclei")
        self.wait(2)
        self.viewer.reset_view()

    def select(self, *names: str) -> None:
        """Select layers."""
        self.viewer.layers.selection = {self.viewer.layers[name] for name in names}

    def wait(self, seconds: float = 600.0, until: Callable[[], Any] = lambda: False) -> None:
        """Let the window live for a time, or until something is so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            QApplication.processEvents()
            time.sleep(0.01)

    def finish(self) -> None:
        """Wait for what runs, and for the estimate that follows."""
        self.wait(until=lambda: not self.panel.jobs)
        self.wait(2)

    def save(self, name: str) -> None:
        """Save a picture of the window, and close it."""
        self.wait(1.5)
        path = HERE / f"{name}.png"
        self.viewer.window.screenshot(str(path), canvas_only=False, flash=False)
        self.viewer.close()
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)


def widget() -> None:
    """The panel, with a preview of what is in view."""
    stage = Stage()
    stage.viewer.scene.camera.zoom *= 1.6
    stage.wait(1)
    stage.panel.preview()
    stage.finish()
    stage.save("napari-widget")


def channels() -> None:
    """Both channels upscaled in one go, in the light theme."""
    stage = Stage(theme="light")
    stage.select("nuclei", "filaments")
    stage.panel.form.region.value = "plane"
    stage.panel.form.purpose.value = "fluorescence"
    stage.panel.run()
    stage.finish()
    stage.save("napari-channels")


def swipe() -> None:
    """A result beside its source."""
    stage = Stage()
    stage.select("filaments")
    stage.viewer.layers["nuclei"].visible = False
    stage.panel.form.region.value = "plane"
    stage.panel.run()
    stage.finish()
    stage.viewer.scene.camera.zoom *= 3
    stage.wait(1)
    stage.panel.compare_bar.slider.setValue(500)
    stage.save("napari-swipe")


def progress() -> None:
    """A run, and another one that waits; all settings."""
    stage = Stage(height=900)
    stage.panel.form.region.value = "whole"
    stage.panel.form.more.value = True
    stage.panel.run()
    stage.select("filaments")
    stage.panel.run()
    stage.wait(until=lambda: stage.panel.run_bar.bar.value() > stage.panel.run_bar.bar.maximum() / 4)
    stage.save("napari-progress")


def lazy() -> None:
    """A gigapixel that is upscaled while one looks at it."""
    stage = Stage()
    get_settings().experimental.async_ = True
    plane = stage.viewer.layers["filaments"].data[6]
    plane = np.pad(plane, ((0, len(plane)), (0, len(plane))), "symmetric")  # so that tiles of it go on into each other
    stage.viewer.layers.clear()
    levels = [da.tile(plane[:: 2**i, :: 2**i], (50, 50)).rechunk(2048) for i in range(6)]
    stage.viewer.add_image(levels, multiscale=True, name="slide", colormap="bop orange", contrast_limits=(80, 900))
    stage.wait(1)
    stage.panel.show_lazily()
    stage.finish()
    stage.viewer.scene.camera.center = (15_870, 15_900)
    stage.viewer.scene.camera.zoom = 3
    stage.wait(20)
    stage.save("napari-lazy")


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["widget", "channels", "swipe", "progress", "lazy"]
    for make in (globals()[name] for name in wanted):
        make()
        print(make.__name__, flush=True)
