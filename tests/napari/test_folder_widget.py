"""The panel for a folder: what the command line makes of the same files, and nothing half made."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from esc_plugin.files import read_picture, read_provenance
from napari_esc.folder_widget import FolderWidget
from napari_esc.jobs import queue
from napari_esc.model_form import FILE
from napari_esc.widget import EscWidget

from .test_closing import assert_ends_well
from .test_panel import messages, viewer

__all__ = ["messages", "viewer"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a photo, a calibrated image of 16 bits, a damaged one, and a text."""
    made = tmp_path / "in"
    made.mkdir()
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (30, 40, 3), np.uint8)).save(made / "a.png")
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2, "Channel": {"Name": ["DAPI", "GFP"]}}
    cells = random.integers(100, 4000, (2, 30, 40), np.uint16)
    tifffile.imwrite(made / "cells.ome.tif", cells, metadata=metadata)
    (made / "damaged.png").write_bytes((made / "a.png").read_bytes()[:200])
    (made / "notes.txt").write_text("no image")
    return made


@pytest.fixture
def open_panel(viewer: Any, qtbot: Any, nearest: str, folder: Path) -> Callable[..., FolderWidget]:
    def opened(model: str = nearest) -> FolderWidget:
        panel = FolderWidget(viewer)
        viewer.window.add_dock_widget(panel)
        panel.form.model.value, panel.form.source.value = FILE, model
        panel.form.images.value = str(folder)
        return panel

    return opened


def click(panel: FolderWidget, name: str) -> None:
    panel.run_bar.buttons[name].native.click()


def wait_for(panel: FolderWidget, qtbot: Any, text: str) -> None:
    """Wait until the panel says something of what it has found."""
    qtbot.waitUntil(lambda: text in panel.run_bar.estimate.text(), timeout=20_000)


def run(panel: FolderWidget, qtbot: Any) -> str:
    """Run, and return what the panel says of it."""
    click(panel, "Run")
    assert panel.jobs
    qtbot.waitUntil(lambda: not panel.jobs, timeout=60_000)
    return str(panel.run_bar.result.text())


def names(folder: Path) -> list[str]:
    """Return all that is in a folder, hidden files too."""
    return sorted(path.name for path in folder.rglob("*"))


def command(*arguments: Any) -> subprocess.CompletedProcess[str]:
    code = "from esc_plugin.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, "upscale", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_results_are_those_of_the_command_line(
    viewer: Any, qtbot: Any, open_panel: Any, folder: Path, tmp_path: Path, nearest: str
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    panel = open_panel()
    panel.form.output.value, panel.form.factor.value = str(ours), 3
    panel.form.intensity.value, panel.form.consistency.value = "minmax", True
    wait_for(panel, qtbot, "3 images found, 3 to upscale.")
    told = run(panel, qtbot)
    assert told.startswith("Done: 2 upscaled, 0 skipped, 1 failed.<br>'")
    assert "damaged.png" in told
    options = ("-s", 3, "--intensity", "minmax", "--consistency", "--device", "cpu")
    done = command(folder, "-o", theirs, "-m", nearest, *options)
    assert "2 upscaled, 0 skipped, 1 failed" in done.stdout, done.stderr
    assert names(ours) == names(theirs) == ["a_x3.png", "cells_x3.ome.tif"]
    for name in names(ours):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    cells = read_picture(ours / "cells_x3.ome.tif")
    assert cells.ome is not None
    np.testing.assert_allclose(cells.ome.axes.scale[-2:], 0.2 / 3)
    assert [channel.name for channel in cells.ome.channels] == ["DAPI", "GFP"]
    assert not viewer.layers  # unless asked for
    click(panel, "Open last result")
    assert viewer.layers[0].data.shape == (2, 90, 120)


