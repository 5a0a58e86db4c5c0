"""The panel in a viewer: it does what it says, stays out of the way, and leaves nothing behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qtpy.compat import isalive
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtGui import QTextDocument
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QPushButton, QScrollArea, QVBoxLayout, QWidget

from esc_plugin import Cancelled, EscError
from napari_esc.form import SCALES
from napari_esc.geometry import whole_region
from napari_esc.jobs import queue
from napari_esc.model_form import FILE
from napari_esc.order import Order
from napari_esc.widget import EscWidget

from .layers_to_try import kinds, pixels
from .test_geometry import outer_corners


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any]) -> Any:
    """A viewer as plugins get it."""
    return make_napari_viewer_proxy()


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user is told."""
    from napari.utils.notifications import notification_manager

    told: list[str] = []
    monkeypatch.setattr(notification_manager, "dispatch", lambda note: told.append(note.message))
    return told


@pytest.fixture
def open_panel(viewer: Any, qtbot: Any, nearest: str) -> Callable[..., EscWidget]:
    def opened(model: str = nearest) -> EscWidget:
        panel = EscWidget(viewer)
        viewer.window.add_dock_widget(panel)
        panel.form.model.value, panel.form.source.value, panel.form.region.value = FILE, model, "whole"
        return panel

    return opened


def finish(panel: EscWidget, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not panel.jobs, timeout=30_000)


def run(panel: EscWidget, qtbot: Any) -> None:
    click(panel, "Run")
    assert panel.jobs
    finish(panel, qtbot)


def click(panel: EscWidget, name: str) -> None:
    panel.run_bar.buttons[name].native.click()


class Slow:
    """Stands for a model that takes as long as the test wants, and says when it began and ended."""

    def __init__(self) -> None:
        self.began, self.ended = threading.Event(), threading.Event()

    def __call__(self, progress: Any, cancel: Any) -> None:
        self.began.set()
        try:
            for step in range(3000):
                if cancel():
                    raise Cancelled("cancelled.")
                progress(step, 3000)
                time.sleep(0.01)
        finally:
            self.ended.set()


