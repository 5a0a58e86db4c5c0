"""What microscopists rely on: channels, frames and planes don't change each other, and all ways lead to the same pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from napari.layers import Image

from esc_plugin.arrays.bicubic import imresize
from esc_plugin.arrays.synthetic import OFFSET, VOXEL, fluorescence
from esc_plugin.files import read_picture
from esc_plugin.session import views
from esc_plugin.session.task import Settings, Task
from esc_plugin.session.work import Result
from napari_esc.facts import finest
from napari_esc.geometry import Region, whole_region
from napari_esc.layers import upscale_layer, upscale_layers
from napari_esc.order import Order
from napari_esc.texts import image_text
from napari_esc.widget import EscWidget
from napari_esc.writer import write_ome_tiff, write_ome_zarr

MODEL = "esc-nano-x2"
CELLS = fluorescence(planes=8, edge=96)
CALIBRATED: dict[str, Any] = {"scale": VOXEL, "units": ("micrometer",) * 3, "axis_labels": ("z", "y", "x")}


def cells(channel: str = "nuclei", height: int = 40, width: int = 44) -> np.ndarray:
    """Return three planes of cells: (3, Y, X) uint16."""
    return CELLS[channel][3:6, 20 : 20 + height, 24 : 24 + width]


def dim_and_bright() -> np.ndarray:
    """Return two channels of which one has a hundred times the range of the other: (C, Z, Y, X)."""
    return np.stack([100 + (cells("nuclei") - 100.0).clip(0) / 8, cells("filaments") * 12.0]).astype(np.uint16)


def bleached(frames: int = 4) -> np.ndarray:
    """Return a nucleus that fades: (T, Y, X)."""
    light = cells()[1].astype(float) - OFFSET
    return np.stack([np.rint(OFFSET + light * np.exp(-0.6 * i)) for i in range(frames)]).astype(np.uint16)


def with_hot_pixel(image: np.ndarray) -> np.ndarray:
    hot = image.copy()
    hot[0, 20, 20] = 65535
    return hot


def with_holes(image: np.ndarray) -> np.ndarray:
    values = image.astype(np.float32) / 7 - 20
    values[1, 5:9, 3:30] = values[0, 0, 0] = np.nan
    return values


#: The data of the kinds that microscopists have, and what their layers say.
KINDS: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "two channels": lambda: (dim_and_bright()[:, 1], {"axis_labels": ("channel", "y", "x")}),
    "hot pixel": lambda: (with_hot_pixel(cells()), CALIBRATED),
    "time-lapse": lambda: (bleached(), {"axis_labels": ("t", "y", "x")}),
    "z-stack": lambda: (cells(), CALIBRATED),
    "z and channels, lazy": lambda: (
        da.from_array(dim_and_bright().transpose(1, 0, 2, 3), chunks=(1, 1, 40, 44)),
        {"axis_labels": ("z", "c", "y", "x")},
    ),
    "NaN and float": lambda: (with_holes(cells()), {}),
    "pyramid": lambda: ([cells(), cells()[:, ::2, ::2]], {"multiscale": True}),
    "RGB": lambda: (np.stack([cells("filaments")[1] // 4] * 3, -1).astype(np.uint8), {"rgb": True}),
}


def layer_of(kind: str) -> Image:
    data, properties = KINDS[kind]()
    return Image(data, name="cells", **properties)


def order_of(layer: Image, region: Region | None = None, **choices: Any) -> Order:
    settings = Settings(MODEL, **{"factor": (2.0, 2.0), "device": "cpu"} | choices)
    return Order.of([(layer, region or whole_region(layer))], lambda it: settings)


def made(layer: Image, region: Region | None = None, **choices: Any) -> np.ndarray:
    """Return the result as a first look at the layer gives it: nothing is known from before."""
    views.recent.clear()
    return plain(order_of(layer, region, **choices).run()[0])


def plain(result: Result) -> np.ndarray:
    return np.asarray(result.data[0] if isinstance(result.data, list) else result.data)


def part_of(whole: np.ndarray, task: Task) -> np.ndarray:
    """Return what a result should be, out of that of the whole layer."""
    return whole[(*task.region[:-2], *(slice(*span) for span in task.span))]


def middle(layer: Image) -> Region:
    """Return a box: the second of all planes but one where there are several, and not all of each."""
    *leading, height, width = finest(layer).shape[: layer.ndim]
    return (*(slice(n // 2, n) for n in leading), slice(3, height - 5), slice(11, width))


@pytest.mark.parametrize(("kind", "consistency"), [*((kind, False) for kind in KINDS), ("hot pixel", True)])
def test_all_ways_lead_to_the_same_pixels(kind: str, consistency: bool) -> None:
    """Planes, regions, previews and lazy results, whatever was made before: each is a part of the result of the whole."""
    layer, choices = layer_of(kind), {"consistency": consistency}
    whole = made(layer, **choices)
    plane = (*(slice(n - 1, n) for n in finest(layer).shape[: layer.ndim - 2]), *whole_region(layer)[-2:])
    for region in (plane, middle(layer)):
        order = order_of(layer, region, **choices)
        for way in (order.run, order.preview, order.lazy):
            for known in (False, True):
                if not known:
                    views.recent.clear()
                (result,) = way()
                np.testing.assert_array_equal(plain(result), part_of(whole, result.task), err_msg=f"{way.__name__} {known}")


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tif"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_holds_the_same_pixels(kind: str, name: str, tmp_path: Path) -> None:
    """Written while it is made, and saved by the viewer's menu, shown again and read back."""
    layer = layer_of(kind)
    whole = made(layer)
    shown = made(layer, store=tmp_path / name)
    np.testing.assert_array_equal(shown, whole)
    (tmp_path / "saved").mkdir()
    write = write_ome_tiff if name.endswith("tif") else write_ome_zarr
    write(str(tmp_path / "saved" / name), [upscale_layer(layer, MODEL, device="cpu")])
    first, second = (read_picture(folder / name) for folder in (tmp_path, tmp_path / "saved"))
    np.testing.assert_array_equal(np.asarray(first.pixels), np.asarray(second.pixels))
    np.testing.assert_array_equal(np.sort(np.asarray(first.pixels), axis=None), np.sort(whole, axis=None))
    assert first.axes == second.axes


