"""What is written, as the programs read it that people open it with. Each of these tests needs one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_layers import Layer, save_layers
from esc_plugin.files.ome_notes import Channel
from esc_plugin.provenance import record_of_command

AXES = Axes("tzyx", (2.0, 0.5, 0.2, 0.1), (0.0, 10.0, 20.0, 30.0), ("second", *("micrometer",) * 3))
PIXELS = np.random.default_rng(0).integers(0, 4000, (2, 2, 3, 40, 1100)).astype("uint16")


def written(path: Path, version: str = "0.5") -> str:
    pytest.importorskip("tifffile" if path.suffix == ".tif" else "yaozarrs", reason="needs it to write the file")
    shown = [Channel("DAPI", (0.0, 0.0, 1.0), (10.0, 900.0)), Channel("GFP", (0.0, 1.0, 0.0), (0.0, 2000.0))]
    record = record_of_command("upscale", model="toy")
    save_layers(path, [Layer(PIXELS[:, i], AXES, channel, record=record) for i, channel in enumerate(shown)], version)
    return str(path)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_napari_ome_zarr(version: str, tmp_path: Path) -> None:
    """It leaves out where an image is, as of 0.10."""
    reader = pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr isn't installed")
    path = written(tmp_path / "a.ome.zarr", version)
    ((levels, about, kind),) = reader.napari_get_reader(path)(path)
    assert (kind, [level.shape for level in levels]) == ("image", [PIXELS.shape, (2, 2, 3, 20, 550)])
    np.testing.assert_array_equal(np.asarray(levels[0]), PIXELS)
    assert about["name"] == ["a: DAPI", "a: GFP"]
    assert [colormap.name for colormap in about["colormap"]] == ["blue", "green"]
    assert about["contrast_limits"] == [[10, 900], [0, 2000]]
    assert about["scale"] == [2, 0.5, 0.2, 0.1]
    assert about["units"] == AXES.units


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_ome_zarr(version: str, tmp_path: Path) -> None:
    io, reader = (pytest.importorskip(f"ome_zarr.{name}", reason="ome-zarr isn't installed") for name in ("io", "reader"))
    node = next(iter(reader.Reader(io.parse_url(written(tmp_path / "a.ome.zarr", version)))()))
    np.testing.assert_array_equal(np.asarray(node.data[0]), PIXELS)
    assert node.metadata["channel_names"] == ["DAPI", "GFP"]
    assert node.metadata["coordinateTransformations"][0] == [
        {"type": "scale", "scale": [2, 1, 0.5, 0.2, 0.1]},
        {"type": "translation", "translation": [0, 0, 10, 20, 30]},
    ]


@pytest.mark.parametrize(("name", "module"), [("a.ome.tif", "bioio_ome_tiff"), ("a.ome.zarr", "bioio_ome_zarr")])
def test_bioio(name: str, module: str, tmp_path: Path) -> None:
    found: Any = pytest.importorskip(module, reason=f"{module} isn't installed").Reader(written(tmp_path / name))
    assert list(map(str, found.channel_names)) == ["DAPI", "GFP"]
    assert tuple(found.physical_pixel_sizes) == (0.5, 0.2, 0.1)
    np.testing.assert_array_equal(found.data, PIXELS)


def test_napari_tiff(tmp_path: Path) -> None:
    reader = pytest.importorskip("napari_tiff.napari_tiff_reader", reason="napari-tiff isn't installed")
    path = written(tmp_path / "a.ome.tif")
    ((levels, about, *_),) = reader.reader_function(path)
    assert [level.shape for level in levels] == [PIXELS.shape, (2, 2, 3, 20, 550)]
    np.testing.assert_array_equal(np.asarray(levels[0]), PIXELS)
    assert about["name"] == ["DAPI", "GFP"]
    assert about["scale"] == [2, 0.5, 0.2, 0.1]
    words = about["metadata"]["ome_metadata"]["OME"]["Image"]["Description"]
    assert words.startswith("Synthetic detail: made by a network; measure on the original.")
