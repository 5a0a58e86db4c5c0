"""Channels written together into one OME-Zarr or OME-TIFF: what they say, how they are filled, and what a failure leaves."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from esc_plugin import Cancelled, ImageError, Upscaler, load_model
from esc_plugin.arrays.pyramid import halved
from esc_plugin.files import read_picture, read_provenance, write_picture
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_image import new_image, save_image
from esc_plugin.files.ome_layers import Layer, join, save_layers
from esc_plugin.files.ome_notes import Channel
from esc_plugin.provenance import facts_of, joined, record_of_command, words_of

NAMES = ["a.ome.zarr", "a.ome.tif"]
UNITS = ("micrometer",) * 3
#: Two planes, 0.5 um apart, somewhere on the stage.
STACK = Axes("zyx", (0.5, 0.2, 0.1), (10.0, 20.0, 30.0), UNITS)
CHANNELS = [Channel("DAPI", (0.0, 0.0, 1.0), (10.0, 900.0)), Channel("GFP <1>", (0.0, 1.0, 0.0), (0.0, 4000.0))]
ABOUT = {"model": "toy", "sha256": "ab12", "model_scale": 2, "size": [40, 50], "precision": "float32", "torch": "9.9"}
RECORD = record_of_command("upscale", **ABOUT, levels=[[10.0, 900.0]])


def pixels(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, shape).astype(dtype)


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    if "zarr" in request.node.name:
        pytest.importorskip("yaozarrs", reason="needs yaozarrs for OME-Zarr's metadata")
        pytest.importorskip("zarr", reason="needs zarr")


def layer(index: int = 0, image: np.ndarray | None = None, **changes: Any) -> Layer:
    image = pixels(2, 40, 50) if image is None else image
    return replace(Layer(image + np.uint16(index), STACK, CHANNELS[index], record=RECORD), **changes)


def ome(path: Path) -> Any:
    """Return what an OME-TIFF says of itself."""
    with tifffile.TiffFile(path) as file:
        return tifffile.xml2dict(file.ome_metadata or "")["OME"]


@pytest.mark.parametrize("name", NAMES)
def test_layers_become_channels_with_all_that_they_say(name: str, tmp_path: Path) -> None:
    layers = [layer(0), layer(1)]
    save_layers(tmp_path / name, layers)
    found = read_picture(tmp_path / name)
    assert (found.axes, found.pixels.shape) == ("CZYX", (2, 2, 40, 50))
    for i, one in enumerate(layers):
        np.testing.assert_array_equal(np.asarray(found.pixels[i]), one.pixels)
    assert found.ome is not None
    assert found.ome.name == "a"
    assert [channel.name for channel in found.ome.channels] == ["DAPI", "GFP <1>"]
    assert [channel.color for channel in found.ome.channels] == [(0, 0, 1), (0, 1, 0)]
    assert found.ome.axes == STACK.with_channel(0)
    if name.endswith("zarr"):
        assert [channel.limits for channel in found.ome.channels] == [(10, 900), (0, 4000)]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_every_plane_of_an_ome_tiff_says_where_it_is(tmp_path: Path) -> None:
    axes = Axes("tzcyx", (2.0, 0.5, 1.0, 0.2, 0.1), (0.0, 10.0, 0.0, 20.0, 30.0), ("second", UNITS[0], "pixel", *UNITS[:2]))
    save_image(tmp_path / "a.ome.tif", pixels(2, 3, 2, 8, 9), axes, channels=CHANNELS)
    about = ome(tmp_path / "a.ome.tif")["Image"]["Pixels"]
    assert (about["TimeIncrement"], about["TimeIncrementUnit"]) == (2.0, "s")
    assert len(about["Plane"]) == 12
    for plane in about["Plane"]:
        assert [plane[f"Position{letter}"] for letter in "ZYX"] == [10 + 0.5 * plane["TheZ"], 20, 30]
        assert {plane[f"Position{letter}Unit"] for letter in "ZYX"} == {"µm"}
    assert [channel["Color"] for channel in about["Channel"]] == [65535, 16711935]  # RGBA with a sign
    found = read_picture(tmp_path / "a.ome.tif").ome
    assert found is not None
    assert found.axes == axes


def test_positions_without_a_unit_stay(tmp_path: Path) -> None:
    axes = Axes("yx", (1.0, 1.0), (5.0, -7.0), ("pixel", "pixel"))
    save_image(tmp_path / "a.ome.tif", pixels(8, 9), axes)
    found = read_picture(tmp_path / "a.ome.tif").ome
    assert found is not None
    assert found.axes == axes


@pytest.mark.parametrize("rgb", [False, True])
def test_a_large_ome_tiff_has_the_levels_of_an_ome_zarr(rgb: bool, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    image = pixels(2, 40, 2100, *(3,) * rgb, dtype="uint8")
    save_image(tmp_path / "a.ome.tif", image, STACK, rgb=rgb)
    save_image(tmp_path / "a.ome.zarr", image, STACK, rgb=rgb)
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        (series,) = file.series
        assert [level.shape[:3] for level in series.levels] == [(2, 40, 2100), (2, 20, 1050), (2, 10, 525)]
        assert file.pages.first.is_tiled
        for i, level in enumerate(series.levels):
            stored = np.asarray(group[str(i)][:])
            np.testing.assert_array_equal(level.asarray(), stored.transpose(1, 2, 3, 0) if rgb else stored)


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "int16", "float32", "float64"])
def test_any_type_and_byte_order_stays(dtype: str, tmp_path: Path) -> None:
    image = pixels(3, 600, 530, dtype=dtype)
    save_image(tmp_path / "a.ome.tif", image, STACK)
    with new_image(tmp_path / "b.ome.tif", image.shape, image.dtype, STACK) as stored:
        stored[:] = image
        stored.finish("b")
    for name in "ab":
        found = tifffile.imread(tmp_path / f"{name}.ome.tif")
        assert found.dtype == image.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("in_files", [False, True])
def test_channels_are_filled_one_by_one_while_they_are_made(name: str, in_files: bool, tmp_path: Path) -> None:
    upscaler, sources = Upscaler(load_model("esc-nano-x2"), device="cpu"), [pixels(2, 12, 14), pixels(2, 12, 14) // 2]
    plan = join([layer(i, np.empty((2, 24, 28), np.uint16)) for i in range(2)])
    with new_image(tmp_path / name, plan.pixels.shape, plan.pixels.dtype, plan.axes) as stored:
        if in_files:
            stored.planes_in_files()
        for part, source in zip(plan.parts, sources, strict=True):
            upscaler(source, axes="ZYX", out=stored.channel(part))
            np.testing.assert_array_equal(stored.channel(part)[1, 2:4], upscaler(source, axes="ZYX")[1, 2:4])
        stored.finish("both", channels=plan.channels, record=plan.record([RECORD, None]))
    (finest,) = stored.lazy()
    assert finest.shape == (2, 2, 24, 28)
    for i, source in enumerate(sources):
        np.testing.assert_array_equal(np.asarray(finest[i]), upscaler(source, axes="ZYX"))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_regions_of_channels_go_where_they_belong(name: str, tmp_path: Path) -> None:
    image = pixels(2, 5, 6, 7)
    axes = Axes("tcyx", (1.0,) * 4, (0.0,) * 4, ("pixel",) * 4)
    with new_image(tmp_path / name, image.shape, image.dtype, axes) as stored:
        last, middle = stored.channel(4), stored.channel(slice(1, 4))
        assert (last.shape, middle.shape) == ((2, 6, 7), (2, 3, 6, 7))
        stored[:, 0] = image[:, 0]
        last[0], last[1, 2:], last[1, :2] = image[0, 4], image[1, 4, 2:], image[1, 4, :2]
        for index in np.ndindex(2, 3):
            middle[index] = image[index[0], index[1] + 1]
        np.testing.assert_array_equal(middle[1, 1:, 2:4, :3], image[1, 2:4, 2:4, :3])
        for wrong in (5, slice(3, 3), slice(0, 4, 2)):
            with pytest.raises(ImageError, match=r"there (is no channel|are no channels) .* in an image of 5"):
                stored.channel(wrong)
        stored.finish("a")
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / name).pixels), image)


@pytest.mark.parametrize("shape", [(2100, 30), (1, 2100, 40), (1, 1, 2100, 1, 3), (1, 2100)])
def test_the_levels_of_a_finished_ome_tiff_are_read_lazily(shape: tuple[int, ...], tmp_path: Path) -> None:
    image, rgb = pixels(*shape, dtype="uint8"), len(shape) == 5
    letters = "tzyx"[-(len(shape) - rgb) :]
    axes = Axes(letters, (1.0,) * len(letters), (0.0,) * len(letters), ("pixel",) * len(letters))
    with new_image(tmp_path / "a.ome.tif", image.shape, image.dtype, axes, rgb) as stored:
        stored[...] = image
        stored.finish("a")
    levels = stored.lazy()
    assert len(levels) == 3
    np.testing.assert_array_equal(np.asarray(levels[0]), image)
    plane = image.reshape(-1, *shape[-2 - rgb :])[0]
    np.testing.assert_array_equal(np.asarray(levels[1]).reshape(halved(plane).shape), halved(plane))


def test_layers_that_have_channels_add_all_of_theirs(tmp_path: Path) -> None:
    image = pixels(2, 3, 20, 30)
    axes = Axes("zcyx", (0.5, 1.0, 0.2, 0.1), (10.0, 0.0, 20.0, 30.0), (UNITS[0], "pixel", *UNITS[:2]))
    own = record_of_command("upscale", **ABOUT, levels=[[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    many = Layer(image, axes, Channel("many", (1.0, 0.0, 0.0), (0.0, 9.0)), record=own)
    plan = join([layer(0, pixels(2, 20, 30)), many])
    assert plan.parts == [0, slice(1, 4)]
    save_layers(tmp_path / "a.ome.tif", [layer(0, pixels(2, 20, 30)), many])
    found = read_picture(tmp_path / "a.ome.tif")
    assert found.ome is not None
    assert [channel.name for channel in found.ome.channels] == ["DAPI", "many 1", "many 2", "many 3"]
    np.testing.assert_array_equal(found.pixels[1:], image.swapaxes(0, 1))
    levels = [entry["levels"] for entry in read_provenance(tmp_path / "a.ome.tif")["channels"]]
    assert levels == [[[10, 900]], [[0, 1]], [[0, 2]], [[0, 3]]]


def moved(**changes: Any) -> Axes:
    return replace(STACK, **changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pixels": pixels(2, 40, 49)}, r"its shape is \(2, 40, 49\), not \(2, 40, 50\)"),
        ({"pixels": pixels(2, 40, 50, dtype="uint8")}, "its type is uint8, not uint16"),
        ({"axes": moved(letters="tyx")}, "its axes is tyx, not zyx"),
        ({"axes": moved(scale=(0.5, 0.2, 0.2))}, r"its pixel size is \(0.5, 0.2, 0.2\), not \(0.5, 0.2, 0.1\)"),
        ({"axes": moved(translate=(0.0, 20.0, 30.0))}, r"its position is \(0.0, 20.0, 30.0\), not \(10.0, 20.0, 30.0\)"),
        ({"axes": moved(units=("nanometer",) * 3)}, "its units is"),
        ({"pixels": pixels(2, 40, 50, 3), "rgb": True}, r"has colours \(RGB\)"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_layers_that_do_not_fit_are_refused_in_one_line(name: str, changes: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=f"^'GFP <1>' .*{told}[^\n]*\\.$"):
        save_layers(tmp_path / name, [layer(0), layer(1, **changes)])
    assert not list(tmp_path.iterdir())


def test_rounding_does_not_part_layers() -> None:
    near = moved(scale=(0.5, 0.1 + 0.1, 0.3 / 3), translate=(10.0, 20.0 * (1 + 1e-15), 30.0))
    assert len(join([layer(0), layer(1, axes=near)]).channels) == 2


@pytest.mark.parametrize("name", NAMES)
def test_files_say_in_words_that_detail_is_synthetic(name: str, tmp_path: Path) -> None:
    save_layers(tmp_path / name, [layer(0, record=None), layer(1)])
    if name.endswith("zarr"):
        import zarr

        (multiscale,) = zarr.open_group(tmp_path / name, mode="r").attrs["ome"]["multiscales"]
        words = multiscale["metadata"]["description"]
    else:
        words = ome(tmp_path / name)["Image"]["Description"]
        (table,) = [ome(tmp_path / name)["StructuredAnnotations"]["MapAnnotation"]]
        assert {entry["K"]: entry["value"] for entry in table["Value"]["M"]}["Model SHA-256"] == "ab12"
    assert words.startswith("Synthetic detail in GFP <1>: made by a network; measure on the original.\n")
    for fact in (
        "Made by (DAPI): another program",
        "Model: toy",
        "Levels: 10 to 900",
        "Survey: exact",
    ):
        assert fact in words
    record = read_provenance(tmp_path / name)
    assert record["channels"][0] == {"channel": "DAPI", "command": None}
    assert record["channels"][1] == {"channel": "GFP <1>"}
    assert {key: record[key] for key in RECORD} == RECORD


def test_an_upscaled_ome_tiff_says_so_once_and_keeps_its_own_description(tmp_path: Path) -> None:
    """Through the command line's way: read, enlarged, written; and again."""
    metadata = {
        "axes": "ZYX",
        "Description": "Slide 7, fixed",
        "MapAnnotation": {"Namespace": "lab", "Value": {"dye": "DAPI"}},
    }
    tifffile.imwrite(tmp_path / "0.ome.tif", pixels(2, 20, 25), ome=True, metadata=metadata)
    for i in range(2):
        picture = read_picture(tmp_path / f"{i}.ome.tif")
        large = picture.enlarged(np.asarray(picture.pixels).repeat(2, 1).repeat(2, 2))
        large.provenance = RECORD | {"model": f"model{i}"}
        write_picture(tmp_path / f"{i + 1}.ome.tif", large)
    about = ome(tmp_path / "2.ome.tif")
    words = about["Image"]["Description"]
    assert words.startswith("Slide 7, fixed\n\nSynthetic detail: made by a network; measure on the original.")
    assert words.count("Synthetic detail") == 1
    assert "Model: model1" in words
    assert [table["Namespace"] for table in about["StructuredAnnotations"]["MapAnnotation"]] == [
        "lab",
        "urn:esc-plugin:1.0/",
    ]
    assert len(about["Image"]["AnnotationRef"]) == 2
    ome_types = pytest.importorskip("ome_types", reason="needs ome-types to check OME-XML against its schema")
    assert ome_types.from_tiff(tmp_path / "2.ome.tif").images[0].pixels.size_x == 100