@pytest.mark.parametrize("name", ["", "both.ome.zarr", "both.ome.tif"])
def test_a_channel_is_what_it_is_alone(name: str, tmp_path: Path) -> None:
    """As one of two selected layers and as an entry of a channel axis, in memory and in a file: so PSNR and bias are too."""
    both = dim_and_bright()
    alone = [made(Image(channel, **CALIBRATED)) for channel in both]
    store = {"store": tmp_path / name} if name else {}
    views.recent.clear()
    selected = upscale_layers([Image(channel, **CALIBRATED) for channel in both], MODEL, device="cpu", **store)
    assert [len(it[1]["metadata"]["esc"]["levels"]) for it in selected] == [1, 1]
    for (data, *_), wanted in zip(selected, alone, strict=True):
        np.testing.assert_array_equal(np.asarray(data), wanted)
    axis = made(Image(both, axis_labels=("c", "z", "y", "x")))
    np.testing.assert_array_equal(axis, np.stack(alone))
    if name:
        np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / name).pixels), np.stack(alone))


def test_channels_of_a_file_in_a_memory_map(tmp_path: Path) -> None:
    """As `tifffile.memmap` opens them, and napari splits them: views of one file."""
    both = np.ascontiguousarray(dim_and_bright().swapaxes(0, 1))
    tifffile.imwrite(tmp_path / "a.tif", both, photometric="minisblack", metadata={"axes": "ZCYX"})
    mapped = tifffile.memmap(tmp_path / "a.tif", mode="r")
    alone = [made(Image(both[:, i])) for i in range(2)]
    views.recent.clear()
    for i, (data, *_) in enumerate(upscale_layers([Image(mapped[:, i]) for i in range(2)], MODEL, device="cpu")):
        np.testing.assert_array_equal(data, alone[i])


