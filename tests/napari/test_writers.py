"""Layers that are saved together: what napari hands over, what the file says, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from npe2 import PluginManifest

import napari_esc
from esc_plugin import ImageError
from esc_plugin.files import read_picture, read_provenance
from esc_plugin.provenance import record_of_command
from napari_esc.writer import write_ome_tiff, write_ome_zarr

from .layers_to_try import pixels

CALIBRATED = {"scale": (0.5, 0.2, 0.1), "translate": (1.0, 2.0, 3.0), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}
WRITERS = {"a.ome.zarr": write_ome_zarr, "a.ome.tif": write_ome_tiff}
RECORD = record_of_command("upscale", model="toy", levels=[[0.0, 900.0]])


def blue_and_green(**second: Any) -> list[Image]:
    """Return two layers that fit together, unless the second is changed."""
    first = {"name": "DAPI", "colormap": "blue", "contrast_limits": (5, 900), "metadata": {"esc": RECORD}}
    about = {
        "name": "GFP",
        "colormap": "green",
        "contrast_limits": (0, 500),
        "data": da.from_array(pixels(3, 20, 30, seed=1)),
    }
    about |= CALIBRATED | second
    return [Image(pixels(3, 20, 30), **first, **CALIBRATED), Image(about.pop("data"), **about)]


def save(path: Path, layers: list[Image]) -> None:
    assert WRITERS[path.name](str(path), [layer.as_layer_data_tuple() for layer in layers]) == [str(path)]


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_selected_is_saved_as_channels(name: str, npe2pm: Any, tmp_path: Path) -> None:
    """By the way that File > Save Selected Layers goes."""
    npe2pm.register(PluginManifest.from_file(Path(napari_esc.__file__).with_name("napari.yaml")))
    viewer = ViewerModel()
    for layer in blue_and_green():
        viewer.add_layer(layer)
    viewer.layers.selection = set(viewer.layers)
    assert viewer.layers.save(str(tmp_path / name), selected=True) == [str(tmp_path / name)]
    found = read_picture(tmp_path / name)
    assert found.axes == "CZYX"
    assert found.ome is not None
    assert [channel.name for channel in found.ome.channels] == ["DAPI", "GFP"]
    assert [channel.color for channel in found.ome.channels] == [(0, 0, 1), (0, 1, 0)]
    assert found.ome.axes.scale == (1.0, 0.5, 0.2, 0.1)
    assert found.ome.axes.translate == (0.0, 1.0, 2.0, 3.0)
    if name.endswith("zarr"):
        assert [channel.limits for channel in found.ome.channels] == [(5, 900), (0, 500)]
    for i, layer in enumerate(viewer.layers):
        np.testing.assert_array_equal(np.asarray(found.pixels[i]), np.asarray(layer.data))
    assert [entry.get("channel") for entry in read_provenance(tmp_path / name)["channels"]] == ["DAPI", "GFP"]


@pytest.mark.parametrize("name", WRITERS)
def test_one_layer_goes_the_same_way(name: str, tmp_path: Path) -> None:
    (first, _) = blue_and_green()
    save(tmp_path / name, [first])
    found = read_picture(tmp_path / name)
    assert found.axes == "ZYX"
    assert found.ome is not None
    assert found.ome.name == "DAPI"
    assert read_provenance(tmp_path / name) == RECORD


@pytest.mark.parametrize("colormap", ["gray_r", {"colors": [[0, 0, 0, 1], [0, 0, 0, 0]]}])
@pytest.mark.parametrize("name", WRITERS)
def test_no_channel_is_black(name: str, colormap: Any, tmp_path: Path) -> None:
    """As the layers of readers are that found no colour in a file, and inverted ones: other programs would show nothing."""
    save(tmp_path / name, blue_and_green(colormap=colormap))
    found = read_picture(tmp_path / name).ome
    assert found is not None
    assert [channel.color for channel in found.channels] == [(0, 0, 1), (1, 1, 1)]


@pytest.mark.parametrize("colormap", ["green", {"colors": [[0, 0, 0, 1], [0, 1, 0, 1]]}])
def test_layers_made_by_hand_are_taken(colormap: Any, tmp_path: Path) -> None:
    """As commands return them: with the properties that were chosen, and no others."""
    write_ome_tiff(str(tmp_path / "a.ome.tif"), [(pixels(8, 9), {"name": "GFP", "colormap": colormap}, "image")])
    found = read_picture(tmp_path / "a.ome.tif").ome
    assert found is not None
    assert found.axes.scale == (1, 1)


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"data": pixels(3, 20, 31)}, "its shape is"),
        (
            {"data": pixels(20, 30), "scale": (1, 1), "translate": (0, 0), "units": None, "axis_labels": None},
            "its axes is yx",
        ),
        ({"data": pixels(3, 20, 30, dtype="float32")}, "its type is float32, not uint16"),
        ({"scale": (1, 1, 1)}, "its pixel size is"),
        ({"translate": (0, 0, 0)}, "its position is"),
        ({"rotate": 20}, "its rotation, shear or affine is another one"),
        ({"affine": np.diag([2.0, 1, 1, 1])}, "its rotation, shear or affine is another one"),
    ],
)
@pytest.mark.parametrize("name", WRITERS)
def test_layers_that_do_not_fit_are_refused_in_one_line(
    name: str, second: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=f"^'GFP' can't be a channel beside 'DAPI': {told}[^\n]*\\.$"):
        save(tmp_path / name, blue_and_green(**second))
    assert not list(tmp_path.iterdir())


def test_colours_are_saved_alone(tmp_path: Path) -> None:
    photo = Image(pixels(8, 9, 3, dtype="uint8", high=256), rgb=True, name="photo")
    save(tmp_path / "a.ome.tif", [photo])
    with pytest.raises(
        ImageError, match=r"'photo' has colours \(RGB\), so it can't be one of several channels; save it alone\."
    ):
        save(tmp_path / "a.ome.tif", [photo, Image(pixels(8, 9, dtype="uint8"))])
    assert read_picture(tmp_path / "a.ome.tif").axes == "YXS"
