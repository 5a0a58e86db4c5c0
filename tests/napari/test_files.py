"""Saved images keep their pixel size; results on disk are complete or absent."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from napari.layers import Image

from esc_plugin import Cancelled, ImageError
from esc_plugin.files import read_provenance
from esc_plugin.session.task import Settings
from napari_esc.facts import finest
from napari_esc.geometry import whole_region
from napari_esc.layers import layer_of
from napari_esc.order import Order
from napari_esc.writer import write_ome_tiff, write_ome_zarr

from .layers_to_try import kinds, pixels
from .test_geometry import outer_corners

KINDS = kinds()


def order_of(source: Image, model: str, **choices: Any) -> Order:
    settings = Settings(model, (2.0, 2.0), device="cpu", **choices)
    return Order.of([(source, whole_region(source))], lambda layer: settings)


def upscaled(source: Image, model: str, **choices: Any) -> tuple[Any, Image]:
    order = order_of(source, model, **choices)
    (result,) = order.run()
    return result, layer_of(order.parts[0][0], result)


CALIBRATED = {"scale": (0.5, 0.2, 0.1), "translate": (1.0, 2.0, 3.0), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}


def saved(write: Any, path: Path, data: Any, **properties: Any) -> None:
    assert write(str(path), [Image(data, **properties).as_layer_data_tuple()]) == [str(path)]


def test_ome_tiff_keeps_pixels_pixel_size_and_position(tmp_path: Path) -> None:
    data = pixels(3, 600, 530)
    saved(write_ome_tiff, tmp_path / "a.ome.tif", data, name="cells", **CALIBRATED)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        np.testing.assert_array_equal(file.asarray(), data)
        assert file.series[0].axes == "ZYX"
        image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
    told = image["Pixels"]
    assert image["Name"] == "cells"
    assert [told[f"PhysicalSize{axis}"] for axis in "ZYX"] == [0.5, 0.2, 0.1]
    assert {told[f"PhysicalSize{axis}Unit"] for axis in "ZYX"} == {"µm"}
    assert (told["Plane"][0]["PositionY"], told["Plane"][0]["PositionX"]) == (2.0, 3.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.tif"]


@pytest.mark.parametrize("kind", ["RGB uint8", "TZCYX dask", "multiscale"])
def test_ome_tiff_takes_every_kind(kind: str, tmp_path: Path) -> None:
    data, properties = KINDS[kind]
    saved(write_ome_tiff, tmp_path / "a.ome.tif", data, **properties)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        np.testing.assert_array_equal(file.asarray(), np.asarray(finest(Image(data, **properties))))
        assert file.series[0].axes == {"RGB uint8": "YXS", "TZCYX dask": "TZCYX", "multiscale": "YX"}[kind]


def test_ome_tiff_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="can't hold float16"):
        saved(write_ome_tiff, tmp_path / "a.ome.tif", np.zeros((8, 8), np.float16))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_ome_zarr_keeps_pixels_pixel_size_and_position(version: str, tmp_path: Path) -> None:
    data = pixels(2, 1100, 600)
    write = partial(write_ome_zarr, version=version)
    saved(write, tmp_path / "a.ome.zarr", data, name="cells", colormap="green", contrast_limits=(5, 900), **CALIBRATED)
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    np.testing.assert_array_equal(group["0"][:], data)
    assert group["1"].shape == (2, 550, 300)
    told, about = described(group)
    assert told["name"] == "cells"
    assert [axis["name"] for axis in told["axes"]] == ["z", "y", "x"]
    assert {axis["unit"] for axis in told["axes"]} == {"micrometer"}
    transforms = [dataset["coordinateTransformations"] for dataset in told["datasets"]]
    assert transforms[0] == [
        {"type": "scale", "scale": [0.5, 0.2, 0.1]},
        {"type": "translation", "translation": [1.0, 2.0, 3.0]},
    ]
    # A coarse pixel is centred between the fine ones that it is the mean of.
    np.testing.assert_allclose(transforms[1][0]["scale"], [0.5, 0.4, 0.2])
    np.testing.assert_allclose(transforms[1][1]["translation"], [1.0, 2.1, 3.05])
    (channel,) = about["omero"]["channels"]
    assert (channel["label"], channel["color"]) == ("cells", "00FF00")
    assert channel["window"] == {"start": 5.0, "end": 900.0, "min": 5.0, "max": 900.0}


def described(group: zarr.Group) -> tuple[Any, Any]:
    """Return the one multiscale image of a group, and all that stands beside it; 0.4 has no "ome"."""
    about: Any = group.attrs.get("ome", group.attrs)
    (told,) = about["multiscales"]
    return told, about


def test_ome_zarr_sorts_its_axes(tmp_path: Path) -> None:
    data, properties = KINDS["TZCYX dask"]
    saved(write_ome_zarr, tmp_path / "a.ome.zarr", data, **properties)
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    told, _ = described(group)
    assert [axis["name"] for axis in told["axes"]] == ["t", "c", "z", "y", "x"]
    np.testing.assert_array_equal(group["0"][:], np.asarray(data).transpose(0, 2, 1, 3, 4))


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tif"])
def test_a_saved_result_says_how_it_was_made(name: str, nearest: str, tmp_path: Path) -> None:
    source = Image(pixels(16, 16))
    _, layer = upscaled(source, nearest, store=tmp_path / "b.ome.zarr")
    (write_ome_zarr if name.endswith("zarr") else write_ome_tiff)(str(tmp_path / name), [layer.as_layer_data_tuple()])
    assert layer.metadata["esc"]["software"].startswith("esc-plugin ")
    assert read_provenance(tmp_path / name) == read_provenance(tmp_path / "b.ome.zarr") == layer.metadata["esc"]


def test_records_of_others_are_not_taken_for_ours(tmp_path: Path) -> None:
    saved(
        write_ome_zarr, tmp_path / "a.ome.zarr", pixels(8, 8), metadata={"esc": {"software": "another"}, "stain": object()}
    )
    assert read_provenance(tmp_path / "a.ome.zarr") == {}


def test_ome_zarr_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.ome.zarr").mkdir()
    with pytest.raises(ImageError, match="already something"):
        saved(write_ome_zarr, tmp_path / "a.ome.zarr", pixels(8, 8))


def test_what_a_file_cannot_say_is_said_to_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", said.append)
    saved(write_ome_zarr, tmp_path / "plain.ome.zarr", pixels(8, 8), **{"scale": (2, 2)})
    assert not said
    saved(write_ome_zarr, tmp_path / "turned.ome.zarr", pixels(8, 8), rotate=20)
    assert len(said) == 1
    assert "rotation" in said[0]


@pytest.mark.parametrize("kind", ["gray uint16", "RGB uint8", "TZCYX dask", "anisotropic ZYX"])
@pytest.mark.parametrize("large_planes", [False, True])
def test_a_result_on_disk_is_the_one_in_memory(
    kind: str, large_planes: bool, nearest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large_planes:
        monkeypatch.setattr("esc_plugin.session.work.SHARE_OF_MEMORY", 0)
    data, properties = KINDS[kind]
    source = Image(data, **properties)
    store = tmp_path / "result.ome.zarr"
    result, layer = upscaled(source, nearest, store=store, difference=True)
    in_memory, _ = upscaled(source, nearest, difference=True)
    assert not isinstance(layer.data, np.ndarray)  # shown lazily
    np.testing.assert_array_equal(np.asarray(layer.data), in_memory.data)
    np.testing.assert_array_equal(result.difference, in_memory.difference)
    assert result.agreement == in_memory.agreement
    np.testing.assert_allclose(
        outer_corners(layer, whole_region(layer)), outer_corners(source, whole_region(source)), atol=1e-9
    )
    assert [path.name for path in tmp_path.iterdir()] == ["result.ome.zarr"]
    assert not (store / "scratch").exists()


def test_a_large_result_on_disk_is_a_pyramid(nearest: str, tmp_path: Path) -> None:
    source = Image(pixels(700, 300))
    _, layer = upscaled(source, nearest, store=tmp_path / "a.ome.zarr")
    assert [level.shape for level in layer.data] == [(1400, 600), (700, 300)]
    np.testing.assert_array_equal(np.asarray(layer.data[1]), source.data)


@pytest.mark.parametrize("large_planes", [False, True])
def test_a_cancelled_result_leaves_no_file(
    large_planes: bool, nearest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it is cancelled: while it is computed, compared, moved or made smaller."""
    if large_planes:
        monkeypatch.setattr("esc_plugin.session.work.SHARE_OF_MEMORY", 0)
    monkeypatch.setattr("esc_plugin.arrays.pyramid.SMALLEST_LEVEL", 8)
    source = Image(pixels(2, 16, 16))
    order = order_of(source, nearest, store=tmp_path / "a.ome.zarr", difference=True)
    asked = [0]

    def cancel_at(count: int) -> bool:
        asked[0] += 1
        return asked[0] == count

    order_of(source, nearest, difference=True).run()  # from now on, its survey is known
    order.run(cancel=lambda: cancel_at(-1))
    total, asked[0] = asked[0], 0
    (tmp_path / "a.ome.zarr").rename(tmp_path / "whole")
    assert total > 15
    for count in range(1, total + 1):
        asked[0] = 0
        with pytest.raises(Cancelled):
            order.run(cancel=lambda at=count: cancel_at(at))
        assert [path.name for path in tmp_path.iterdir()] == ["whole"], count


