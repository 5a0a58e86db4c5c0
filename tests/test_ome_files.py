"""OME-Zarr and OME-TIFF: images that are filled plane by plane, whole or not there, and what they say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from esc_plugin import ImageError
from esc_plugin.files import read_picture, read_provenance
from esc_plugin.files.ome_axes import Axes, letters_of
from esc_plugin.files.ome_image import save_image
from esc_plugin.files.ome_notes import Channel
from esc_plugin.files.ome_zarr_image import OmeZarrImage
from esc_plugin.files.room import check_target
from esc_plugin.provenance import record_of_command

from .systems import symlink

RECORD = record_of_command("upscale", model="toy & <co>", levels=[[0.0, 1.0]])
#: A stack in micrometres whose x axis runs the other way, as microscopes have them.
MIRRORED = Axes("zyx", (0.5, 0.2, -0.1), (1.0, 2.0, 3.0), ("micrometer",) * 3)
COLOURS = Axes("tyx", (2.0, 0.2, 0.1), (0.0, 0.0, 0.0), ("second", "micrometer", "micrometer"))


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture(name="zarr")
def _zarr() -> Any:
    pytest.importorskip("yaozarrs", reason="needs yaozarrs for OME-Zarr's metadata")
    return pytest.importorskip("zarr", reason="needs zarr")


@pytest.fixture(params=["0.5", "0.4"])
def image(request: pytest.FixtureRequest, zarr: Any, tmp_path: Path) -> tuple[str, Path]:
    """An image of every kind of axis but z, in three levels."""
    path, shown = tmp_path / "a.ome.zarr", [Channel(limits=(0.0, 200.0))]
    save_image(path, pixels(2, 40, 2100, 3), COLOURS, rgb=True, channels=shown, record=RECORD, version=request.param)
    return request.param, path


def test_an_image_is_of_the_version_that_was_asked_for(image: tuple[str, Path], zarr: Any) -> None:
    version, path = image
    group = zarr.open_group(path, mode="r")
    about = group.attrs["ome"] if version == "0.5" else group.attrs["multiscales"][0]
    assert about["version"] == version
    assert [group.metadata.zarr_format, group["1"].metadata.zarr_format] == [{"0.5": 3, "0.4": 2}[version]] * 2
    np.testing.assert_array_equal(group["0"][:], pixels(2, 40, 2100, 3).transpose(0, 3, 1, 2))
    assert group["0"].chunks == (1, 1, 40, 512)
    assert group["2"].shape == (2, 3, 10, 525)
    if version == "0.5":  # the specification asks for it
        assert group["1"].metadata.dimension_names == ("t", "c", "y", "x")


def test_the_official_models_take_it(image: tuple[str, Path], zarr: Any) -> None:
    models = pytest.importorskip("ome_zarr_models", reason="the official models aren't installed")
    version, path = image
    found = models.open_ome_zarr(zarr.open_group(path, mode="r"))
    assert found.ome_zarr_version == version
    assert [axis.unit for axis in found.ome_attributes.multiscales[0].axes] == ["second", None, "micrometer", "micrometer"]


def test_yaozarrs_takes_the_whole_store(image: tuple[str, Path]) -> None:
    import yaozarrs

    yaozarrs.validate_zarr_store(str(image[1]))


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_a_mirrored_axis_stays_mirrored(version: str, zarr: Any, tmp_path: Path) -> None:
    save_image(tmp_path / "a.ome.zarr", pixels(2, 8, 1100), MIRRORED, version=version)
    attributes = zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs
    datasets = attributes.get("ome", attributes)["multiscales"][0]["datasets"]
    assert [dataset["coordinateTransformations"][0]["scale"] for dataset in datasets] == [[0.5, 0.2, -0.1], [0.5, 0.4, -0.2]]


def test_how_it_was_made_stays_with_it(image: tuple[str, Path], tmp_path: Path) -> None:
    assert read_provenance(image[1]) == RECORD
    save_image(tmp_path / "a.ome.tif", pixels(2, 8, 9), MIRRORED, record=RECORD)
    assert read_provenance(tmp_path / "a.ome.tif") == read_picture(tmp_path / "a.ome.tif").provenance == RECORD
    save_image(tmp_path / "b.ome.tif", pixels(2, 8, 9), MIRRORED)
    assert read_provenance(tmp_path / "b.ome.tif") == {}
    assert read_provenance(tmp_path) == {}  # any other folder


def test_ome_xml_of_a_new_image_is_valid(tmp_path: Path) -> None:
    ome_types = pytest.importorskip("ome_types", reason="needs ome-types to check OME-XML against its schema")
    save_image(tmp_path / "a.ome.tif", pixels(2, 8, 9), MIRRORED, name="cells & <co>", record=RECORD)
    (found,) = ome_types.from_tiff(tmp_path / "a.ome.tif").images
    assert found.name == "cells & <co>"
    assert (found.pixels.physical_size_x, found.pixels.physical_size_z, found.pixels.size_z) == (0.1, 0.5, 2)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.ome.tif"), pixels(2, 8, 9))


@pytest.mark.parametrize("shape", [(20, 1), (2, 7, 1), (1, 1), (1, 9), (513, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_an_image_of_one_column_keeps_its_values(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 250, shape).astype(dtype)
    axes = Axes("zyx"[-len(shape) :], (1.0,) * len(shape), (0.0,) * len(shape), ("pixel",) * len(shape))
    save_image(tmp_path / "a.ome.tif", values, axes, name="a")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.ome.tif").reshape(shape), values)


@pytest.mark.parametrize("name", ["a.ome.tif", "a.ome.zarr"])
def test_an_image_that_lies_about_its_shape_leaves_nothing(name: str, tmp_path: Path, zarr: Any) -> None:
    class Liar:
        shape, dtype, ndim = (2, 8, 9), np.dtype("u1"), 3

        def __getitem__(self, index: Any) -> np.ndarray:
            return np.zeros((8, 7), np.uint8)

    axes = Axes("zyx", (1.0,) * 3, (0.0,) * 3, ("pixel",) * 3)
    with pytest.raises(ImageError, match=r"a plane of it is \(8, 7\), and should be \(8, 9\)"):
        save_image(tmp_path / name, Liar(), axes, name="a")
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_text_is_no_traceback(tmp_path: Path, zarr: Any) -> None:
    axes = Axes("yx", (1.0,) * 2, (0.0,) * 2, ("pixel",) * 2)
    channels = [Channel("b\ud800", None, (0.0, 1.0))]
    save_image(tmp_path / "a.ome.zarr", np.zeros((8, 9), np.uint8), axes, name="a\ud800", channels=channels)
    assert zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs["ome"]["multiscales"][0]["name"] == "a?"


def test_an_old_ome_tiff_stays_where_the_new_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    path.write_bytes(b"old")

    class Lost(np.ndarray):
        def __getitem__(self, index: Any) -> Any:
            raise OSError("the share went away")

    with pytest.raises(ImageError, match=r"^can't write .*: the share went away\.$"):
        save_image(path, pixels(2, 8, 9).view(Lost), MIRRORED)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.ome.tif", b"old")]


def test_other_versions_are_refused_first(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no OME-Zarr version '0.6' here; choose 0.5 or 0.4"):
        save_image(tmp_path / "a.ome.zarr", pixels(2, 8, 9), MIRRORED, version="0.6")
    assert not list(tmp_path.iterdir())


def test_without_zarr_there_is_a_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("zarr", "yaozarrs"):
        with monkeypatch.context() as missing:
            missing.setitem(__import__("sys").modules, name, None)
            with pytest.raises(ImageError, match=r"pip install zarr yaozarrs"):
                save_image(tmp_path / "a.ome.zarr", pixels(2, 8, 9), MIRRORED)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none/a.ome.zarr", "there is no folder"),
        ("a" * 300 + ".ome.zarr", "can't write"),
        ("loop/a.ome.zarr", "can't write"),
    ],
)
def test_a_target_that_cannot_be_is_one_line(name: str, told: str, tmp_path: Path) -> None:
    if name.startswith("loop"):
        symlink(tmp_path / "loop", "loop")
        told = "no folder|can't write"
    with pytest.raises(ImageError, match=told):
        check_target(tmp_path / name)


def test_two_runs_to_one_name_do_not_disturb_each_other(zarr: Any, tmp_path: Path) -> None:
    data, axes = pixels(8, 8), Axes("yx", (1.0, 1.0), (0.0, 0.0), ("pixel", "pixel"))
    first, second = (OmeZarrImage(tmp_path / "a.ome.zarr", data.shape, data.dtype, axes) for _ in range(2))
    first[:], second[:] = data, 0
    first.finish("first")
    with pytest.raises(ImageError, match="already something"):
        second.finish("second")
    second.discard()
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "a.ome.zarr", mode="r")["0"][:], data)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]


@pytest.mark.parametrize(
    ("labels", "ndim", "letters"),
    [
        (("time", "channel", "y", "x"), 4, "tcyx"),
        (("Z", "Y", "X"), 3, "zyx"),
        (("-3", "-2", "-1"), 3, "zyx"),
        (("y", "x", "z"), 3, "zyx"),  # a plane isn't yx: the labels can't be meant
        ((), 5, "tczyx"),
    ],
)
def test_axes_get_their_letters_from_labels_or_custom(labels: tuple[str, ...], ndim: int, letters: str) -> None:
    assert letters_of(labels, ndim) == letters


def test_six_axes_are_too_many() -> None:
    with pytest.raises(ImageError, match="has 6"):
        letters_of((), 6)