def test_ome_xml_of_channels_follows_the_schema(tmp_path: Path) -> None:
    ome_types = pytest.importorskip("ome_types", reason="needs ome-types to check OME-XML against its schema")
    save_layers(tmp_path / "a.ome.tif", [layer(0), layer(1, channel=replace(CHANNELS[1], name="bell\a & \x00"))])
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        text = file.ome_metadata or ""
    can_validate = any(importlib.util.find_spec(name) for name in ("lxml", "xmlschema"))
    (image,) = ome_types.from_xml(text, validate=can_validate).images
    assert [channel.name for channel in image.pixels.channels] == ["DAPI", "bell\ufffd & \ufffd"]
    assert [channel.color.as_rgb_tuple()[:3] for channel in image.pixels.channels] == [(0, 0, 255), (0, 255, 0)]
    assert [plane.position_z for plane in image.pixels.planes] == [10.0, 10.5] * 2
    assert image.annotation_refs


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_the_official_models_take_channels_of_zarr(version: str, tmp_path: Path) -> None:
    models = pytest.importorskip("ome_zarr_models", reason="the official models aren't installed")
    import zarr

    save_layers(tmp_path / "a.ome.zarr", [layer(0), layer(1)], version)
    found = models.open_ome_zarr(zarr.open_group(tmp_path / "a.ome.zarr", mode="r")).ome_attributes.model_dump()
    assert [channel["label"] for channel in found["omero"]["channels"]] == ["DAPI", "GFP <1>"]
    assert found["multiscales"][0]["metadata"]["method"] == "esc_plugin.arrays.pyramid.halved"