def test_what_the_disk_has_no_room_for_is_refused_first(
    nearest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esc_plugin.files.room.shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    source = Image(pixels(16, 16))
    order = order_of(source, nearest, store=tmp_path / "a.ome.zarr")
    with pytest.raises(ImageError, match=r"needs up to 2.54e-06 GB, and .* has 9.31e-07 GB left; choose another folder"):
        order.run()
    with pytest.raises(ImageError, match="needs up to"):
        saved(write_ome_zarr, tmp_path / "a.ome.zarr", pixels(32, 32))
    assert not list(tmp_path.iterdir())


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from napari.layers import Image
from esc_plugin import ImageError
from esc_plugin.session import work
from esc_plugin.session.loaded import load_on_device
from esc_plugin.session.task import Settings
from napari_esc.geometry import whole_region
from napari_esc.order import Order
from napari_esc.writer import write_ome_zarr

weights, folder, share = sys.argv[1:]
work.SHARE_OF_MEMORY = float(share)
source = Image(np.random.default_rng(0).integers(0, 60_000, (2, 300, 300), np.uint16))
settings = Settings(weights, (2.0, 2.0), device="cpu", store=Path(folder) / "a.ome.zarr")
order = Order.of([(source, whole_region(source))], lambda layer: settings)
load_on_device(settings)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
given = str(settings.store), [source.as_layer_data_tuple()]
for fill in (order.run, lambda: write_ome_zarr(*given)):
    try:
        fill()
    except ImageError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("share", ["0.4", "0"])
def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(share: str, nearest: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FULL, nearest, str(tmp_path), share],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"can't write {str(tmp_path / 'a.ome.zarr')!r}: File too large."] * 2, done.stderr
    assert not list(tmp_path.iterdir())


def test_a_layer_that_cannot_be_read_is_one_line(nearest: str) -> None:
    import dask.array as da

    away = []

    def load(block_info: Any = None) -> np.ndarray:
        if away:
            raise OSError("the share went away")
        return np.zeros((1, 8, 8), np.uint16)

    lazy = da.map_blocks(load, chunks=((1, 1), (8,), (8,)), dtype=np.uint16, meta=np.empty((0, 0, 0), np.uint16))
    source = Image(lazy, contrast_limits=(0, 1))
    order = order_of(source, nearest)
    away.append(True)
    with pytest.raises(ImageError, match=r"^can't read the image: the share went away\.$"):
        order.run()