def test_run_adds_a_layer_and_keeps_the_source(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    data = pixels(2, 20, 24)
    source = viewer.add_image(data.copy(), name="cells", scale=(2, 0.5, 0.5))
    panel = open_panel()
    run(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells [x2]"]
    np.testing.assert_array_equal(source.data, data)
    np.testing.assert_array_equal(viewer.layers[1].data, data.repeat(2, 1).repeat(2, 2))
    assert panel.run_bar.result.text().startswith("Done: 2 x 40 x 48")
    # A second run starts from the source again, not from the result.
    run(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells [x2]", "cells [x2] [1]"]


def test_the_current_plane_is_where_the_sliders_stand(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    source = viewer.add_image(pixels(4, 5, 12, 12), scale=(3, 2, 1, 1), translate=(10, 0, 0, 0))
    panel = open_panel()
    panel.form.region.value = "plane"
    viewer.dims.set_current_step(0, 3)
    viewer.dims.set_current_step(1, 1)
    run(panel, qtbot)
    result = viewer.layers[-1]
    np.testing.assert_array_equal(result.data, source.data[3:4, 1:2].repeat(2, 2).repeat(2, 3))
    region = (slice(3, 4), slice(1, 2), slice(0, 12), slice(0, 12))
    np.testing.assert_allclose(outer_corners(result, whole_region(result)), outer_corners(source, region), atol=1e-9)


def test_the_pixel_size_can_be_the_target(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(20, 20), scale=(0.4, 0.2), units=("um", "um"))
    panel = open_panel()
    panel.form.scale.value = "size"
    assert panel.form.pixel_size.native.suffix() == " micrometer"
    panel.form.pixel_size.value = 0.1
    run(panel, qtbot)
    np.testing.assert_allclose(viewer.layers[-1].scale, (0.1, 0.1))
    assert viewer.layers[-1].data.shape == (80, 40)


def test_the_estimate_comes_before_the_run(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(3, 30, 40))
    panel = open_panel()
    qtbot.waitUntil(lambda: "About" in panel.run_bar.estimate.text(), timeout=30_000)
    text = panel.run_bar.estimate.text()
    assert text.startswith("Result: 3 x 60 x 80, 28.1 KB")
    assert "on CPU, " in text or "GPU" in text or "NVIDIA" in text
    panel.form.factor.value = 4
    qtbot.waitUntil(lambda: "3 x 120 x 160" in panel.run_bar.estimate.text(), timeout=10_000)


def test_a_result_larger_than_memory_needs_a_file(
    viewer: Any, qtbot: Any, open_panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask.array as da

    viewer.add_image(da.zeros((40_000, 2000, 2000), chunks=(100, 200, 200), dtype="u2"), contrast_limits=(0, 1))
    panel = open_panel()
    qtbot.waitUntil(lambda: "too large for memory" in panel.run_bar.estimate.text(), timeout=10_000)
    assert not panel.run_bar.buttons["Run"].native.isEnabled()
    disk = SimpleNamespace(free=10**9)
    monkeypatch.setattr("esc_plugin.files.room.shutil.disk_usage", lambda folder: disk)
    panel.form.store.value = str(tmp_path / "a.ome.zarr")
    panel.form.changed.emit()
    qtbot.waitUntil(lambda: "has 0.931 GB left" in panel.run_bar.estimate.text(), timeout=10_000)
    assert not panel.run_bar.buttons["Run"].native.isEnabled()
    disk.free = 10**13
    panel.form.changed.emit()
    qtbot.waitUntil(lambda: "Large." in panel.run_bar.estimate.text(), timeout=10_000)
    assert panel.run_bar.buttons["Run"].native.isEnabled()


def test_a_result_can_go_to_a_file(viewer: Any, qtbot: Any, open_panel: Any, tmp_path: Path) -> None:
    source = viewer.add_image(pixels(2, 20, 24))
    panel = open_panel()
    panel.form.store.value = str(tmp_path / "a.ome.zarr")
    run(panel, qtbot)
    np.testing.assert_array_equal(np.asarray(viewer.layers[-1].data), source.data.repeat(2, 1).repeat(2, 2))
    assert (tmp_path / "a.ome.zarr" / "0").is_dir()


def test_the_difference_is_a_layer_and_two_numbers(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(20, 20), name="cells")
    panel = open_panel()
    panel.form.difference.value = True
    run(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells [x2]", "cells [x2] difference"]
    assert not viewer.layers[-1].data.any()
    assert "bias +0, RMS 0" in panel.run_bar.result.text()


def test_a_preview_is_replaced_and_then_gives_way(make_napari_viewer: Any, qtbot: Any, open_panel: Any) -> None:
    viewer = make_napari_viewer(show=True)
    source = viewer.add_image(pixels(64, 64), name="cells")
    panel = EscWidget(viewer)
    viewer.window.add_dock_widget(panel)
    panel.form.model.value = "esc-nano-x2"
    panel.form.region.value = "whole"
    qtbot.wait(100)
    for _ in range(2):
        click(panel, "Preview")
        finish(panel, qtbot)
        assert [layer.name for layer in viewer.layers] == ["cells", "cells preview"]
        assert panel.form.chosen == [source]
        assert viewer.layers.selection.active is source
    # The estimate follows the view.
    panel.form.region.value = "visible"
    viewer.reset_view()  # the panel has taken some of the canvas
    qtbot.waitUntil(lambda: "Result: 128 x 128" in panel.run_bar.estimate.text(), timeout=20_000)
    viewer.scene.camera.zoom *= 8
    qtbot.waitUntil(lambda: "Result: 128 x 128" not in panel.run_bar.estimate.text(), timeout=20_000)
    panel.form.region.value = "whole"
    run(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells [x2]"]


def test_cancel_stops_soon_and_leaves_nothing(
    viewer: Any, qtbot: Any, open_panel: Any, tmp_path: Path, messages: list[str]
) -> None:
    """With a real network at work on a real image, and a file half written."""
    viewer.add_image(pixels(3, 900, 900), name="cells")
    panel = open_panel()
    panel.form.model.value = "esc-nano-x2"
    panel.form.store.value = str(tmp_path / "a.ome.zarr")
    click(panel, "Run")
    qtbot.waitUntil(lambda: panel.run_bar.bar.value() > 0, timeout=60_000)
    threads = QThreadPool.globalInstance()
    start = time.perf_counter()
    click(panel, "Cancel")
    finish(panel, qtbot)
    assert threads.waitForDone(2000)
    assert time.perf_counter() - start < 2
    assert [layer.name for layer in viewer.layers] == ["cells"]
    assert not list(tmp_path.iterdir())
    assert panel.run_bar.result.text() == "Cancelled; nothing was added."
    assert panel.run_bar.buttons["Run"].native.isVisibleTo(panel)
    assert not messages


def test_the_window_answers_while_a_network_runs(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(600, 600))
    panel = open_panel()
    panel.form.model.value = "esc-nano-x2"
    click(panel, "Run")
    qtbot.waitUntil(lambda: panel.run_bar.bar.value() > 0, timeout=60_000)
    late = []
    for _ in range(20):
        start = time.perf_counter()
        qtbot.wait(20)
        late.append(time.perf_counter() - start - 0.02)
    click(panel, "Cancel")
    finish(panel, qtbot)
    assert np.median(late) < 0.2


def test_napari_s_list_of_activities_cancels_too(viewer: Any, qtbot: Any, open_panel: Any, monkeypatch: Any) -> None:
    slow = Slow()
    monkeypatch.setattr(Order, "run", slow)
    viewer.add_image(pixels(20, 20), name="cells")
    panel = open_panel()
    click(panel, "Run")
    qtbot.waitUntil(lambda: panel.run_bar.bar.value() > 0, timeout=10_000)
    activity = panel.jobs[0]._activity
    assert activity.total == 3000
    activity.cancel()
    finish(panel, qtbot)
    assert slow.ended.is_set()
    assert len(viewer.layers) == 1


def test_the_end_may_come_while_progress_is_shown(viewer: Any, qtbot: Any, open_panel: Any, monkeypatch: Any) -> None:
    """Napari's progress lets Qt work on its events, so the work may end inside of our look at it."""
    viewer.add_image(pixels(20, 20))
    panel = open_panel()

    def soon(order: Order, progress: Any, cancel: Any) -> Any:
        progress(1, 2)
        time.sleep(0.15)
        raise EscError("over.")

    monkeypatch.setattr(Order, "run", soon)
    click(panel, "Run")
    time.sleep(0.4)  # the end is queued behind the progress
    finish(panel, qtbot)
    assert not panel.run_bar.bar.isVisibleTo(panel)
    assert not queue.jobs


def test_a_source_whose_light_would_add_up_is_hidden(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(20, 20), name="plain")
    viewer.add_image(pixels(20, 20), name="light", blending="additive")
    panel = open_panel()
    run(panel, qtbot)
    assert not viewer.layers["light"].visible
    assert viewer.layers["light [x2]"].visible
    assert "Hidden, because one would see both: light." in panel.run_bar.result.text()
    viewer.layers.selection.active = viewer.layers["plain"]
    run(panel, qtbot)
    assert viewer.layers["plain"].visible


def test_no_control_is_cut_off(open_panel: Any) -> None:
    """The scroll bar, which comes with more settings, takes room as well."""
    panel = open_panel()
    panel.form.more.value = True
    area = panel.findChild(QScrollArea)
    others = area.verticalScrollBar().sizeHint().width() + 2 * panel.layout().contentsMargins().left()
    for kind in SCALES:
        panel.form.scale.value = kind
        assert panel.form.minimumSizeHint().width() + others <= panel.sizeHint().width(), kind


def test_names_are_shown_as_they_are(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    """The panel's texts are HTML, and a name may hold what HTML means."""
    viewer.add_image(pixels(20, 20), name="<i>it's</i> & more", blending="additive")
    panel = open_panel()
    run(panel, qtbot)
    shown = QTextDocument()
    shown.setHtml(panel.run_bar.result.text())
    assert "one would see both: <i>it's</i> & more." in shown.toPlainText()
    assert panel.run_bar.result.textFormat() == panel.run_bar.estimate.textFormat() == Qt.TextFormat.RichText


def test_a_result_lies_above_its_source_and_covers_no_other_channel(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    """Of several channels that napari opens, the lowest is opaque and the others are added to it."""
    source, _ = viewer.add_image(pixels(12, 2, 12), channel_axis=1, name=["DAPI", "GFP"])
    viewer.add_labels(np.zeros((12, 12), int), name="cells")
    panel = open_panel()
    panel.form.image.value = source
    run(panel, qtbot)
    run(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["DAPI", "DAPI [x2]", "DAPI [x2] [1]", "GFP", "cells"]


def test_what_became_of_the_job_before_isn_t_said_of_the_next(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(12, 12))
    panel = open_panel()
    run(panel, qtbot)
    assert panel.run_bar.result.text()
    click(panel, "Run")
    assert not panel.run_bar.result.text()
    finish(panel, qtbot)


def test_a_name_that_can_t_be_is_one_line(viewer: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(9, 9))
    panel = open_panel()
    panel.form.store.value = "a\0b"
    with pytest.raises(EscError, match="can't write"):
        panel.order()


def test_earlier_results_whose_light_would_add_up_are_hidden(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    """Of the same part: what lies beside the new result stays."""
    viewer.add_image(pixels(3, 16, 16), name="light", blending="additive")
    panel = open_panel()
    panel.form.region.value = "plane"
    for step in (0, 0, 2):
        viewer.dims.set_current_step(0, step)
        run(panel, qtbot)
    assert [layer.visible for layer in viewer.layers] == [False, False, True, True]
    panel.form.region.value = "whole"
    run(panel, qtbot)
    assert [layer.visible for layer in viewer.layers] == [False, False, False, False, True]
    assert "one would see both: light [x2] [1], light [x2] [2]." in panel.run_bar.result.text()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (EscError("the image needs 9 GiB."), "The image needs 9 GiB."),
        (MemoryError(), "There isn't enough memory. Choose a smaller region, or a file for the result."),
        (ValueError("surprise"), "surprise"),
    ],
)
def test_an_error_is_one_message(
    error: Exception,
    told: str,
    viewer: Any,
    qtbot: Any,
    open_panel: Any,
    messages: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(pixels(20, 20), name="cells")
    panel = open_panel()

    def failing(order: Order, progress: Any, cancel: Any) -> None:
        raise error

    monkeypatch.setattr(Order, "run", failing)
    run(panel, qtbot)
    qtbot.wait(50)
    assert len(messages) == 1
    assert told in messages[0]
    assert [layer.name for layer in viewer.layers] == ["cells"]
    assert panel.run_bar.buttons["Run"].native.isVisibleTo(panel)


def test_what_is_missing_is_said(viewer: Any, qtbot: Any, open_panel: Any, tmp_path: Path) -> None:
    panel = open_panel(model="")
    panel.preflight.begin()
    assert panel.run_bar.estimate.text() == "Open an image to upscale."
    assert not panel.run_bar.buttons["Run"].native.isEnabled()
    viewer.add_image(pixels(20, 20))
    panel.preflight.begin()
    assert "Name a model" in panel.run_bar.estimate.text()
    panel.form.source.value = str(tmp_path / "none.pth")
    panel.preflight.begin()
    qtbot.waitUntil(lambda: "none.pth" in panel.run_bar.estimate.text(), timeout=20_000)
    assert not panel.run_bar.buttons["Run"].native.isEnabled()


def test_a_file_tells_its_factor(viewer: Any, qtbot: Any, open_panel: Any, tmp_path: Path) -> None:
    from .conftest import make_nearest

    viewer.add_image(pixels(20, 20))
    panel = open_panel(make_nearest(tmp_path / "three.safetensors", scale=3))
    qtbot.waitUntil(lambda: panel.form.factor.value == 3, timeout=20_000)
    assert "nothing says what it is for" in panel.form.card.text()


def test_models_are_listed_by_purpose(viewer: Any, open_panel: Any) -> None:
    from esc_plugin.catalog.by_purpose import models_for, none_text
    from esc_plugin.catalog.cards import card_lines

    panel = open_panel()
    panel.form.purpose.value = "clean photo"
    listed = [name for name in panel.form.model.choices if name]
    assert listed[:-2] == [entry.name for entry in models_for("clean photo")]
    assert listed[0].startswith("esc-nano")  # what needs no download
    assert not panel.form.none.isVisibleTo(panel)
    panel.form.model.value = "esc-nano-x4"
    assert panel.form.factors == (4, 4)
    assert panel.form.card.text().splitlines() == list(card_lines(panel.form.entry))
    panel.form.purpose.value = "electron microscopy"
    assert panel.form.none.text() == none_text("electron microscopy") != ""
    assert panel.form.none.isVisibleTo(panel)
    assert panel.form.model.value == "esc-nano-x4"  # what is here can be tried


def test_local_averages_need_a_whole_factor(viewer: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(20, 20), scale=(0.3, 0.3))
    panel = open_panel()
    check = panel.form.consistency
    check.value = True
    panel.form.factor.value = 2.5
    assert not check.enabled
    assert check.text == "Averages not kept: factor isn't whole"
    assert not panel.order().settings.consistency
    panel.form.factor.value = 3
    assert check.enabled
    assert check.text == "Keep local averages"
    assert panel.order().settings.consistency
    panel.form.scale.value = "size"
    panel.form.pixel_size.value = 0.1  # 0.3 / 0.1 is 2.9999999999999996
    assert panel.order().settings.consistency
    viewer.add_image(pixels(20, 20), scale=(0.25, 0.25))  # for which that pixel size is no whole factor
    assert not check.enabled


def test_the_note_is_shown_until_it_is_dismissed(viewer: Any, open_panel: Any, monkeypatch: Any) -> None:
    from napari_esc import preferences

    page = SimpleNamespace(
        show_note=True, **{name: value for name, (_, value) in preferences.DEFAULTS.items() if name != "show_note"}
    )
    monkeypatch.setattr(preferences, "_page", lambda section: page)
    first = open_panel()
    assert first.note.isVisibleTo(first)
    first.note.findChild(QPushButton).click()
    assert not first.note.isVisibleTo(first)
    second = open_panel()
    assert not second.note.isVisibleTo(second)


def test_the_layer_list_is_followed(viewer: Any, open_panel: Any) -> None:
    panel = open_panel()
    assert panel.form.chosen == []
    viewer.add_image(pixels(9, 9), name="first")
    viewer.add_image(pixels(9, 9, 3, dtype="uint8", high=256), rgb=True, name="second")
    viewer.add_labels(pixels(9, 9, high=5).astype(int))
    assert panel.form.chosen[0].name == "second"
    viewer.layers.selection.active = viewer.layers["first"]
    assert panel.form.chosen[0].name == "first"
    viewer.layers.remove("first")
    assert panel.form.chosen[0].name == "second"
    assert panel.form.about_image.text() == "9 x 9 RGB, uint8, pixel 1 px"


def test_results_are_never_chosen_by_themselves(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    source = viewer.add_image(pixels(20, 20), name="cells")
    panel = open_panel()
    panel.form.difference.value = True
    run(panel, qtbot)
    names = [layer.name for layer in viewer.layers]
    assert names == ["cells", "cells [x2]", "cells [x2] difference"]
    labels = viewer.add_labels(np.zeros((20, 20), int))
    assert panel.form.chosen == [source]
    viewer.layers.selection.active = viewer.layers["cells [x2]"]
    assert panel.form.chosen == [source]
    viewer.layers.remove(labels)
    assert panel.form.chosen == [source]
    viewer.layers.move(0, 3)
    assert panel.form.chosen == [source]
    viewer.layers.selection.active = viewer.layers["cells [x2]"]
    second = open_panel()
    assert second.form.chosen == [source]
    # A person may choose a result, and it stays chosen.
    second.form.image.value = viewer.layers["cells [x2]"]
    assert second.form.chosen[0].name == "cells [x2]"
    viewer.add_labels(np.zeros((20, 20), int))
    assert second.form.chosen[0].name == "cells [x2]"
    # Without a source, nothing is chosen.
    viewer.layers.remove(source)
    assert panel.form.chosen == []
    panel.preflight.begin()
    assert panel.run_bar.estimate.text() == "Choose an image."
    assert not panel.run_bar.buttons["Run"].native.isEnabled()


def test_renaming_a_layer_chooses_no_other(viewer: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(9, 9), name="first")
    second = viewer.add_image(pixels(9, 9), name="second")
    panel = open_panel()
    second.name = "renamed"
    viewer.add_labels(np.zeros((9, 9), int))
    assert panel.form.chosen == [second]
    assert panel.form.image.current_choice == "renamed"


@pytest.mark.parametrize("name", ["store", "source"])
def test_a_file_is_chosen_without_waiting(name: str, viewer: Any, qtbot: Any, open_panel: Any, tmp_path: Path) -> None:
    """The panel may be closed while the dialog is open."""
    panel = open_panel()
    getattr(panel.form, f"find_{name}").native.click()
    (dialog,) = panel.findChildren(QFileDialog)
    dialog.filesSelected.emit([str(tmp_path / "chosen")])
    assert getattr(panel.form, name).value == str(tmp_path / "chosen")
    viewer.window.remove_dock_widget(panel)
    qtbot.waitUntil(lambda: not isalive(panel), timeout=5000)
    assert not isalive(dialog)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("~/a.ome.zarr", Path.home() / "a.ome.zarr"),
        ("a.zarr", Path.cwd() / "a.zarr"),
        ("a", Path.cwd() / "a.ome.zarr"),
        ("a.b", Path.cwd() / "a.b.ome.zarr"),
    ],
)
def test_a_target_is_an_absolute_path(name: str, meant: Path, viewer: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(9, 9))
    panel = open_panel()
    panel.form.store.value = name
    assert panel.order("whole").settings.store == meant


def test_results_are_no_pngs(viewer: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(9, 9))
    panel = open_panel()
    panel.form.store.value = "a.png"
    panel.preflight.begin()
    assert "end in .ome.zarr or .ome.tif" in panel.run_bar.estimate.text()
    assert not panel.run_bar.buttons["Run"].enabled


@pytest.mark.parametrize("kind", kinds())
def test_the_panel_takes_every_kind(kind: str, viewer: Any, qtbot: Any, open_panel: Any) -> None:
    data, properties = kinds()[kind]
    source = viewer.add_image(data, **properties)
    panel = open_panel()
    run(panel, qtbot)
    result = viewer.layers[-1]
    np.testing.assert_allclose(
        outer_corners(result, whole_region(result)), outer_corners(source, whole_region(source)), rtol=0, atol=1e-9
    )
    assert result.dtype == source.dtype


def test_a_panel_that_is_deleted_with_its_window_takes_its_work_along(
    viewer: Any, qtbot: Any, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    monkeypatch.setattr(Order, "run", slow)
    viewer.add_image(pixels(20, 20))
    window, panel = QWidget(), EscWidget(viewer)
    QVBoxLayout(window).addWidget(panel)
    panel.form.region.value = "whole"
    click(panel, "Run")
    qtbot.waitUntil(slow.began.is_set, timeout=10_000)
    window.deleteLater()
    qtbot.waitUntil(slow.ended.is_set, timeout=5000)
    assert not isalive(panel)
    viewer.add_image(pixels(5, 5))  # whose event goes nowhere now


def test_hiding_the_panel_ends_nothing(viewer: Any, qtbot: Any, open_panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(Order, "run", slow)
    viewer.add_image(pixels(20, 20))
    panel = open_panel()
    click(panel, "Run")
    qtbot.waitUntil(slow.began.is_set, timeout=10_000)
    panel.parent().title.hide_button.click()
    panel.parent().setFloating(True)
    qtbot.wait(300)
    assert panel.jobs
    assert not slow.ended.is_set()
    click(panel, "Cancel")
    finish(panel, qtbot)


def test_the_same_job_runs_once_at_a_time(
    viewer: Any, qtbot: Any, open_panel: Any, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    monkeypatch.setattr(Order, "run", slow)
    viewer.add_image(pixels(20, 20))
    first, second = open_panel(), open_panel()
    QTest.mouseDClick(first.run_bar.buttons["Run"].native, Qt.MouseButton.LeftButton)
    first.run()
    click(second, "Run")
    assert len(first.jobs) == 1
    assert not second.jobs
    assert set(messages) == {"This is being made already, with the same settings."}
    second.form.intensity.value = "range"  # another job
    click(second, "Run")
    assert second.jobs
    for panel in (first, second):
        click(panel, "Cancel")
        finish(panel, qtbot)
    click(second, "Run")
    assert second.jobs
    click(second, "Cancel")
    finish(second, qtbot)


def test_what_waits_is_shown_and_runs_in_its_turn(
    viewer: Any, qtbot: Any, open_panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, done = Slow(), Order.run
    monkeypatch.setattr(Order, "run", slow)
    viewer.add_image(pixels(20, 20), name="first")
    second = viewer.add_image(pixels(20, 20), name="second")
    panel, other = open_panel(), open_panel()
    viewer.layers.selection = {viewer.layers["first"]}
    click(panel, "Run")
    qtbot.waitUntil(slow.began.is_set, timeout=10_000)
    monkeypatch.setattr(Order, "run", done)
    viewer.layers.selection = {second}
    click(panel, "Run")
    panel.form.factor.value = 3
    click(panel, "Run")
    click(other, "Preview")
    assert panel.run_bar.waiting.text() == "Waits: ESC second [x2], ESC second [x3]"
    assert "ESC preview" in other.run_bar.waiting.text()
    panel.jobs[2].cancel()  # while it waits
    assert panel.run_bar.waiting.text() == "Waits: ESC second [x2]"
    panel.escape.activated.emit()
    for each in (panel, other):
        finish(each, qtbot)
    assert slow.ended.is_set()
    assert [layer.name for layer in viewer.layers] == ["first", "second", "second [x2]", "second preview"]
    assert not queue.jobs


def test_the_menu_command_upscales_the_active_layer(viewer: Any, qtbot: Any, messages: list[str]) -> None:
    from napari_esc.commands import upscale_x2

    upscale_x2(viewer)
    assert messages == ["Select an image layer to upscale."]
    viewer.add_image(pixels(2, 16, 16), name="cells", scale=(1, 2, 2))
    upscale_x2(viewer)
    qtbot.waitUntil(lambda: not queue.jobs, timeout=30_000)
    assert viewer.layers[-1].name == "cells [x2]"
    assert viewer.layers[-1].data.shape == (2, 32, 32)
    assert len(messages) == 1


def test_the_menu_command_twice_upscales_once(
    viewer: Any, qtbot: Any, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_esc import commands

    slow = Slow()
    monkeypatch.setattr(Order, "run", slow)
    viewer.add_image(pixels(16, 16))
    commands.upscale_x2(viewer)
    commands.upscale_x2(viewer)
    assert messages == ["This is being made already, with the same settings."]
    queue.jobs[0].cancel()
    qtbot.waitUntil(lambda: not queue.jobs, timeout=10_000)


def test_a_layer_can_be_shown_lazily(viewer: Any, qtbot: Any, open_panel: Any, messages: list[str]) -> None:
    levels = [pixels(3, 96, 128), pixels(3, 96, 128)[:, ::2, ::2]]
    source = viewer.add_image(levels, multiscale=True, name="slide", scale=(1, 0.5, 0.5), contrast_limits=(0, 1000))
    viewer.dims.set_current_step(0, 1)
    panel = open_panel()
    panel.form.region.value = "visible"
    click(panel, "Show lazily")
    finish(panel, qtbot)
    layer = viewer.layers["slide [x2]"]
    # The current plane, as large as the whole layer, over the levels of its source.
    assert [level.shape for level in layer.data] == [(1, 192, 256), (1, 96, 128), (1, 48, 64)]
    region = (slice(1, 2), slice(0, 96), slice(0, 128))
    np.testing.assert_allclose(outer_corners(layer, whole_region(layer)), outer_corners(source, region), atol=1e-9)
    np.testing.assert_array_equal(layer.data[0][:, 50:60, 80:90], levels[0].repeat(2, 1).repeat(2, 2)[1:2, 50:60, 80:90])
    assert layer.metadata["esc"]["lazy"]
    assert layer.metadata["esc"]["survey"]["method"] == "exact"
    assert "napari's window waits" in messages[-1]


def test_a_lazy_layer_is_a_part_of_the_result(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(90, 70), name="cells")
    panel = open_panel("esc-nano-x2")
    click(panel, "Show lazily")
    finish(panel, qtbot)
    run(panel, qtbot)
    lazy, whole = viewer.layers[1], viewer.layers[2]
    np.testing.assert_array_equal(lazy.data[0], whole.data)
    assert lazy.metadata["esc"]["survey"] == whole.metadata["esc"]["survey"]


def test_all_selected_layers_are_upscaled_each_with_its_own_levels(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    dim, bright = pixels(20, 24, high=90), pixels(20, 24, seed=1, high=60_000)
    for name, data in (("dim", dim), ("bright", bright), ("other", bright)):
        viewer.add_image(data, name=name, blending="additive")
    panel = open_panel("esc-nano-x2")
    viewer.layers.selection = {viewer.layers["dim"], viewer.layers["bright"]}
    assert [layer.name for layer in panel.form.chosen] == ["dim", "bright"]
    run(panel, qtbot)
    together = {layer.name: layer for layer in viewer.layers}
    assert list(together) == ["dim", "dim [x2]", "bright", "bright [x2]", "other"]
    assert [layer.visible for layer in viewer.layers] == [False, True, False, True, True]
    assert [layer.name for layer in panel.form.chosen] == ["dim", "bright"]  # for another run
    for name in ("dim", "bright"):
        viewer.layers.selection = {viewer.layers[name]}
        run(panel, qtbot)
        alone = viewer.layers[f"{name} [x2] [1]"]
        np.testing.assert_array_equal(together[f"{name} [x2]"].data, alone.data)
        assert together[f"{name} [x2]"].metadata["esc"]["levels"] == alone.metadata["esc"]["levels"]


@pytest.mark.parametrize("name", ["both.ome.zarr", "both.ome.tif"])
def test_selected_layers_become_channels_of_one_file(
    name: str, viewer: Any, qtbot: Any, open_panel: Any, tmp_path: Path
) -> None:
    first = viewer.add_image(pixels(2, 20, 24), name="first", colormap="green", scale=(2, 0.5, 0.5), units=("um",) * 3)
    second = viewer.add_image(
        pixels(2, 20, 24, seed=1), name="second", colormap="red", scale=(2, 0.5, 0.5), units=("um",) * 3
    )
    viewer.layers.selection = {first, second}
    panel = open_panel()
    panel.form.store.value = str(tmp_path / name)
    run(panel, qtbot)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    for source, layer in zip((first, second), (viewer.layers["first [x2]"], viewer.layers["second [x2]"]), strict=True):
        np.testing.assert_array_equal(np.asarray(layer.data), source.data.repeat(2, 1).repeat(2, 2))
        np.testing.assert_allclose(
            outer_corners(layer, whole_region(layer)), outer_corners(source, whole_region(source)), atol=1e-9
        )
        assert layer.colormap.name == source.colormap.name


def test_what_fits_into_no_file_is_refused_before_the_work(
    viewer: Any, qtbot: Any, open_panel: Any, tmp_path: Path, messages: list[str]
) -> None:
    viewer.layers.selection = {viewer.add_image(pixels(20, 24), name="a"), viewer.add_image(pixels(20, 25), name="b")}
    panel = open_panel()
    panel.form.store.value = str(tmp_path / "both.ome.zarr")
    panel.preflight.begin()
    assert "can't be a channel beside" in panel.run_bar.estimate.text()
    assert not panel.run_bar.buttons["Run"].enabled
    assert not list(tmp_path.iterdir())


def test_every_shape_is_a_region(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    source = viewer.add_image(pixels(40, 50), name="cells", scale=(0.5, 0.5))
    boxes = [np.array([[1, 1], [1, 6], [4, 6], [4, 1]], float), np.array([[10, 5], [10, 20], [18, 20], [18, 5]], float)]
    shapes = viewer.add_shapes(boxes, name="nuclei")
    panel = open_panel()
    viewer.layers.selection = {source}
    panel.form.region.value = shapes
    run(panel, qtbot)
    assert len(viewer.layers) == 4
    for layer in viewer.layers[1:3]:
        start = np.rint(source.world_to_data(layer.data_to_world((0, 0)))).astype(int)
        height, width = (n // 2 for n in layer.data.shape)
        part = source.data[start[0] : start[0] + height, start[1] : start[1] + width]
        np.testing.assert_array_equal(layer.data, part.repeat(2, 0).repeat(2, 1))
    viewer.layers.remove(shapes)
    assert panel.form.region.value == "visible"


def test_every_control_has_a_tooltip_and_a_name(viewer: Any, open_panel: Any) -> None:
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QSlider

    panel = open_panel()
    controls = [
        w for kind in (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QSlider) for w in panel.findChildren(kind)
    ]
    controls = [
        w
        for w in controls
        if not isinstance(w.parent(), (QAbstractSpinBox, QComboBox)) and w.objectName() != "qt_spinbox_lineedit"
    ]
    assert len(controls) > 20
    assert not [w for w in controls if not w.toolTip() or not w.accessibleName()]


def test_the_number_of_threads_is_asked_for(viewer: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(20, 20))
    panel = open_panel()
    panel.form.threads.value = 1
    assert panel.order().settings.threads == 1


@pytest.mark.parametrize("store", ["", "deep.ome.zarr"])
def test_voxels_become_as_deep_as_wide(store: str, viewer: Any, qtbot: Any, open_panel: Any, tmp_path: Path) -> None:
    data = pixels(2, 5, 12, 14)
    scale, units = (1, 0.6, 0.2, 0.2), ("second", *["micrometer"] * 3)
    source = viewer.add_image(data, name="cells", scale=scale, units=units, axis_labels=("t", "z", "y", "x"))
    panel = open_panel()
    panel.form.scale.value = "isotropic"
    panel.form.consistency.value = True
    panel.form.store.value = str(tmp_path / store) if store else ""
    assert panel.form.caveat.isVisibleTo(panel)
    panel.preflight.begin()
    assert not panel.run_bar.buttons["Preview"].enabled
    assert not panel.form.region.enabled
    run(panel, qtbot)
    result = viewer.layers[-1]
    assert (result.name, result.data.shape) == ("cells [15 planes]", (2, 15, 12, 14))
    np.testing.assert_allclose(result.scale, (1, 0.2, 0.2, 0.2))
    np.testing.assert_allclose(
        outer_corners(result, whole_region(result)), outer_corners(source, whole_region(source)), atol=1e-9
    )
    # The mean of the planes that one becomes is that plane.
    np.testing.assert_array_equal(np.asarray(result.data).reshape(2, 5, 3, 12, 14).mean(2), data)
    assert result.metadata["esc"]["planes"] == 15


def test_what_is_no_stack_gets_no_planes(viewer: Any, open_panel: Any) -> None:
    for shape, scale, units, told in (
        ((9, 9), (1, 1), ("um",) * 2, "is no stack"),
        ((4, 9, 9), (0.1, 0.2, 0.2), ("um",) * 3, "aren't further apart"),
        ((4, 9, 9), (2, 0.2, 0.2), ("nm", "um", "um"), "give them one unit"),
    ):
        layer = viewer.add_image(pixels(*shape), scale=scale, units=units)
        panel = open_panel()
        viewer.layers.selection = {layer}
        panel.form.scale.value = "isotropic"
        panel.preflight.begin()
        assert told in panel.run_bar.estimate.text()
        viewer.layers.clear()


def test_the_estimate_follows_the_grid(viewer: Any, qtbot: Any, open_panel: Any) -> None:
    viewer.add_image(pixels(20, 20))
    panel = open_panel()
    panel.form.region.value = "visible"
    for enabled in (True, False):
        viewer.canvas.grid.enabled = enabled
        qtbot.waitUntil(lambda on=enabled: ("grid is on" in panel.run_bar.estimate.text()) is on, timeout=5000)
    assert "Result" in panel.run_bar.estimate.text()