def test_what_is_there_is_skipped_refused_or_replaced(qtbot: Any, open_panel: Any, folder: Path, tmp_path: Path) -> None:
    panel, out = open_panel(), tmp_path / "out"
    out.mkdir()
    (out / "a_x2.png").write_bytes(b"precious")
    panel.form.output.value = str(out)
    wait_for(panel, qtbot, "2 to upscale.<br>Skipped, because their results are there: 1.")
    assert run(panel, qtbot).startswith("Done: 1 upscaled, 1 skipped, 1 failed.")
    panel.form.existing.value = "refuse"
    wait_for(panel, qtbot, "1 to upscale.<br>")
    assert "replace it with 'Existing: Replace them'." in panel.run_bar.estimate.text()
    assert (out / "a_x2.png").read_bytes() == b"precious"
    panel.form.existing.value = "replace"
    assert run(panel, qtbot).startswith("Done: 2 upscaled, 0 skipped, 1 failed.")
    assert read_provenance(out / "a_x2.png")["image"] == "a.png"
    # Beside the images, where results are no images of the next run.
    panel.form.output.value, panel.form.existing.value = "", "skip"
    assert run(panel, qtbot).startswith("Done: 2 upscaled")
    wait_for(panel, qtbot, "1 to upscale.<br>Skipped, because their results are there: 2.<br>Left out, because")


def test_what_can_not_be_is_said_before(qtbot: Any, open_panel: Any, folder: Path, tmp_path: Path) -> None:
    panel = open_panel()
    for images, told in (
        ("", "Choose a folder, or image files."),
        (str(tmp_path), "There are no images in the folder '"),
        (str(tmp_path / "<b>none"), "&lt;b&gt;none"),
    ):
        panel.form.images.value = images
        wait_for(panel, qtbot, told)
        assert not panel.run_bar.buttons["Run"].native.isEnabled()
    panel.form.images.value = f"{folder / 'a.png'}; {folder / 'cells.ome.tif'}"
    wait_for(panel, qtbot, "2 images found, 2 to upscale.")
    assert panel.run_bar.buttons["Run"].native.isEnabled()
    panel.form.output.value = str(folder / "notes.txt" / "out")
    wait_for(panel, qtbot, "0 to upscale.")
    assert "is no folder" in panel.run_bar.estimate.text()
    assert not panel.run_bar.buttons["Run"].native.isEnabled()


def test_files_that_can_not_be_enlarged_do_not_stop_the_others(qtbot: Any, open_panel: Any, folder: Path) -> None:
    """The consistency of a factor that isn't whole is unticked, and a store isn't filled here."""
    pytest.importorskip("zarr")
    from esc_plugin.files.ome_axes import Axes
    from esc_plugin.files.ome_image import save_image

    axes = Axes("yx", (1.0, 1.0), (0.0, 0.0), ("micrometer", "micrometer"))
    save_image(folder / "big.ome.zarr", np.zeros((20, 20), np.uint8), axes)
    panel = open_panel()
    panel.form.consistency.value, panel.form.factor.value = True, 1.5
    assert not panel.form.order().settings.consistency
    wait_for(panel, qtbot, "its result would be OME-Zarr")
    panel.form.format.value = ".tif"
    assert run(panel, qtbot).startswith("Done: 3 upscaled, 0 skipped, 1 failed.")
    assert {"a_x1.5.tif", "big_x1.5.ome.tif", "cells_x1.5.ome.tif"} < set(names(folder))


@pytest.mark.parametrize("way", ["button", "Esc", "napari"])
def test_cancel_leaves_whole_files_only(
    viewer: Any, qtbot: Any, open_panel: Any, folder: Path, tmp_path: Path, way: str
) -> None:
    """With a real network, in the middle of an image that takes long."""
    (folder / "damaged.png").unlink()
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (900, 900), np.uint8)).save(folder / "large.png")
    panel, out = open_panel(), tmp_path / "out"
    panel.form.model.value, panel.form.output.value = "esc-nano-x2", str(out)
    wait_for(panel, qtbot, "3 to upscale.")
    assert not panel.escape.isEnabled()
    click(panel, "Run")
    assert panel.escape.isEnabled()
    qtbot.waitUntil(lambda: panel.run_bar.bar.value() > 7000, timeout=120_000)
    assert panel.run_bar.estimate.text() == "Image 3 of 3: large.png"
    assert panel.jobs[0]._activity.desc == "ESC 3 of 3: large.png: "
    if way == "Esc":
        panel.escape.activated.emit()
    elif way == "napari":
        panel.jobs[0]._activity.cancel()
    else:
        click(panel, "Cancel")
    qtbot.waitUntil(lambda: not panel.jobs, timeout=30_000)
    assert panel.run_bar.result.text() == "Cancelled: 2 upscaled, 0 skipped, 0 failed."
    assert names(out) == ["a_x2.png", "cells_x2.ome.tif"]
    for name in names(out):
        assert read_picture(out / name).size == (60, 80)
    wait_for(panel, qtbot, "3 images found, 1 to upscale.")  # and so can be gone on with


