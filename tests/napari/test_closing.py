"""Panels and windows that are closed in every way, each in a process of its own: what goes wrong here ends the process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

PANELS = """
import gc, threading, time, weakref
import napari, numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from esc_plugin import Cancelled
from napari_esc import widget
from napari_esc.order import Order

began, ended, quick = threading.Event(), threading.Event(), Order.run

def slow(order, progress, cancel):
    began.set()
    while not cancel():
        progress(1, 3)
        time.sleep(0.01)
    ended.set()
    raise Cancelled("cancelled.")

def wait_for(condition):
    for _ in range(1000):
        QTest.qWait(10)
        if condition():
            return
    raise AssertionError("it takes too long")

def there():
    return [w for w in QApplication.allWidgets() if isinstance(w, widget.EscWidget)]

def use(state):
    global dock, panel
    dock, panel = viewer.window.add_plugin_dock_widget("esc-plugin")
    panel.form.region.value = "whole"
    Order.run = slow if state == "running" else quick
    began.clear(), ended.clear()
    if state != "idle":
        QTest.mouseClick(panel.run_bar.buttons["Run"].native, Qt.MouseButton.LeftButton)
    wait_for({"idle": lambda: True, "running": began.is_set, "has run": lambda: not panel.jobs}[state])

def close():
    CLOSE

viewer = napari.Viewer()
viewer.add_image(np.zeros((16, 16), np.uint8))
for state in ("idle", "has run", "running", "has run", "running"):
    use(state)
    gone = weakref.ref(panel)
    close()
    if state == "running":
        wait_for(ended.is_set)
    wait_for(lambda: not there())  # without the garbage collector
    del dock, panel
    gc.collect()
    assert gone() is None, "something holds the panel"
    viewer.add_labels(np.zeros((16, 16), int))  # whose event goes nowhere
    QTest.qWait(50)
    print(state, flush=True)
viewer.close()
"""
WAYS = {
    "X": "QTest.mouseClick(dock.title.close_button, Qt.MouseButton.LeftButton)",
    "the dock": "viewer.window.remove_dock_widget(dock)",
    "the panel": "viewer.window.remove_dock_widget(panel)",
}
CLOSING = """
import napari, numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

viewer = napari.Viewer()
viewer.add_image(np.zeros((4, 1200, 1200), np.uint16), contrast_limits=(0, 1))
START
job.progressed.connect(lambda *_: timer.start(50))
def close():
    print("closing", flush=True)
    timer.stop()
    viewer.close()
timer = QTimer()
timer.timeout.connect(close)
timer.start(60_000)
"""
STARTS = {
    "panel": """
_, panel = viewer.window.add_plugin_dock_widget("esc-plugin")
panel.form.region.value = "whole"
panel.run()
job, = panel.jobs
""",
    "command": """
from napari_esc import commands
from napari_esc.jobs import queue
commands.upscale_x2(viewer)
job, = queue.jobs
""",
}
ENDS = {
    "by hand": "napari.run()",
    "by a script": """
while timer.isActive():
    QApplication.processEvents()
""",
}


def assert_ends_well(code: str, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "ignore", "-c", f"{code}\nprint('end', flush=True)"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    told = [line for line in done.stdout.splitlines() if not line.startswith("INFO")]
    assert told == [*words, "end"], done.stderr
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "QThread" not in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_closed_panel_is_gone_with_its_work(way: str, qapp: Any) -> None:
    assert_ends_well(PANELS.replace("CLOSE", WAYS[way]), ["idle", "has run", "running", "has run", "running"])


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("start", STARTS)
def test_closing_the_window_while_running_exits_cleanly(start: str, end: str, qapp: Any) -> None:
    assert_ends_well(CLOSING.replace("START", STARTS[start]) + ENDS[end], ["closing"])
