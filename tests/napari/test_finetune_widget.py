"""The panel that fine-tunes: what it says before, while and after it works, with a stand-in for the training and with it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qtpy.compat import isalive
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit

from esc_plugin import Cancelled, EscError
from esc_plugin.catalog.by_purpose import is_here, models_for, start_for
from esc_plugin.catalog.menu import models_folder
from esc_plugin.catalog.new_model import proposed_name
from esc_plugin.errors import EXTRAS
from napari_esc import finetune_widget
from napari_esc.finetune_widget import FinetuneWidget
from napari_esc.jobs import queue
from napari_esc.panel import open_finetuning
from napari_esc.widget import EscWidget

from ..small import small_config
from .conftest import make_nearest
from .layers_to_try import pixels


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any]) -> Any:
    return make_napari_viewer_proxy()


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ESC_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from napari.utils.notifications import notification_manager

    told: list[str] = []
    monkeypatch.setattr(notification_manager, "dispatch", lambda note: told.append(note.message))
    return told


@dataclass
class Stub:
    """Stands for `esc_plugin.train.finetune`: as slow as the test wants, and it learns what the test says."""

    after: float = 30.0
    error: BaseException | None = None
    began: threading.Event = field(default_factory=threading.Event)
    end: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    calls: list[Any] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @staticmethod
    def Wish(*args: Any, **options: Any) -> Any:  # noqa: N802
        return SimpleNamespace(args=args, **options)

    def finetune(
        self, images: Any, wish: Any, output: Path, progress: Any, *, gain: Any, note: Any, stop: Any, cancel: Any
    ) -> Any:
        self.calls.append((images, wish, output, threading.current_thread()))
        for text in self.notes:
            note(text)
        self.began.set()
        try:
            for step in range(1000):
                gain(SimpleNamespace(iteration=step, now=20.0 + step, start=20.0, bicubic=27.0))
                progress(step, 1000)
                if cancel():
                    raise Cancelled("cancelled.")
                if stop() or self.end.is_set():
                    break
                time.sleep(0.02)
            if self.error is not None:
                raise self.error
            return self._outcome(output)
        finally:
            self.ended.set()

    def _outcome(self, output: Path) -> Any:
        kept = self.after > 27
        if kept:
            output.mkdir(parents=True)
            (output / "config.json").write_text("{}")
            make_nearest(output / f"{output.name}.safetensors")
        score = SimpleNamespace(before=20.0, bicubic=27.0, after=self.after)
        problem = (
            "" if kept else f"after 9 iterations bicubic interpolation is still better: 27.00 dB, the model {self.after:.2f}"
        )
        return SimpleNamespace(weights=output if kept else None, problem=problem, rows=lambda: [score])


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    made = Stub()
    monkeypatch.setitem(sys.modules, "esc_plugin.train.finetune", made)  # type: ignore[arg-type]
    monkeypatch.setitem(EXTRAS, "train", ())
    return made


@pytest.fixture
def open_panel(viewer: Any, qtbot: Any) -> Callable[[], FinetuneWidget]:
    def opened() -> FinetuneWidget:
        panel = FinetuneWidget(viewer)
        viewer.window.add_dock_widget(panel)
        return panel

    return opened


def click(panel: FinetuneWidget, name: str) -> None:
    panel.run_bar.buttons[name].native.click()


def finish(panel: FinetuneWidget, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not panel.jobs, timeout=30_000)


def wait_for_gain(panel: FinetuneWidget, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: "start 20.0; bicubic 27.0" in panel.run_bar.result.text(), timeout=10_000)


def can_start(panel: FinetuneWidget) -> bool:
    return bool(panel.run_bar.buttons["Start"].native.isEnabled())


def test_what_is_chosen_is_what_is_learned_from(viewer: Any, qtbot: Any, open_panel: Any, stub: Stub, models: Path) -> None:
    data = pixels(2, 6, 20, 24)
    viewer.add_image(data, name="my cells", axis_labels=("channel", "t", "y", "x"))
    panel = open_panel()
    panel.minutes.value, panel.purpose.value = 3, "electron microscopy"
    assert panel.name.value == "my-cells-x2"
    plan = panel.run_bar.estimate.text()
    assert "a quarter of each plane" in plan  # frames show the same things
    assert "my-cells-x2, if it is better" in plan
    assert "Pixels stay on this machine" in plan
    click(panel, "Start")
    qtbot.waitUntil(stub.began.is_set, timeout=10_000)
    ((image,), wish, output, thread) = stub.calls[0]
    assert (image.name, image.axes, output) == ("my cells", "CTYX", models / "my-cells-x2")
    np.testing.assert_array_equal(image.pixels, data)
    assert wish.args == (panel.model.value, "microscopy", 3)
    assert (wish.purpose, wish.device) == ("electron microscopy", "auto")
    assert thread is not threading.main_thread()
    stub.end.set()
    finish(panel, qtbot)


def test_the_gain_is_told_while_it_learns_and_at_the_end(viewer: Any, qtbot: Any, open_panel: Any, stub: Stub) -> None:
    viewer.add_image(pixels(20, 24), name="cells")
    panel = open_panel()
    click(panel, "Start")
    wait_for_gain(panel, qtbot)
    assert not can_start(panel)
    assert panel.escape.isEnabled()
    click(panel, "Stop and keep")
    finish(panel, qtbot)
    told = panel.run_bar.result.text()
    assert "+3.00 dB over bicubic (27.00)" in told
    assert "+10.00 dB over its start (20.00)" in told
    assert panel.name.value == "cells-2-x2"  # for another one
    assert can_start(panel)
    assert not panel.escape.isEnabled()


def test_what_the_gain_does_not_show_is_told_beside_it(viewer: Any, qtbot: Any, open_panel: Any, stub: Stub) -> None:
    viewer.add_image(pixels(20, 24), name="cells")
    panel, stub.notes = open_panel(), ("held out, 'b' looks like 'a'.",)
    click(panel, "Start")
    wait_for_gain(panel, qtbot)
    assert panel.run_bar.result.text().endswith(" Held out, 'b' looks like 'a'.")
    stub.end.set()
    finish(panel, qtbot)
    assert panel.run_bar.result.text().endswith(" Held out, 'b' looks like 'a'.")


def test_it_starts_from_the_model_for_the_kind_of_images(viewer: Any, open_panel: Any) -> None:
    panel = open_panel()
    for purpose in ("fluorescence", "brightfield", "clean photo", "fluorescence"):
        panel.purpose.value = purpose
        assert panel.model.value == start_for(purpose).name


def test_a_model_that_is_no_better_is_not_kept_and_that_is_said(
    viewer: Any, qtbot: Any, open_panel: Any, stub: Stub, models: Path
) -> None:
    viewer.add_image(pixels(20, 24), name="cells")
    panel, stub.after = open_panel(), 26.0
    stub.end.set()
    click(panel, "Start")
    finish(panel, qtbot)
    assert panel.run_bar.result.text().startswith(
        "Not kept: after 9 iterations bicubic interpolation is still better: 27.00 dB"
    )
    assert not models.exists()
    assert panel.name.value == "cells-x2"


@pytest.mark.parametrize("way", ["Cancel", "Esc"])
def test_cancel_writes_nothing(
    way: str, viewer: Any, qtbot: Any, open_panel: Any, stub: Stub, models: Path, messages: list[str]
) -> None:
    viewer.add_image(pixels(20, 24), name="cells")
    panel = open_panel()
    click(panel, "Start")
    wait_for_gain(panel, qtbot)
    if way == "Cancel":
        click(panel, "Cancel")
    else:
        panel.escape.activated.emit()
    finish(panel, qtbot)
    assert stub.ended.is_set()
    assert panel.run_bar.result.text() == "Cancelled; nothing was written."
    assert not models.exists()
    assert not messages
    assert can_start(panel)


@pytest.mark.parametrize(
    ("error", "told", "said"),
    [
        (EscError("'cells' leaves 20 x 6 pixels."), ["'cells' leaves 20 x 6 pixels."], ""),
        (MemoryError(), ["There isn't enough memory. Choose a smaller region, or a file for the result."], ""),
        # Stopped before anything was learned: it would end a thread, and with it the process.
        (KeyboardInterrupt(), [], "Cancelled; nothing was written."),
    ],
)
def test_an_error_is_one_message(
    error: BaseException,
    told: list[str],
    said: str,
    viewer: Any,
    qtbot: Any,
    open_panel: Any,
    stub: Stub,
    messages: list[str],
) -> None:
    viewer.add_image(pixels(20, 24), name="cells")
    panel, stub.error = open_panel(), error
    stub.end.set()
    click(panel, "Start")
    finish(panel, qtbot)
    assert messages == told
    assert panel.run_bar.result.text() == said
    assert can_start(panel)


def test_closing_the_panel_ends_the_training(viewer: Any, qtbot: Any, open_panel: Any, stub: Stub, models: Path) -> None:
    viewer.add_image(pixels(20, 24), name="cells")
    panel = open_panel()
    click(panel, "Start")
    qtbot.waitUntil(stub.began.is_set, timeout=10_000)
    viewer.window.remove_dock_widget(panel)
    qtbot.waitUntil(lambda: stub.ended.is_set() and not isalive(panel), timeout=10_000)
    assert not queue.jobs
    assert not models.exists()
    viewer.add_image(pixels(20, 24))  # whose event goes nowhere


def test_all_panels_list_the_new_model_at_once(viewer: Any, qtbot: Any, open_panel: Any, stub: Stub) -> None:
    viewer.add_image(pixels(20, 24), name="cells")
    upscaling = EscWidget(viewer)
    viewer.window.add_dock_widget(upscaling)
    upscaling.form.purpose.value = "drawing"  # which it isn't for
    panel, other, closed = open_panel(), open_panel(), open_panel()
    viewer.window.remove_dock_widget(closed)
    qtbot.waitUntil(lambda: not isalive(closed), timeout=10_000)
    stub.end.set()
    click(panel, "Start")
    finish(panel, qtbot)
    assert upscaling.form.model.value == "cells-x2"
    for each in (panel, other):
        assert "cells-x2" in each.model.choices
        assert each.model.value == start_for("fluorescence").name


def test_the_upscale_panel_offers_it_where_it_has_no_model(viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("napari_esc.panel.open_finetuning", lambda viewer, purpose: opened.append(purpose))
    panel = EscWidget(viewer)
    viewer.window.add_dock_widget(panel)
    panel.form.purpose.value = "clean photo"
    assert not panel.form.finetune.native.isVisibleTo(panel)
    panel.form.purpose.value = "electron microscopy"
    assert panel.form.finetune.native.isVisibleTo(panel)
    panel.form.finetune.native.click()
    assert opened == ["electron microscopy"]


def test_it_is_opened_once_for_a_kind_of_images(viewer: Any, npe2pm: Any) -> None:
    from npe2 import PluginManifest

    npe2pm.register(PluginManifest.from_distribution("esc-plugin"))
    panel = open_finetuning(viewer, "brightfield")
    assert panel.purpose.value == "brightfield"
    assert open_finetuning(viewer, "drawing") == panel
    assert panel.purpose.value == "drawing"


def test_the_menu_and_the_button_open_the_same_panel(make_napari_viewer: Callable[..., Any], npe2pm: Any) -> None:
    from napari._app_model import get_app_model
    from napari.plugins import _initialize_plugins
    from npe2 import PluginManifest

    viewer = make_napari_viewer()
    npe2pm.register(PluginManifest.from_distribution("esc-plugin"))
    _initialize_plugins()
    get_app_model().commands.execute_command("esc-plugin.open_finetuning").result()
    (panel,) = (it for it in viewer.window.dock_widgets.values() if isinstance(it, FinetuneWidget))
    assert open_finetuning(viewer) is panel


def test_the_start_is_one_for_these_images_or_one_that_is_here(viewer: Any, open_panel: Any) -> None:
    panel = open_panel()
    here = {entry.name for entry in models_for() if is_here(entry)}
    for purpose in ("fluorescence", "electron microscopy", "clean photo"):
        panel.purpose.value = purpose
        listed, made = list(panel.entries), [entry.name for entry in models_for(purpose)]
        assert set(listed) == {*here, *made}
        assert set(listed[: len(here)]) == here
        assert listed[: len(here.intersection(made))] == [name for name in made if name in here]


def test_selected_sources_are_followed(viewer: Any, open_panel: Any, stub: Stub) -> None:
    panel = open_panel()
    assert not can_start(panel)
    assert panel.run_bar.estimate.text() == "Select images to learn from in the list of layers."
    first, second = (viewer.add_image(pixels(20, 24), name=name) for name in ("first", "second"))
    result = viewer.add_image(pixels(20, 24), name="result", metadata={"esc": {}})
    assert [layer.name for layer in panel.images] == ["second"]
    viewer.layers.selection = {first, second, result}
    assert [layer.name for layer in panel.images] == ["first", "second"]
    viewer.layers.selection = {result}
    assert [layer.name for layer in panel.images] == ["first", "second"]
    viewer.layers.remove(first)
    assert [layer.name for layer in panel.images] == ["second"]
    assert panel.name.value == "second-x2"
    panel.name.value = "mine"
    viewer.add_image(pixels(20, 24), name="third")
    assert panel.name.value == "mine"  # as a person has said


def test_what_can_not_be_is_said_before_the_work(viewer: Any, open_panel: Any, stub: Stub, models: Path) -> None:
    viewer.add_image(pixels(20, 24), name="cells")
    panel = open_panel()
    assert can_start(panel)
    (models / "taken").mkdir(parents=True)
    for name, told in (
        ("a/b", "letters, digits"),
        ("esc-nano-x2", "already"),
        ("taken", "is there already"),
        ("", "letters"),
    ):
        panel.name.value = name
        assert not can_start(panel)
        assert told in panel.run_bar.estimate.text()
    panel.name.value = "free"
    assert can_start(panel)
    viewer.add_image(np.zeros((20, 24), np.int64), name="counts")
    assert not can_start(panel)
    assert "int64" in panel.run_bar.estimate.text()


def test_what_has_to_be_installed_is_said_before_the_work(
    viewer: Any, open_panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXTRAS, "train", ("lightning_that_is_not_there",))
    viewer.add_image(pixels(20, 24), name="cells")
    panel = open_panel()
    assert not can_start(panel)
    assert "pip install lightning_that_is_not_there" in panel.run_bar.estimate.text()


def test_lazy_layers_are_read_by_the_training_alone(viewer: Any, open_panel: Any, stub: Stub) -> None:
    import dask.array as da

    def read(block: Any) -> Any:
        raise AssertionError("it was read")

    whole = da.zeros((8, 512, 512), chunks=(1, 512, 512), dtype="u2").map_blocks(
        read, dtype="u2", meta=np.zeros((0, 0, 0), "u2")
    )
    panel = open_panel()
    small = np.zeros((8, 256, 256), "u2")
    panel.images = [SimpleNamespace(name="a", data=[whole, small], multiscale=True, axis_labels="zyx", ndim=3, rgb=False)]
    panel.name.value = "a"
    (image,) = panel.tuning().images
    assert image.pixels is whole  # the finest level
    assert image.axes == "ZYX"
    assert "the middle fifth of the planes" in panel.tuning().plan


def test_every_control_has_a_tooltip_and_a_name(viewer: Any, open_panel: Any) -> None:
    panel = open_panel()
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit)
    found = [w for kind in kinds for w in panel.findChildren(kind)]
    found = [w for w in found if not isinstance(w.parent(), (QAbstractSpinBox, QComboBox)) and "qt_" not in w.objectName()]
    assert len(found) == 7
    assert not [w for w in found if not w.toolTip() or not w.accessibleName()]


def test_names_are_proposed_that_are_free(models: Path) -> None:
    assert proposed_name("C1: DAPI (blue).tif", 4) == "C1-DAPI-blue-tif-x4"
    assert proposed_name("///", 2) == "model-x2"
    assert proposed_name("esc nano", 2) == "esc-nano-2-x2"  # that is a bundled one
    (models / "a-x2").mkdir(parents=True)
    (models / "a-2-x2").mkdir()
    assert proposed_name("a", 2) == "a-3-x2"
    assert proposed_name("a", 0) == "a"
    finetune_widget.new_model_folder(proposed_name("x" * 300, 2))
    assert models_folder() == models


def test_panels_open_without_what_training_needs() -> None:
    code = """