def test_records_of_channels_share_what_they_share() -> None:
    first, second = RECORD, RECORD | {"levels": [[0.0, 1.0]], "survey": {"method": "sampled", "samples": 4}}
    assert joined([first, first], "ab") == first
    assert joined([None, None], "ab") is None
    both = joined([first, second], ["a", "b"])
    assert both is not None
    assert both["channels"] == [
        {"channel": "a", "levels": [[10.0, 900.0]]},
        {"channel": "b", "levels": [[0.0, 1.0]], "survey": {"method": "sampled", "samples": 4}},
    ]
    facts = facts_of(both)
    assert facts["Model"] == "toy"
    assert (facts["Survey (a)"], facts["Survey (b)"]) == ("exact", "sampled, 4 samples")
    assert facts["Made by"].endswith(", upscale")
    assert words_of(both).startswith("Synthetic detail: made by")


@pytest.mark.parametrize("odd", [{"levels": "none"}, {"levels": [[1]]}, {"size": 3}, {"survey": 7}, {"channels": ["a"]}])
def test_records_of_any_content_have_words(odd: dict[str, Any]) -> None:
    assert "toy" in words_of(RECORD | odd)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("when", ["filled", "finished"])
def test_whoever_cancels_finds_nothing(name: str, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esc_plugin.arrays.pyramid.SMALLEST_LEVEL", 8)
    image = pixels(2, 40, 50)

    def run(cancel: Any) -> None:
        with new_image(tmp_path / name, image.shape, image.dtype, STACK) as stored:
            stored.planes_in_files()[:] = image
            if when == "filled":
                raise Cancelled
            stored.finish("a", cancel=cancel)

    asked = [0]

    def cancel_at(count: int) -> bool:
        asked[0] += 1
        return asked[0] == count

    for count in range(1, 4):
        asked[0] = 0
        with pytest.raises(Cancelled):
            run(lambda at=count: cancel_at(at))
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_what_the_disk_has_no_room_for_is_refused_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esc_plugin.files.room.shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(ImageError, match=r"needs up to .* GB left"), new_image(tmp_path / name, (2, 40, 50), "u2", STACK):
        pytest.fail("there was no room")
    with pytest.raises(ImageError, match=r"needs up to .* GB left"):
        save_layers(tmp_path / name, [layer(0), layer(1)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_new_image_replaces_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(ImageError, match="already something"), new_image(tmp_path / name, (2, 40, 50), "u2", STACK):
        pytest.fail("there is a file")
    (tmp_path / name).unlink()
    with new_image(tmp_path / name, (2, 40, 50), "u2", STACK) as stored:
        (tmp_path / name).write_bytes(b"of another run")
        with pytest.raises(ImageError, match="already something"):
            stored.finish("a")
    assert (tmp_path / name).read_bytes() == b"of another run"
    assert [path.name for path in tmp_path.iterdir()] == [name]


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from esc_plugin import ImageError
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_image import new_image, save_image

path, axes = Path(sys.argv[1]), Axes("zyx", (1.0,) * 3, (0.0,) * 3, ("pixel",) * 3)
image = np.random.default_rng(0).integers(0, 60_000, (2, 300, 300), np.uint16)
def filled():
    with new_image(path, image.shape, image.dtype, axes) as stored:
        stored[:] = image
        stored.finish("a")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for fill in (filled, lambda: save_image(path, image, axes)):
    try:
        fill()
    except ImageError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    command = [sys.executable, "-W", "ignore", "-c", FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"can't write {str(path)!r}: File too large."] * 2, done.stderr
    assert not list(tmp_path.iterdir())
