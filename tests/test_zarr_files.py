"""Zarr as input: OME-Zarr of both versions, plain arrays, addresses; read when indexed, and refused in one line."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from esc_plugin import ImageError
from esc_plugin.arrays.consistency import check_agreement
from esc_plugin.batch.checks import check_source
from esc_plugin.batch.find import find_images, find_originals
from esc_plugin.files import read_picture, read_provenance, write_picture
from esc_plugin.files.address import Url, place_of
from esc_plugin.files.file_array import _same
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_image import save_image
from esc_plugin.files.ome_notes import Channel
from esc_plugin.files.zarr_array import ZarrArray
from esc_plugin.provenance import record_of_command

from .commands import inside_the_test, run_commands
from .confined import run_confined

zarr = pytest.importorskip("zarr", reason="needs zarr 3, so Python 3.11")

STACK = Axes("tcyx", (2.0, 1.0, 0.5, 0.25), (0.0, 0.0, 3.0, 4.0), ("second", "pixel", "micrometer", "micrometer"))
RECORD = record_of_command("upscale", model="toy")
GREEN = Channel("cells", (0.0, 1.0, 0.0), (0.0, 150.0))


def values(*shape: int, dtype: Any = np.uint16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def save(path: Path, pixels: np.ndarray, version: str = "0.5", axes: Axes = STACK, **options: Any) -> Path:
    pytest.importorskip("yaozarrs", reason="needs yaozarrs to write OME-Zarr")
    save_image(path, pixels, axes, channels=[GREEN], record=RECORD, version=version, **options)
    return path


def plain(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    array = zarr.create_array(str(path), shape=pixels.shape, dtype=pixels.dtype, **{"chunks": (8,) * pixels.ndim, **options})
    array[...] = pixels
    return path


@pytest.fixture
def esc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    return inside_the_test(monkeypatch, capsys)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_what_is_written_is_read_again(version: str, tmp_path: Path) -> None:
    pixels = values(2, 3, 20, 30)
    picture = read_picture(save(tmp_path / "a.ome.zarr", pixels, version))
    assert (picture.axes, picture.pixels.shape, picture.pixels.dtype) == ("TCYX", pixels.shape, pixels.dtype)
    np.testing.assert_array_equal(picture.pixels[...], pixels)
    assert picture.ome is not None
    assert picture.ome.axes == STACK
    assert [c.name for c in picture.ome.channels] == ["cells 1", "cells 2", "cells 3"]
    assert picture.ome.channels[2].color == (0.0, 1.0, 0.0)
    assert picture.ome.channels[0].limits == (0.0, 150.0)
    assert picture.provenance["model"] == "toy"
    assert read_provenance(tmp_path / "a.ome.zarr")["model"] == "toy"


def test_a_larger_picture_covers_the_same_area_in_every_format(tmp_path: Path) -> None:
    pixels = values(2, 3, 20, 30)
    picture = read_picture(save(tmp_path / "a.ome.zarr", pixels))
    large = picture.enlarged(pixels.repeat(2, 2).repeat(2, 3))
    assert large.ome is not None
    assert large.ome.axes == Axes("tcyx", (2.0, 1.0, 0.25, 0.125), (0.0, 0.0, 2.875, 3.9375), STACK.units)
    part = picture.enlarged(large.pixels[..., 8:, 16:], (40, 60), (8, 16)).ome
    assert part is not None
    assert part.axes.translate == (0.0, 0.0, 2.875 + 8 * 0.25, 3.9375 + 16 * 0.125)
    write_picture(tmp_path / "b.ome.tif", large)
    assert not large.notes
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tif:
        text = tif.ome_metadata or ""
    for word in (
        'PhysicalSizeX="0.125"',
        'PhysicalSizeY="0.25"',
        'PositionX="3.9375"',
        'Name="cells 3"',
        'Color="16711935"',
    ):
        assert word in text
    again = read_picture(tmp_path / "b.ome.tif")
    assert again.axes == "TCYX"
    assert again.ome is not None
    assert again.ome.axes == large.ome.axes
    assert [c.name for c in again.ome.channels] == [c.name for c in large.ome.channels]
    assert [c.color for c in again.ome.channels] == [c.color for c in large.ome.channels]
    np.testing.assert_array_equal(np.asarray(again.pixels), large.pixels)


def test_what_imagej_says_of_pixels_is_kept_in_the_words_of_ome(tmp_path: Path) -> None:
    about = {"axes": "ZYX", "unit": "um", "spacing": 2.5}
    tifffile.imwrite(tmp_path / "a.tif", values(3, 20, 30), imagej=True, resolution=(5, 4), metadata=about)
    picture = read_picture(tmp_path / "a.tif", lazy=True)
    assert picture.ome is not None
    assert picture.ome.axes == Axes("zyx", (2.5, 0.25, 0.2), (0.0, 0.0, 0.0), ("micrometer",) * 3)
    assert picture.ome.enlarged(2, 2).axes.scale == (2.5, 0.125, 0.1)


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({"zarr_format": 2}, "<u2"),
        ({"zarr_format": 2}, ">u2"),
        ({"zarr_format": 3}, "u2"),
        ({"zarr_format": 3, "chunks": (4, 4), "shards": (16, 16)}, "f4"),
    ],
    ids=["zarr 2", "big-endian", "zarr 3", "sharded"],
)
def test_plain_arrays_are_images(options: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    pixels = values(21, 34, dtype=dtype)
    picture = read_picture(plain(tmp_path / "a.zarr", pixels, **options))
    assert picture.axes == "YX"
    assert picture.pixels.dtype.isnative
    np.testing.assert_array_equal(picture.pixels[3:20:4, ::-3], pixels[3:20:4, ::-3])
    np.testing.assert_array_equal(picture.pixels[-1], pixels[-1])
    with pytest.raises(IndexError, match="whole numbers and slices"):
        picture.pixels[[0, 1]]


@pytest.mark.parametrize(
    ("names", "shape", "axes"),
    [
        (["z", "y", "x"], (2, 9, 9), "ZYX"),
        (["Channel", "row", "column"], (2, 9, 9), "CYX"),
        (["x", "y"], (7, 9), "XY"),
        (["a", "b", "c"], (2, 9, 9), "QYX"),
        (None, (9, 9, 3), "YXS"),
    ],
)
def test_axes_of_plain_arrays_are_those_that_they_name_or_the_usual(
    names: list[str] | None, shape: tuple[int, ...], axes: str, tmp_path: Path
) -> None:
    assert read_picture(plain(tmp_path / "a.zarr", values(*shape), dimension_names=names)).axes == axes


@pytest.mark.parametrize("letters", ["yx", "zyx", "tzyx", "tczyx"])
def test_axes_of_images_are_in_the_order_of_the_file(letters: str, tmp_path: Path) -> None:
    shape = (2, 3, 4, 5, 6)[-len(letters) :]
    axes = Axes(letters, (1.0,) * len(shape), (0.0,) * len(shape), ("pixel",) * len(shape))
    picture = read_picture(save(tmp_path / "a.ome.zarr", values(*shape), axes=axes))
    assert (picture.axes, picture.pixels.shape) == (letters.upper(), shape)


def test_addresses_are_images_too(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    pixels = values(16, 16)
    array = zarr.create_array("memory://test/deep/a.zarr", shape=(16, 16), chunks=(8, 8), dtype="u2", overwrite=True)
    array[...] = pixels
    array.attrs["esc"] = RECORD
    picture = read_picture("memory://test/deep/a.zarr")
    np.testing.assert_array_equal(picture.pixels[2:, :3], pixels[2:, :3])
    assert read_provenance(Url("memory://test/deep/a.zarr"))["model"] == "toy"
    local = plain(tmp_path / "b c.zarr", pixels)
    assert place_of(local.as_uri()) == local
    np.testing.assert_array_equal(read_picture(local.as_uri()).pixels[...], pixels)
    (found,) = find_images(["memory://test/deep/a.zarr"])
    assert (found.path.name, found.path.suffix, str(found.path)) == ("a.zarr", ".zarr", "memory://test/deep/a.zarr")
    check_source(found.path)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://nothing/there.zarr", "there is no Zarr array or group"),
        ("abacus://a/b.zarr", "abacus"),
    ],
)
def test_what_is_not_behind_an_address_is_said(address: str, said: str) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(ImageError, match=said) as error:
        check_source(Url(address))
    assert address in str(error.value)
    assert "\n" not in str(error.value)


def test_packages_that_are_missing_are_named(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.zarr", values(8, 8))
    ((code, said),) = run_commands(["check", path, path], missing=["zarr"])
    assert (code, said.count("\n")) == (1, 1)
    assert "pip install zarr yaozarrs" in said  # what writing the result needs, too
    ((code, said),) = run_commands(["check", "s3://bucket/a.zarr", path], missing=["s3fs"])
    assert (code, said.count("\n")) == (1, 1)
    assert "pip install fsspec s3fs" in said


def test_searches_find_zarr_folders_and_stay_out_of_them(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "deep"
    inside.mkdir(parents=True)
    image = save(tmp_path / "a" / "b.ome.zarr", values(20, 30), axes=Axes("yx", (1.0, 1.0), (0.0, 0.0), ("pixel",) * 2))
    hidden, deep = plain(tmp_path / "a" / ".c.zarr.part", values(8, 8)), plain(inside / "d.zarr", values(8, 8))
    for folder in (image, hidden, inside):
        tifffile.imwrite(folder / "e.tif", values(8, 8))
    assert [found.path for found in find_images([tmp_path / "a"])] == [image]
    everything = [image, deep, inside / "e.tif"]
    assert sorted(found.path for found in find_images([tmp_path], recursive=True)) == sorted(everything)
    assert sorted(found.path for found in find_images([f"{tmp_path}/**"])) == sorted(everything)
    assert [found.path for found in find_images([image])] == [image]
    assert find_originals([deep]) == [deep]
    assert image not in find_originals([tmp_path])  # it has a record


def test_an_array_is_opened_once_by_each_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, opened = values(40, 40), []
    array = read_picture(plain(tmp_path / "a.zarr", pixels)).pixels
    sent = pickle.dumps(array)
    assert len(sent) < 2000
    original = ZarrArray.open
    monkeypatch.setattr(ZarrArray, "open", lambda self: opened.append(1) or original(self))
    _same.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda row: array[row], range(40)))
    np.testing.assert_array_equal(np.stack(rows), pixels)
    assert len(opened) == 1
    for _ in range(3):
        np.testing.assert_array_equal(pickle.loads(sent)[5:7], pixels[5:7])
    assert len(opened) == 2
    with multiprocessing.get_context("spawn").Pool(1) as other:
        np.testing.assert_array_equal(other.apply(array.__getitem__, (slice(3, 5),)), pixels[3:5])


def test_an_array_that_has_changed_is_not_taken_for_the_same(tmp_path: Path) -> None:
    array = read_picture(plain(tmp_path / "a.zarr", values(9, 9))).pixels
    shutil.rmtree(tmp_path / "a.zarr")
    plain(tmp_path / "a.zarr", values(8, 9))
    with pytest.raises(ImageError, match="has changed"):
        array[0]


@pytest.mark.parametrize(
    "options", [{"zarr_format": 2}, {}, {"chunks": (4, 4), "shards": (8, 8)}], ids=["2", "3", "sharded"]
)
def test_a_damaged_chunk_is_named_and_a_missing_one_is_filled(options: dict[str, Any], tmp_path: Path) -> None:
    path = plain(tmp_path / "a.zarr", values(24, 24) + 1, fill_value=7, **options)
    array = read_picture(path).pixels
    chunk = path / ("1.2" if "zarr_format" in options else "c/1/2")
    chunk.write_bytes(b"\xff" * chunk.stat().st_size)
    key = chunk.relative_to(path).as_posix()
    with pytest.raises(ImageError, match=f"chunk '{key}' of .*a.zarr' can't be read") as error:
        array[:, :]
    assert "\n" not in str(error.value)
    np.testing.assert_array_equal(array[:8], values(24, 24)[:8] + 1)
    chunk.unlink()
    assert (array[8:16, 16:24] == 7).all()


def test_more_than_the_memory_is_one_line_at_once(tmp_path: Path) -> None:
    """No chunk of it is there, so that none would be found to be damaged."""
    path = plain(tmp_path / "a.zarr", values(2, 2))
    about = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps(about | {"shape": [2**30, 2**30]}))
    with pytest.raises(ImageError, match="no memory for so much"):
        read_picture(path).pixels[...]


def test_damage_is_not_looked_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plain(tmp_path / "a.zarr", values(24, 24))
    array = read_picture(path).pixels
    array[0, 0]
    monkeypatch.setattr(type(array._opened), "__getitem__", lambda *_: (_ for _ in ()).throw(OSError("gone")))
    huge = ((0, 2**40), (0, 2**40))
    assert "chunk 'c/0/0'" in str(array._broken(array._opened, huge, OSError("gone")))
    monkeypatch.setattr(type(array._opened), "__getitem__", lambda *_: 0)
    assert "gone" in str(array._broken(array._opened, huge, OSError("gone")))


AXES = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
DATASET = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}
IMAGE = {"version": "0.5", "multiscales": [{"axes": AXES, "datasets": [DATASET]}]}


def with_image(**changes: Any) -> dict[str, Any]:
    return IMAGE | {"multiscales": [IMAGE["multiscales"][0] | changes]}


def with_scale(scale: Any) -> dict[str, Any]:
    return with_image(datasets=[DATASET | {"coordinateTransformations": [{"type": "scale", "scale": scale}]}])


@pytest.mark.parametrize(
    ("ome", "said"),
    [
        (5, "'ome' must be an object"),
        ({}, "name an array in it, such as"),
        ({"multiscales": "many"}, "'multiscales' must be a list"),
        ({"multiscales": [1]}, "'multiscales' must be a list"),
        ({"multiscales": []}, "holds 0 images"),
        (IMAGE | {"multiscales": IMAGE["multiscales"] * 2}, "holds 2 images"),
        (IMAGE | {"version": "7.1"}, "version '7.1' isn't known"),
        (with_image(datasets=[]), "path of the finest level"),
        (with_image(datasets=3), "'datasets' must be a list"),
        (with_image(datasets=[{"path": "../a.zarr/0"}]), "path of the finest level"),
        (with_image(datasets=[{"path": "."}]), "path of the finest level"),
        (with_image(datasets=[{"path": "/etc"}]), "path of the finest level"),
        (with_image(datasets=[{"path": "none"}]), "finest level 'none' is missing"),
        (with_image(datasets=[{"path": "group"}]), "finest level 'group' is no array"),
        (with_image(axes=AXES[:1]), "needs as many in 'axes'"),
        (with_image(axes=[AXES[0]] * 2), "axes must be different"),
        (with_image(axes=[{"name": "row-yx", "type": "space"}, *AXES[1:]]), "axes must be different"),
        (with_image(axes={"y": 1}), "'axes' must be a list"),
        (with_scale([1]), "must have 2 numbers"),
        (with_scale(["a", "b"]), "must have 2 numbers"),
        (with_scale([1, float("nan")]), "must have 2 numbers"),
        (with_scale([1, 0]), "can't be 0"),
        (with_scale(None), "must have 2 numbers"),
        (with_image(coordinateTransformations=[{"type": "rotation"}]), "a scale or a translation"),
        ({"plate": {"wells": [{"path": "B/7"}, {"path": "B/8"}]}}, "plate of 2 wells.*B/7/0"),
        ({"plate": []}, "plate of 0 wells"),
        ({"well": {"images": [{"path": "3"}]}}, "well of 1 images.*/3'"),
        (IMAGE | {"image-label": {}}, "labels"),
        ({"labels": ["cells"]}, "labels"),
        ({"bioformats2raw.layout": 3}, "collection of images"),
    ],
)
def test_metadata_that_claims_something_else_is_one_line(ome: Any, said: str, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    group.create_array("0", shape=(9, 9), chunks=(9, 9), dtype="u1")
    group.create_group("group")
    path = tmp_path / "a.zarr" / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attributes": {"ome": ome}}))
    with pytest.raises(ImageError, match=said) as error:
        check_source(tmp_path / "a.zarr")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "{}", '{"zarr_format": 3, "node_type": "abacus"}', "[" * 100_000, '{"zarr_format": 99}']
)
@pytest.mark.parametrize("name", ["zarr.json", ".zarray", ".zgroup"])
def test_metadata_that_is_none_is_one_line(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / name).write_text(text)
    with pytest.raises(ImageError, match=re.escape(str(tmp_path / "a.zarr"))) as error:
        check_source(tmp_path / "a.zarr")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": [10**30, 10**30]}, "more than any disk can hold"),
        ({"shape": [0, 9]}, "has no pixels"),
        ({"shape": [9]}, "read"),
        ({"shape": [-4, 9]}, "read"),
        ({"shape": "large"}, "read"),
        ({"data_type": "complex64", "fill_value": [0, 0]}, "can't be 'complex64'"),
        ({"data_type": "abacus"}, "abacus"),
        ({"codecs": [{"name": "abacus"}]}, "abacus"),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**9, 10**9]}}}, "of memory"),
        # zarr 3.4 warns of it, which is an error here, and reads chunks of 1 x 1.
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 0]}}}, "no pixels|chunk shape"),
    ],
)
def test_an_array_that_no_machine_can_read_is_one_line(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = plain(tmp_path / "a.zarr", values(9, 9)) / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ImageError, match=said) as error:
        check_source(tmp_path / "a.zarr")
    assert "\n" not in str(error.value)


def test_what_is_stored_is_never_run(tmp_path: Path) -> None:
    class Program:
        def __reduce__(self) -> Any:
            return (tmp_path / "ran").touch, ()

    path = plain(tmp_path / "a.zarr", values(8, 8), zarr_format=2, compressors=None) / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"compressor": {"id": "pickle"}}))
    (tmp_path / "a.zarr" / "0.0").write_bytes(pickle.dumps(Program()))
    with pytest.raises(ImageError, match="pickle"):
        read_picture(tmp_path / "a.zarr").pixels[0]
    assert not (tmp_path / "ran").exists()


def test_metadata_without_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    with (tmp_path / "a.zarr" / "zarr.json").open("wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(ImageError, match="longer than 64 MiB"):
        check_source(tmp_path / "a.zarr")


def test_an_image_larger_than_memory_is_read_by_region(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    array = zarr.create_array(str(path), shape=(30_000, 30_000), chunks=(500, 500), dtype="u2", fill_value=3)
    array[10_100:10_300, 20_200:20_400] = 9
    program = """
        import sys
        from esc_plugin.batch.checks import check_source
        from esc_plugin.batch.find import find_images
        from esc_plugin.files import read_picture
        (found,) = find_images(sys.argv[1:])
        check_source(found.path)
        pixels = read_picture(found.path, lazy=True).pixels
        part = pixels[10_000:11_000, 20_000:21_000]
        print(pixels.shape, part.shape, int(part.astype(int).sum()), sorted(set(map(int, pixels[29_999]))))
    """
    said = run_confined(program, path, memory=3 * 2**29)
    assert said.split("\n")[0] == f"(30000, 30000) (1000, 1000) {3 * 10**6 + 6 * 200 * 200} [3]"


def test_averages_are_compared_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bands:
        """Rows of which never more than some are read at once."""

        def __init__(self, array: np.ndarray) -> None:
            self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim

        def __getitem__(self, index: Any) -> np.ndarray:
            part = self.array[index]
            assert part.size <= 2_000
            return part

    pixels = values(2, 41, 30)
    for size in ((82, 60), (103, 75), (41, 30)):
        large = values(2, *size)
        monkeypatch.undo()
        wanted = check_agreement(pixels, large, "CYX")
        monkeypatch.setattr("esc_plugin.arrays.consistency.READ_VALUES", 700)
        found = check_agreement(Bands(pixels), Bands(large), "CYX")
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose([a.bias, a.rms, a.worst, a.mean], [b.bias, b.rms, b.worst, b.mean], rtol=1e-12)


def test_pairs_are_checked(esc: Callable[..., str], tmp_path: Path) -> None:
    pixels = values(2, 3, 20, 30)
    before = save(tmp_path / "a.ome.zarr", pixels)
    after = save(tmp_path / "b.ome.zarr", pixels.repeat(2, 2).repeat(2, 3), "0.4")
    found = json.loads(esc("check", before, after, "--json"))
    assert [(entry["channel"], entry["worst"]) for entry in found] == [(0, 0.0), (1, 0.0), (2, 0.0)]
    assert "no upscaled version" in esc("check", after, before, code=1)


def test_a_zarr_is_compared_and_judged(esc: Callable[..., str], tmp_path: Path) -> None:
    axes = Axes("cyx", (1.0,) * 3, (0.0,) * 3, ("pixel",) * 3)
    (tmp_path / "in").mkdir()
    save_image(tmp_path / "in" / "a.ome.zarr", values(3, 40, 48, dtype="u1"), axes)
    esc("compare", tmp_path / "in" / "a.ome.zarr", "-o", tmp_path / "c.png")
    assert (tmp_path / "c.png").is_file()
    pytest.importorskip("skimage", reason="needs scikit-image for SSIM")
    assert "a.ome" in esc("evaluate", "esc-nano-x2", tmp_path / "in")
    save_image(tmp_path / "b.ome.zarr", values(4, 40, 48, dtype="u1"), axes)
    assert "pictures of one plane" in esc("compare", tmp_path / "b.ome.zarr", "-o", tmp_path / "d.png", code=1)


@pytest.mark.parametrize("nested", [False, True])
def test_shards_of_millions_of_chunks(tmp_path, nested):
    """The index of such a shard would take a gigabyte, for an image of 9 x 12 pixels."""
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=(9, 12), dtype="uint8", chunks=(3, 4), shards=(9, 12))
    array[...] = 7
    tree = json.loads((tmp_path / "a.zarr/zarr.json").read_text())
    large, sharding = [3 * 2**24, 12], tree["codecs"][0]
    tree["chunk_grid"]["configuration"]["chunk_shape"] = large
    if nested:
        tree["codecs"] = [
            {**sharding, "configuration": sharding["configuration"] | {"chunk_shape": large, "codecs": [sharding]}}
        ]
    (tmp_path / "a.zarr/zarr.json").write_text(json.dumps(tree))
    with pytest.raises(ImageError, match=r"its shards claim to have [0-9,]+ chunks each"):
        read_picture(tmp_path / "a.zarr")
