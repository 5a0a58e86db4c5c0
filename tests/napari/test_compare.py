"""A result beside its source, in a window that really is drawn."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Layer
from napari.settings import get_settings
from napari.utils.action_manager import action_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QWidget

from napari_esc.compare import KEY
from napari_esc.compare_bar import CompareBar
from napari_esc.curtain import canvas_of

from .layers_to_try import pixels

LINE = 4  # pixels around the curtain's edge


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any], qtbot: Any) -> Any:
    """What a plugin is given."""
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(700, 600)
    qtbot.wait(100)
    return viewer


@pytest.fixture
def bar(viewer: Any, qtbot: Any) -> Iterator[CompareBar]:
    bar = CompareBar(viewer)
    viewer.window.add_dock_widget(bar, name="compare", area="bottom")
    qtbot.wait(100)
    yield bar
    bar.stop()


@pytest.fixture
def gate(viewer: Any) -> Iterator[Event]:
    """Let napari load pixels in the background; those of gated data come only while it is open."""
    get_settings().experimental.async_ = True
    gate = Event()
    gate.set()
    yield gate
    gate.set()
    get_settings().experimental.async_ = False


def pair(viewer: Any, kind: str) -> tuple[Image, Image]:
    """Add a source and a result that look different everywhere, the source hidden below."""
    before, after = pixels(40, 50, dtype="uint8", high=256), pixels(80, 100, dtype="uint8", high=256, seed=1)
    place: dict[str, Any] = {}
    if kind == "RGB":
        before, after = np.stack([before] * 3, -1) // [1, 2, 3], np.stack([after] * 3, -1) // [3, 2, 1]
    elif kind == "turned":
        affine = [[0.9, 0.2, 5], [-0.1, 1.1, -3], [0, 0, 1]]
        place = {"rotate": 25, "shear": (0.3,), "affine": affine, "blending": "additive", "colormap": "green"}
    elif kind == "multiscale":
        before, after = ([np.tile(x, (16, 16))[:: 2**n, :: 2**n] for n in range(3)] for x in (before, after))
    elif kind == "lazy":
        before, after = (da.from_array(np.stack([x, x // 2]), chunks=(1, 20, 20)) for x in (before, after))
        place = {"blending": "additive", "colormap": "magma"}
    scale = np.ones(2 if kind != "lazy" else 3)
    source = Image(before, scale=scale, name="source", **place)
    result = Image(after, scale=[*scale[:-2], 0.5, 0.5], name="result", **place)
    viewer.add_layer(source).visible = False
    viewer.add_layer(result)
    viewer.reset_view()
    return source, result


def grabbed(viewer: Any, qtbot: Any) -> np.ndarray:
    """Return what is seen of the canvas, with all that covers it."""
    qtbot.wait(200)
    qtbot.waitUntil(lambda: all(layer.loaded for layer in viewer.layers if layer.visible))
    canvas = canvas_of(viewer)
    place = canvas.mapTo(canvas.window(), QPoint(0, 0))
    ratio = canvas.devicePixelRatioF()
    top, left, height, width = (round(x * ratio) for x in (place.y(), place.x(), canvas.height(), canvas.width()))
    return viewer.screenshot(canvas_only=False, flash=False)[top : top + height, left : left + width]


def alone(viewer: Any, qtbot: Any, shown: Layer, hidden: Layer) -> np.ndarray:
    kept = shown.visible, hidden.visible
    shown.visible, hidden.visible = True, False
    picture = grabbed(viewer, qtbot)
    shown.visible, hidden.visible = kept
    return picture


def swiped(bar: CompareBar, qtbot: Any, position: float) -> None:
    bar.slider.setValue(round(1000 * position))
    qtbot.waitUntil(lambda: not bar.comparison._curtain.picture.isNull(), timeout=5000)


def assert_swiped(seen: np.ndarray, left: np.ndarray, right: np.ndarray, position: float) -> None:
    edge = round(position * seen.shape[1])
    np.testing.assert_array_equal(seen[:, : edge - LINE], left[:, : edge - LINE])
    np.testing.assert_array_equal(seen[:, edge + LINE :], right[:, edge + LINE :])


@pytest.mark.parametrize("kind", ["gray", "RGB", "turned", "multiscale", "lazy"])
def test_the_source_is_left_of_the_curtain_and_the_result_right_of_it(
    kind: str, viewer: Any, bar: CompareBar, qtbot: Any
) -> None:
    channel = Image(pixels(60, 60, dtype="uint8", high=90, seed=2), blending="additive", colormap="blue", name="other")
    source, result = pair(viewer, kind)
    viewer.add_layer(channel)
    before, left = grabbed(viewer, qtbot), alone(viewer, qtbot, source, result)
    right = alone(viewer, qtbot, result, source)
    assert np.mean(np.any(left != right, axis=-1)) > 0.2
    bar.compare([(source, result)])
    for position in (0.5, 0.3, 0.8):
        swiped(bar, qtbot, position)
        assert_swiped(grabbed(viewer, qtbot), left, right, position)
    bar.slider.setValue(1000)
    np.testing.assert_array_equal(grabbed(viewer, qtbot), left)
    bar.stop()
    assert (source.visible, result.visible) == (False, True)
    np.testing.assert_array_equal(grabbed(viewer, qtbot), before)


def test_the_curtain_follows_the_view(viewer: Any, bar: CompareBar, qtbot: Any) -> None:
    source, result = pair(viewer, "multiscale")
    bar.compare([(source, result)])
    swiped(bar, qtbot, 0.5)
    viewer.scene.camera.zoom *= 5
    result.gamma = source.gamma = 0.5
    swiped(bar, qtbot, 0.5)
    seen = grabbed(viewer, qtbot)
    swiped(bar, qtbot, 0.6)
    again = grabbed(viewer, qtbot)
    bar.stop()
    left, right = alone(viewer, qtbot, source, result), alone(viewer, qtbot, result, source)
    assert_swiped(seen, left, right, 0.5)
    assert_swiped(again, left, right, 0.6)


def test_the_curtain_follows_the_sliders_of_the_viewer(viewer: Any, bar: CompareBar, qtbot: Any) -> None:
    source, result = pair(viewer, "lazy")
    bar.compare([(source, result)])
    swiped(bar, qtbot, 0.5)
    viewer.dims.set_current_step(0, 1 - viewer.dims.current_step[0])
    swiped(bar, qtbot, 0.5)
    seen = grabbed(viewer, qtbot)
    bar.stop()
    assert_swiped(seen, alone(viewer, qtbot, source, result), alone(viewer, qtbot, result, source), 0.5)


def gated(planes: da.Array, gate: Event) -> da.Array:
    return planes.map_blocks(lambda block: block if gate.wait(20) else None, dtype=planes.dtype)


def test_pixels_that_are_loaded_in_the_background_are_waited_for(
    gate: Event, viewer: Any, bar: CompareBar, qtbot: Any
) -> None:
    source, result = pair(viewer, "lazy")
    source.data = gated(source.data, gate)
    gate.clear()
    viewer.dims.set_current_step(0, 1 - viewer.dims.current_step[0])
    bar.compare([(source, result)])
    bar.slider.setValue(500)
    qtbot.wait(300)
    assert not source.loaded
    assert bar.comparison._curtain.picture.isNull()
    gate.set()
    swiped(bar, qtbot, 0.5)
    seen = grabbed(viewer, qtbot)
    bar.stop()
    assert_swiped(seen, alone(viewer, qtbot, source, result), alone(viewer, qtbot, result, source), 0.5)


def test_what_is_around_a_covering_result_stays(viewer: Any, bar: CompareBar, qtbot: Any) -> None:
    source = viewer.add_image(pixels(40, 50, dtype="uint8", high=256))
    result = viewer.add_image(pixels(20, 20, dtype="uint8", high=256, seed=1), translate=(10, 15))
    right = grabbed(viewer, qtbot)
    bar.compare([(source, result)])
    swiped(bar, qtbot, 0.5)
    assert_swiped(grabbed(viewer, qtbot), alone(viewer, qtbot, source, result), right, 0.5)


def test_one_key_shows_the_source_and_goes_back(viewer: Any, bar: CompareBar, qtbot: Any) -> None:
    source, result = pair(viewer, "gray")
    before, left = grabbed(viewer, qtbot), alone(viewer, qtbot, source, result)
    bar.compare([(source, result)])
    canvas = canvas_of(viewer)
    canvas.setFocus()
    for _ in range(2):
        qtbot.keyClick(canvas, KEY)
        assert bar.button.isChecked()
        np.testing.assert_array_equal(grabbed(viewer, qtbot), left)
        qtbot.keyClick(canvas, KEY)
        assert not bar.button.isChecked()
        np.testing.assert_array_equal(grabbed(viewer, qtbot), before)
    swiped(bar, qtbot, 0.4)
    qtbot.mouseClick(bar.button, Qt.MouseButton.LeftButton)
    assert bar.slider.value() == 1000
    qtbot.mouseClick(bar.button, Qt.MouseButton.LeftButton)
    assert bar.slider.value() == 400
    bar.stop()
    qtbot.keyClick(canvas, KEY)
    assert (source.visible, result.visible) == (False, True)


def test_escape_ends_it_and_is_given_back(viewer: Any, bar: CompareBar, qtbot: Any) -> None:
    pressed = []
    viewer.bind_key("Escape", lambda viewer: pressed.append(1))
    bar.compare([pair(viewer, "gray")])
    before = grabbed(viewer, qtbot)
    swiped(bar, qtbot, 0.5)
    qtbot.keyClick(canvas_of(viewer), Qt.Key.Key_Escape)
    assert bar.slider.value() == 0
    assert not pressed
    np.testing.assert_array_equal(grabbed(viewer, qtbot), before)
    qtbot.keyClick(canvas_of(viewer), Qt.Key.Key_Escape)
    assert pressed


def test_the_line_can_be_dragged_and_the_rest_is_the_canvas(viewer: Any, bar: CompareBar, qtbot: Any) -> None:
    bar.compare([pair(viewer, "gray")])
    swiped(bar, qtbot, 0.5)
    curtain = bar.comparison._curtain
    center = viewer.scene.camera.center

    def drag(start: int, stop: int) -> None:
        qtbot.mousePress(curtain, Qt.MouseButton.LeftButton, pos=QPoint(start, 100))
        for x in np.linspace(start, stop, 5).astype(int).tolist():
            qtbot.mouseMove(curtain, QPoint(x, 100))
            qtbot.wait(20)
        qtbot.mouseRelease(curtain, Qt.MouseButton.LeftButton, pos=QPoint(stop, 100))

    edge = curtain.width()
    drag(edge - 2, edge - 100)
    assert curtain.width() == pytest.approx(edge - 100, abs=3)
    assert viewer.scene.camera.center == center
    drag(50, 90)
    assert viewer.scene.camera.center != center
    assert curtain.width() == pytest.approx(edge - 100, abs=3)


@pytest.mark.parametrize("removed", ["source", "result"])
def test_it_ends_when_a_layer_is_removed(removed: str, viewer: Any, bar: CompareBar, qtbot: Any) -> None:
    source, result = pair(viewer, "gray")
    bar.compare([(source, result)])
    assert bar.isVisible()
    swiped(bar, qtbot, 0.5)
    viewer.layers.remove(removed)
    assert not bar.isVisible()
    assert (source.visible, result.visible) == (False, True)
    assert not viewer.keymap
    qtbot.wait(100)
    assert not any(type(child).__name__ == "Curtain" for child in canvas_of(viewer).findChildren(QWidget))


def test_a_removed_layer_is_let_go_of(viewer: Any, bar: CompareBar, qtbot: Any) -> None:
    source, result = pair(viewer, "gray")
    bar.compare([(source, result)])
    swiped(bar, qtbot, 0.5)
    held = weakref.ref(bar.comparison)
    viewer.layers.remove(result)
    qtbot.wait(100)
    gc.collect()
    assert held() is None


def test_a_layer_that_the_user_shows_or_hides_stays_so(viewer: Any, bar: CompareBar, qtbot: Any) -> None:
    source, result = pair(viewer, "gray")
    bar.compare([(source, result)])
    swiped(bar, qtbot, 0.5)
    source.visible = True
    assert (source.visible, result.visible, bar.slider.value()) == (True, True, 0)
    swiped(bar, qtbot, 0.5)
    result.visible = False
    assert (source.visible, result.visible, bar.slider.value()) == (True, False, 0)


@pytest.mark.parametrize("position", [0, 0.5, 1])
def test_the_viewer_can_be_closed_meanwhile(position: float, viewer: Any, bar: CompareBar, qtbot: Any) -> None:
    source, result = pair(viewer, "gray")
    bar.compare([(source, result)])
    bar.slider.setValue(round(1000 * position))
    viewer.close()
    qtbot.wait(200)
    assert (source.visible, result.visible) == (False, True)


def test_the_key_is_used_by_nothing_else(viewer: Any) -> None:
    taken = {str(key) for keys in get_settings().shortcuts.shortcuts.values() for key in keys}
    taken |= {str(key) for kind in (type(viewer.__wrapped__), *Layer.__subclasses__(), Image) for key in kind.class_keymap}
    assert len(taken) > 20
    assert KEY not in taken
    assert len(action_manager._shortcuts) > 20
    assert not any(KEY in map(str, keys) for keys in action_manager._shortcuts.values())


def test_its_controls_say_what_they_are(bar: CompareBar) -> None:
    assert KEY in bar.button.toolTip()
    assert all(widget.toolTip() and widget.accessibleName() for widget in (bar.button, bar.slider))