def test_a_file_that_is_written_again_is_looked_at_again(tmp_path: Path) -> None:
    """As while an instrument fills it: what dask calls it stays the same."""
    stack, path = cells(), str(tmp_path / "a.zarr")
    file = zarr.create_array(path, shape=stack.shape, chunks=(1, *stack.shape[1:]), dtype=stack.dtype)
    planes = slice(1, 2), slice(0, 40), slice(0, 44)
    wanted = {name: made(Image(values), planes) for name, values in (("empty", np.zeros_like(stack)), ("full", stack))}
    views.recent.clear()
    for name, values in (("empty", 0), ("full", stack)):
        file[:] = values
        order = order_of(Image(da.from_zarr(path), contrast_limits=(0, 1000)), planes)
        np.testing.assert_array_equal(plain(order.run()[0]), wanted[name])


@pytest.mark.parametrize(
    ("shape", "labels", "told"),
    [
        ((3, 5, 2, 8, 9), None, "axis of 2"),  # as a hyperstack of Fiji is without a reader that knows it
        ((2, 8, 9), None, "axis of 2"),
        ((30, 8, 9), None, ""),
        ((3, 8, 9), ("z", "y", "x"), ""),
        ((3, 2, 8, 9), ("z", "c", "y", "x"), ""),
    ],
)
def test_channels_that_nothing_names_are_asked_about(shape: tuple[int, ...], labels: Any, told: str) -> None:
    text = image_text(Image(np.zeros(shape, np.uint16), axis_labels=labels))
    assert ("holds channels" in text) == bool(told)
    assert told in text


# Hot pixels