from esc_plugin.errors import EXTRAS
EXTRAS["train"] = ("lightning_that_is_not_there",)
import napari_esc.widget, napari_esc.folder_widget, napari_esc.finetune_widget
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(importlib.util.find_spec("lightning") is None, reason="needs the extra 'train'")
@pytest.mark.filterwarnings("default")  # of the libraries that train
def test_a_model_is_made_and_used(
    viewer: Any, qtbot: Any, open_panel: Any, models: Path, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a real training, by iterations: how far one gets by the clock depends on the machine."""
    from esc_plugin.network import ESC
    from esc_plugin.train import finetune as module
    from esc_plugin.weights.model import Model

    config, real = small_config(), module.finetune
    Model(ESC(config).eval(), config, "start", "nowhere", "").save_pretrained(models / "start")
    brief = lambda images, wish, *rest, **told: real(images, replace(wish, iterations=40, keep=True), *rest, **told)  # noqa: E731
    monkeypatch.setattr(module, "finetune", brief)
    viewer.add_image(pixels(12, 48, 48), name="noise", axis_labels=("z", "y", "x"))
    upscaling, panel = EscWidget(viewer), open_panel()
    viewer.window.add_dock_widget(upscaling)
    panel.model.value = "start"
    click(panel, "Start")
    qtbot.waitUntil(lambda: not panel.jobs, timeout=300_000)
    assert not messages
    assert "dB over its start" in panel.run_bar.result.text()
    assert sorted(path.name for path in models.iterdir()) == ["noise-x2", "start"]
    assert upscaling.form.model.value == "noise-x2"
    upscaling.form.region.value = "whole"
    upscaling.run_bar.buttons["Run"].native.click()
    qtbot.waitUntil(lambda: not upscaling.jobs, timeout=60_000)
    assert viewer.layers[-1].data.shape == (12, 96, 96)
    assert viewer.layers[-1].metadata["esc"]["model"] == "noise-x2"
