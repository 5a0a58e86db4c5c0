"""What people do with mouse and keys, one after the other in a process of its own: what goes wrong here hangs or ends it."""

from __future__ import annotations

from typing import Any

from .test_closing import PANELS, assert_ends_well

#: Imports and helpers of the process, and a viewer with two images.
BEGIN = (
    PANELS[: PANELS.index("def there")]
    + """
def panel_of(viewer):
    panel = viewer.window.add_plugin_dock_widget("esc-plugin")[1]
    panel.form.region.value = "whole"
    return panel

def click(panel, name):
    QTest.mouseClick(panel.run_bar.buttons[name].native, Qt.MouseButton.LeftButton)

def shown():
    return [layer.name for layer in viewer.layers if layer.visible]

viewer = napari.Viewer()
panel = panel_of(viewer)
"""
)
#: Before each scenario.
ANEW = """
Order.run = quick
began.clear(), ended.clear()
viewer.layers.clear()
for name in ("a", "b"):
    viewer.add_image(np.ones((16, 16), np.uint8), name=name, blending="additive")
QTest.qWait(400)  # the estimate, which tells whether one can run
"""
SCENARIOS = {
    "a window takes its work along, and the work of others goes on": """
other = napari.Viewer(show=False)  # two windows that draw ended in an error of OpenGL now and then
other.add_image(np.ones((16, 16), np.uint8), name="c", blending="additive")
second = panel_of(other)
Order.run = slow
second.run()
wait_for(began.is_set)
Order.run = quick
panel.run()
assert panel.run_bar.waiting.text()
other.close()
wait_for(lambda: not panel.jobs)
assert ended.is_set()
assert any(name.endswith("[x2]") for name in shown())
from napari.utils import progress
assert not progress._all_instances  # napari's list of activities
""",
    "napari keeps a cancelled worker, which holds no image": """
Order.run = slow
for _ in range(3):
    panel.run()
    wait_for(lambda: panel.run_bar.bar.value() > 0)
    click(panel, "Cancel")
    wait_for(lambda: not panel.jobs)
QTest.qWait(400)
wait_for(lambda: not panel.preflight._job)
gc.collect()
assert not [it for it in gc.get_objects() if isinstance(it, Order)]
""",
    "a result that is deleted shows again what it has hidden": """
for name in ("Run", "Preview"):
    viewer.layers.selection = {viewer.layers["a"], viewer.layers["b"]}
    QTest.qWait(400)
    click(panel, name)
    wait_for(lambda: not panel.jobs)
    assert len(shown()) == 2 and not {"a", "b"} & set(shown()), shown()
    for layer in list(viewer.layers):
        if layer.name not in "ab":
            viewer.layers.remove(layer)
    assert shown() == ["a", "b"]
""",
    "the menu's command hides what would be seen through its result": """
from napari_esc.commands import upscale_x2
from napari_esc.jobs import queue
viewer.layers.selection.active = viewer.layers["a"]
upscale_x2(viewer)
wait_for(lambda: not queue.jobs)
assert shown() == ["a [x2]", "b"]
""",
    "all layers are deleted while it runs": """
Order.run = lambda order, progress, cancel: began.wait(20) and quick(order)
panel.run()
viewer.layers.clear()
QTest.qWait(400)
assert panel.run_bar.estimate.text() == "Open an image to upscale.", panel.run_bar.estimate.text()
assert not panel.run_bar.buttons["Run"].enabled
began.set()
wait_for(lambda: not panel.jobs)
assert len(viewer.layers) == 1
assert not panel.compare_bar.isVisible()  # there is nothing to compare with
""",
    "a file is named by keys": """
panel.form.more.value = True
for name in ("~", "~nobody-has-this-name", "~nobody-has-this-name/a.ome.zarr"):
    panel.form.store.native.clear()
    QTest.keyClicks(panel.form.store.native, name)
    panel.preflight.begin()
assert "no folder" in panel.run_bar.estimate.text(), panel.run_bar.estimate.text()
""",
}


def test_by_hand(qapp: Any) -> None:
    parts = [f"{ANEW}{code}\nprint({name!r}, flush=True)" for name, code in SCENARIOS.items()]
    assert_ends_well("\n".join([BEGIN, *parts, "viewer.close()"]), list(SCENARIOS))