def reduced(channel: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a plane of cells, and its reduction by two: (96, 96) and (48, 48)."""
    truth = CELLS[channel][4]
    return truth, imresize(truth, (48, 48))


def psnr(image: np.ndarray, truth: np.ndarray, where: Any = ...) -> float:
    error = image[where].astype(float) - truth[where]
    return float(10 * np.log10(float(np.ptp(truth)) ** 2 / np.mean(error**2)))


@pytest.mark.parametrize("value", [20_000, 65_535])
@pytest.mark.parametrize("channel", CELLS)
def test_a_hot_pixel_costs_its_surroundings_and_nothing_else(channel: str, value: int) -> None:
    truth, image = reduced(channel)
    hot, far = image.copy(), np.ones(truth.shape, bool)
    hot[30, 17], far[54:68, 28:42] = value, False
    clean, dirty = made(Image(image)), made(Image(hot))
    assert psnr(dirty, truth, far) > psnr(clean, truth, far) - 0.1
    assert np.sqrt(np.mean((dirty.astype(float) - clean)[far] ** 2)) < np.ptp(truth) / 1000


@pytest.mark.parametrize("channel", CELLS)
def test_from_the_lowest_to_the_highest_value_a_hot_pixel_costs_all(channel: str) -> None:
    """What the test above is measured against, ten times as much: it is offered, and isn't the default."""
    truth, image = reduced(channel)
    hot, far = image.copy(), np.ones(truth.shape, bool)
    hot[30, 17], far[54:68, 28:42] = 65535, False
    assert psnr(made(Image(hot), intensity="minmax"), truth, far) < psnr(made(Image(image)), truth, far) - 1


@pytest.mark.parametrize("block", [1, 3])
def test_what_is_saturated_in_one_plane_changes_no_other(block: int) -> None:
    stack = cells()
    burnt = stack.copy()
    burnt[0, 20 : 20 + block, 20 : 20 + block] = 65535
    clean, dirty = made(Image(stack, **CALIBRATED)), made(Image(burnt, **CALIBRATED))
    np.testing.assert_array_equal(dirty[1:], clean[1:])
    assert dirty[0, 41, 41] > 30_000  # it is still there


def test_a_pixel_without_a_value_changes_no_other_plane() -> None:
    stack = cells().astype(np.float32)
    holes = stack.copy()
    holes[0, 10:12, 10:12] = np.nan
    clean, dirty = made(Image(stack)), made(Image(holes))
    np.testing.assert_array_equal(dirty[1:], clean[1:])
    np.testing.assert_array_equal(np.isnan(dirty[0]), np.isnan(holes[0]).repeat(2, 0).repeat(2, 1))


# Stacks and films


@pytest.mark.parametrize(
    ("kind", "data"), [("t", bleached()), ("z", cells()), ("z", cells("filaments"))], ids=["film", "nuclei", "filaments"]
)
def test_frames_and_planes_keep_their_brightness(kind: str, data: np.ndarray) -> None:
    """The same levels for all, and no flicker: the mean of each stays what it is, within a thousandth."""
    order = order_of(Image(data, axis_labels=(kind, "y", "x")))
    (result,) = order.run()
    assert len(result.record["levels"]) == 1
    np.testing.assert_allclose(result.data.mean((1, 2)), data.mean((1, 2)), rtol=1e-3)
    exact = made(Image(data, axis_labels=(kind, "y", "x")), consistency=True)
    np.testing.assert_array_equal(exact.mean((1, 2)), data.mean((1, 2)))


def test_a_film_in_which_nothing_happens_stands_still() -> None:
    result = made(Image(np.stack([cells()[1]] * 3), axis_labels=("t", "y", "x")))
    assert (result == result[0]).all()


# By the panel


@pytest.fixture
def panel(make_napari_viewer: Callable[..., Any], qtbot: Any) -> EscWidget:
    """The panel on two channels of which napari adds up the colours, both selected."""
    viewer = make_napari_viewer(show=True)
    looks = {"blending": "additive", "colormap": ["blue", "green"], "name": ["DAPI", "GFP"]}
    viewer.add_image(dim_and_bright(), channel_axis=0, **looks, **CALIBRATED)
    viewer.layers.selection = set(viewer.layers)
    opened = EscWidget(viewer)
    viewer.window.add_dock_widget(opened)
    opened.form.model.value, opened.form.device.value = MODEL, "cpu"
    viewer.dims.set_current_step(0, 1)
    qtbot.wait(100)
    return opened


def whole_results(panel: EscWidget) -> list[np.ndarray]:
    return [made(layer) for layer in panel.form.chosen]


def test_regions_of_the_panel_are_parts_of_the_whole(panel: EscWidget, qtbot: Any) -> None:
    viewer = panel.viewer
    wholes = whole_results(panel)
    rectangle = np.array([[1, 5, 6], [1, 5, 30], [1, 29, 30], [1, 29, 6]])
    drawn = viewer.add_shapes([rectangle], scale=VOXEL, units=CALIBRATED["units"])
    viewer.reset_view()
    viewer.scene.camera.zoom *= 3
    assert len(panel.form.chosen) == 2
    for region in ("plane", "visible", drawn):
        panel.form.region.value = region
        order = panel.order()
        assert all(task.count == 1 for task in order.tasks)
        views.recent.clear()
        for result, whole in zip(order.run(), wholes, strict=True):
            np.testing.assert_array_equal(plain(result), part_of(whole, result.task))


def test_what_the_buttons_show_is_part_of_the_whole(panel: EscWidget, qtbot: Any) -> None:
    """Preview, what is made when it is looked at, and the result itself, one after the other."""
    wholes, sources = whole_results(panel), panel.form.chosen
    views.recent.clear()
    panel.form.region.value = "whole"
    for name in ("Preview", "Show lazily", "Run"):
        before = list(panel.viewer.layers)
        panel.run_bar.buttons[name].native.click()
        qtbot.waitUntil(lambda: not panel.jobs, timeout=30_000)
        results = [layer for layer in panel.viewer.layers if layer not in before]
        assert len(results) == 2
        for source, layer, whole in zip(sources, results, wholes, strict=True):
            # Where it lies in the world says which part it should be.
            place = (np.array(layer.translate) - source.translate) / layer.scale + (0, 0.5, 0.5)
            start = np.rint(place).astype(int)
            data = np.asarray(finest(layer))
            index = tuple(slice(at, at + n) for at, n in zip(start, data.shape, strict=True))
            np.testing.assert_array_equal(data, whole[index], err_msg=name)