def test_the_same_is_not_begun_twice_and_others_wait(
    qtbot: Any, open_panel: Any, folder: Path, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from esc_plugin.session.folder import FolderWork

    def slow(work: FolderWork, progress: Any, cancel: Any) -> FolderWork:
        while not cancel():
            time.sleep(0.01)
        return work

    monkeypatch.setattr(FolderWork, "run", slow)
    panel = open_panel()
    wait_for(panel, qtbot, "3 to upscale")
    click(panel, "Run")
    click(panel, "Run")
    assert messages == ["This is being made already, with the same settings."]
    panel.form.factor.value = 3
    click(panel, "Run")
    assert len(panel.jobs) == 2
    assert panel.run_bar.waiting.text() == f"Waits: ESC {folder}"
    for _ in range(2):
        click(panel, "Cancel")
        qtbot.wait(300)
    assert not queue.jobs


def test_it_starts_with_the_settings_of_the_panel_for_layers(viewer: Any, open_panel: Any, nearest: str) -> None:
    layers = EscWidget(viewer)
    viewer.window.add_dock_widget(layers)
    form = layers.form
    form.model.value, form.source.value, form.factor.value, form.intensity.value = FILE, nearest, 5, "percentile"
    form.consistency.value = True
    panel = FolderWidget(viewer)
    viewer.window.add_dock_widget(panel)
    panel.form.images.value = "somewhere"
    settings = panel.form.order().settings
    assert (settings.model, settings.factor, settings.intensity) == (nearest, (5, 5), "percentile")
    assert settings.consistency
    form.intensity.value = "limits"  # a layer's; files have none
    panel.form.take_over(form)
    assert panel.form.order().settings.intensity == "percentile"


def test_every_control_says_what_it_is_for(open_panel: Any) -> None:
    from magicgui.widgets.bases import ValueWidget

    controls = [control for control in vars(open_panel().form).values() if isinstance(control, ValueWidget)]
    assert len(controls) > 9
    for control in controls:
        assert control.tooltip, control.name
        assert control.native.accessibleName(), control.name


CLOSING = """
import sys, threading, time
from pathlib import Path
import napari, numpy as np
from PIL import Image
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from napari_esc.folder_widget import FolderWidget

folder = Path(FOLDER)
for i in range(3):
    Image.fromarray(np.zeros((64 if i == 0 else 900, 900), np.uint8)).save(folder / f"{i}.png")
viewer = napari.Viewer()
panel = FolderWidget(viewer)
dock = viewer.window.add_dock_widget(panel)
panel.form.model.value, panel.form.images.value, panel.form.output.value = "esc-nano-x2", str(folder), str(folder / "out")
panel.run()
for _ in range(6000):
    QTest.qWait(10)
    if panel.run_bar.bar.value() > 4000:
        break
print([path.name for path in (folder / "out").iterdir() if not path.name.startswith(".")], flush=True)
CLOSE
napari.qt.threading.GeneratorWorker.await_workers(20_000)
QTest.qWait(100)
print(sorted(path.name for path in (folder / "out").iterdir()), flush=True)
print([type(it).__name__ for it in QApplication.allWidgets() if isinstance(it, FolderWidget)], flush=True)
viewer.close() if "viewer.close()" not in CODE else None
"""


@pytest.mark.parametrize(
    "close", ["viewer.window.remove_dock_widget(dock)", "dock.title.close_button.click()", "viewer.close()"]
)
def test_closing_while_it_runs_leaves_whole_files_only(close: str, qapp: Any, tmp_path: Path) -> None:
    code = CLOSING.replace("FOLDER", repr(str(tmp_path))).replace("CODE", repr(close)).replace("CLOSE", close)
    assert_ends_well(code, ["['0_x2.png']", "['0_x2.png']", "[]"])


def test_a_home_of_nobody_is_no_crash(make_napari_viewer_proxy: Any, qtbot: Any) -> None:
    """Path raises a RuntimeError there, which would come from a timer."""
    panel = FolderWidget(make_napari_viewer_proxy())
    qtbot.addWidget(panel)
    panel.form.images.value = "~nobody-of-this-name/a"
    panel.preflight.begin()
    qtbot.waitUntil(lambda: "nobody-of-this-name" in panel.run_bar.estimate.text(), timeout=20_000)
    assert not panel.run_bar.buttons["Run"].enabled
