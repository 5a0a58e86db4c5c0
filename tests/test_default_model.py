"""Which model is taken where none is named: by the kind of picture, by rules that are data, the same in all doors."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from esc_plugin import EscError, HubError, Upscaler, upscale
from esc_plugin.arrays.framing import Framing
from esc_plugin.batch.choice import groups_of, growth
from esc_plugin.batch.find import find_images
from esc_plugin.catalog import menu
from esc_plugin.catalog.by_default import default_model
from esc_plugin.catalog.by_purpose import models_for
from esc_plugin.catalog.purposes import KEYS, purpose_named
from esc_plugin.catalog.traits import PHOTO, Traits
from esc_plugin.files import read_picture, read_provenance
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_image import save_image
from esc_plugin.files.ome_notes import Channel
from esc_plugin.files.traits import traits_of, traits_of_file
from esc_plugin.session.folder import FolderOrder, FolderWork
from esc_plugin.session.task import Settings, Task
from esc_plugin.session.work import run

from .commands import inside_the_test

GRAY = np.random.default_rng(0).integers(0, 256, (12, 14), np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (12, 14, 3), np.uint8)
DEEP, DEEP_RGB = GRAY.astype(np.uint16) * 200, RGB.astype(np.uint16) * 200
REAL, FLUORESCENCE, BRIGHTFIELD = "real photo", "fluorescence", "brightfield"
UM = {"resolution": (1e4 / 0.65, 1e4 / 0.65)}


def tiff(path, pixels, **options):
    tifffile.imwrite(path, pixels, **options)
    return path


def still(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


#: What a file is, how it is written, and what it is taken for.
FILES = {
    "photo.png": (lambda path: still(path, RGB), REAL),
    "photo.jpg": (lambda path: still(path, RGB), REAL),
    "scan.png": (lambda path: still(path, RGB, dpi=(4800, 4800)), REAL),
    "gray.png": (lambda path: still(path, GRAY), REAL),
    "gray.tif": (lambda path: tiff(path, GRAY), REAL),
    "palette.gif": (lambda path: still(path, GRAY), REAL),
    "bits.png": (lambda path: still(path, GRAY > 99), REAL),
    "deep_rgb.tif": (lambda path: tiff(path, DEEP_RGB, photometric="rgb"), REAL),
    "imagej_gray.tif": (lambda path: tiff(path, GRAY, imagej=True), REAL),
    "scan.tif": (lambda path: tiff(path, GRAY, resolution=(4800, 4800), resolutionunit=2), REAL),
    "deep.png": (lambda path: still(path, DEEP), FLUORESCENCE),
    "deep.pgm": (lambda path: still(path, DEEP), FLUORESCENCE),
    "deep.tif": (lambda path: tiff(path, DEEP), FLUORESCENCE),
    "float.tif": (lambda path: tiff(path, GRAY.astype(np.float32)), FLUORESCENCE),
    "channels.tif": (lambda path: tiff(path, np.stack([DEEP, DEEP]), metadata={"axes": "CYX"}), FLUORESCENCE),
    "gray.ome.tif": (lambda path: tiff(path, GRAY), FLUORESCENCE),
    "stack.tif": (lambda path: tiff(path, np.stack([GRAY] * 3), imagej=True, metadata={"axes": "ZYX"}), FLUORESCENCE),
    "imagej_um.tif": (lambda path: tiff(path, GRAY, imagej=True, metadata={"unit": "um"}, **UM), FLUORESCENCE),
    "fine.png": (lambda path: still(path, GRAY, dpi=(40_000, 40_000)), FLUORESCENCE),
    "fine.tif": (lambda path: tiff(path, GRAY, resolutionunit=3, **UM), FLUORESCENCE),
    "stained.ome.tif": (lambda path: tiff(path, RGB, photometric="rgb"), BRIGHTFIELD),
    "stained16.ome.tif": (lambda path: tiff(path, DEEP_RGB, photometric="rgb"), BRIGHTFIELD),
    "slide.tif": (lambda path: tiff(path, RGB, photometric="rgb", description="Aperio Image", metadata=None), BRIGHTFIELD),
}
#: What an array is, its axes, and what it is taken for.
ARRAYS = {
    "photo": (RGB, None, REAL),
    "gray": (GRAY, None, REAL),
    "film": (np.stack([RGB, RGB]), "TYXS", REAL),
    "deep photo": (DEEP_RGB, None, REAL),
    "floating photo": (RGB / np.float32(255), None, REAL),
    "mask": (GRAY > 99, None, REAL),
    "deep": (DEEP, None, FLUORESCENCE),
    "stack": (np.stack([DEEP] * 3), "ZYX", FLUORESCENCE),
    "three channels": (np.stack([DEEP] * 3), "CYX", FLUORESCENCE),
    "floating": (GRAY.astype(np.float64), None, FLUORESCENCE),
}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    place = tmp_path / "models"
    place.mkdir()
    monkeypatch.setenv("ESC_MODELS_DIR", str(place))
    return place


@pytest.fixture
def esc(monkeypatch, capsys):
    return inside_the_test(monkeypatch, capsys)


@pytest.fixture
def offer(monkeypatch, tmp_path):
    """Take other models for ours: ``{"real photo": [2, 4]}``, scales by purpose."""
    rules = yaml.safe_load(menu._our_manifest().read_text(encoding="utf-8"))["defaults"]

    def replaced(made, defaults=rules):
        entries = [
            {
                "name": f"{purpose.split()[0]}-x{scale}",
                "scale": scale,
                "purpose": purpose,
                "bundled": "esc-nano-x2.safetensors",
            }
            for purpose, scales in made.items()
            for scale in scales
        ]
        path = tmp_path / "ours.yaml"
        path.write_text(yaml.safe_dump({"defaults": defaults, "models": entries}))
        monkeypatch.setattr(menu, "_our_manifest", lambda: path)

    return replaced


def bundled(purpose):
    """Return the smallest bundled model of a purpose; brightfield may not be there, and is then a photograph."""
    made = [entry for entry in models_for(purpose) if entry.bundled]
    return min(made, key=lambda entry: entry.scale) if made else bundled(REAL)


def own_rules(folder, *rules):
    (folder / "manifest.yaml").write_text(json.dumps({"defaults": rules}))


# ------------------------------------------------------------------ the rules


@pytest.mark.parametrize(
    ("traits", "wanted"),
    [
        (PHOTO, "real-x2"),
        (Traits(), "real-x2"),
        (Traits(deep=True, colour=True), "real-x2"),
        (Traits(deep=True), "fluorescence-x2"),
        (Traits(microscope=True), "fluorescence-x2"),
        (Traits(deep=True, microscope=True), "fluorescence-x2"),
        (Traits(colour=True, microscope=True), "brightfield-x2"),
        (Traits(deep=True, colour=True, microscope=True), "brightfield-x2"),
    ],
)
def test_the_kind_of_picture_decides(offer, traits, wanted):
    offer({"clean photo": [2, 4], REAL: [2], FLUORESCENCE: [2], BRIGHTFIELD: [2]})
    entry, reason, telling = default_model(traits)
    assert entry.name == wanted
    assert "\n" not in reason
    assert telling == (wanted != "real-x2")


def test_where_a_purpose_has_no_model_the_next_rule_decides(offer):
    offer({"clean photo": [2], REAL: [2], FLUORESCENCE: [2]})
    assert default_model(Traits(colour=True, microscope=True)).entry.name == "real-x2"
    offer({REAL: [2]})
    assert default_model(Traits(deep=True)).entry.name == "real-x2"
    offer({"drawing": [2]})
    with pytest.raises(HubError, match="name one"):
        default_model()


@pytest.mark.parametrize(
    ("scales", "factor", "wanted"),
    [
        ([2, 4], None, 2),
        ([4, 2], 0.5, 2),
        ([2, 4], 2, 2),
        ([2, 4], 2.01, 4),
        ([2, 4], 4, 4),
        ([2, 4], 16, 4),
        ([2], 4, 2),
        ([4], 1.5, 4),
        ([4], None, 4),
    ],
)
def test_the_smallest_scale_that_is_enough_is_taken_and_the_purpose_counts_more(offer, scales, factor, wanted):
    offer({"clean photo": [2, 3, 4], REAL: scales})
    assert default_model(PHOTO, factor).entry.name == f"real-x{wanted}"


def test_a_purpose_that_is_asked_for_counts(offer, folder):
    offer({"clean photo": [2, 4], REAL: [2]})
    assert default_model(Traits(deep=True), 3, "clean").entry.name == "clean-x4"
    with pytest.raises(HubError, match="No model here has learned from drawings"):
        default_model(purpose="drawing")
    mine = {"name": "mine", "scale": 2, "purpose": "drawing", "path": "mine.pth"}
    (folder / "manifest.yaml").write_text(json.dumps({"models": [mine]}))
    with pytest.raises(HubError, match="no model for drawings is on this machine"):
        default_model(purpose="drawing")
    (folder / "mine.pth").write_bytes(b"")
    assert default_model(purpose="drawing").entry.name == "mine"
    assert default_model().entry.name == "real-x2"


def test_the_users_rules_come_before_ours(folder):
    usual = default_model(Traits(deep=True)).entry
    own_rules(folder, {"purpose": "clean photo", "deep": True, "microscope": False})
    assert default_model(Traits(deep=True)).entry == bundled("clean photo")
    assert default_model(Traits(deep=True, microscope=True)).entry == usual
    own_rules(folder, {"purpose": "drawing", "model": "esc-nano-x4", "colour": True})
    assert default_model(PHOTO, 2).entry.name == "esc-nano-x4"
    own_rules(folder, {"purpose": "drawing", "model": "gone"})
    with pytest.raises(EscError, match="names 'gone' among its defaults"):
        default_model()


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("photo", "`defaults` must be a list.*not 'photo'"),
        (["photo"], "default 1: 'photo' is no mapping"),
        ([{"deep": True}], "default 1, field 'purpose': missing"),
        ([{"purpose": REAL}, {"purpose": "cats"}], "default 2, field 'purpose': 'cats' is not one of clean photo"),
        ([{"purpose": REAL, "deep": 16}], "field 'deep': 16 is not true or false"),
        ([{"purpose": REAL, "colors": True}], "field 'colors': unknown; did you mean colour"),
    ],
)
def test_a_damaged_rule_is_an_error_that_names_it(folder, rules, told):
    (folder / "manifest.yaml").write_text(json.dumps({"defaults": rules}))
    with pytest.raises(EscError, match=told):
        default_model()


def test_kinds_of_images_have_short_names():
    short = {"clean": "clean photo", "photo": REAL, "real": REAL, "fluo": FLUORESCENCE, "electron": "electron microscopy"}
    assert {text: purpose_named(text) for text in short} == short
    assert [purpose_named(key) for key in KEYS] == list(KEYS)
    for text in ("", "cats", "photos", "Clean\n", None, 5):
        with pytest.raises(EscError, match="must be one of clean photo"):
            purpose_named(text)


# ------------------------------------------------------------------ arrays


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name, caplog, monkeypatch):
    pixels, axes, purpose = ARRAYS[name]
    caplog.set_level(logging.INFO, "esc_plugin.upscaler")
    monkeypatch.setattr("esc_plugin.upscaler.Upscaler", lambda model: lambda image, axes: model)
    entry = bundled(purpose)
    assert upscale(pixels, axes=axes) == entry.name
    assert f"{entry.name} is taken: " in caplog.text


def test_a_purpose_in_python():
    np.testing.assert_array_equal(
        upscale(DEEP, purpose="clean", size=(40, 40)), Upscaler("esc-nano-x4")(DEEP, size=(40, 40))
    )
    with pytest.raises(EscError, match="'clean', would choose one; leave one of them out"):
        upscale(GRAY, "esc-nano-x2", purpose="clean")
    with pytest.raises(EscError, match="must be one of clean photo"):
        upscale(GRAY, purpose="cats")


def test_a_region_with_a_survey_has_the_model_of_the_survey():
    survey = Upscaler("esc-nano-x4").survey(GRAY)
    part = upscale(GRAY, region=((3, 9), (4, 12)), survey=survey)
    np.testing.assert_array_equal(part, upscale(GRAY, "esc-nano-x4")[3:9, 4:12])


@pytest.mark.parametrize(("pixels", "purpose"), [(RGB, REAL), (DEEP, FLUORESCENCE)])
def test_a_region_has_the_model_of_the_whole(pixels, purpose):
    part = upscale(pixels, region=((3, 9), (4, 12)))
    np.testing.assert_array_equal(part, Upscaler(bundled(purpose).name)(pixels)[3:9, 4:12])


# ------------------------------------------------------------------ files


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_told_without_being_decoded_as_when_it_is_read(name, tmp_path):
    write, purpose = FILES[name]
    path = write(tmp_path / name)
    traits, size = traits_of_file(path)
    picture = read_picture(path)
    assert (traits, size) == (traits_of(picture), picture.size)
    assert default_model(traits).entry == bundled(purpose)


@pytest.mark.parametrize(
    ("pixels", "axes", "purpose"),
    [(GRAY, "YX", FLUORESCENCE), (np.stack([GRAY] * 2), "CYX", FLUORESCENCE), (RGB, "YXS", BRIGHTFIELD)],
)
def test_ome_zarr(pixels, axes, purpose, tmp_path):
    pytest.importorskip("zarr", minversion="3")
    letters = axes.removesuffix("S").lower()
    about = Axes(letters, (1.0,) * len(letters), (0.0,) * len(letters), ("pixel",) * len(letters))
    channels = (Channel(limits=(0, 255)),) if "S" in axes else ()
    save_image(tmp_path / "a.ome.zarr", pixels, about, rgb="S" in axes, channels=channels)
    assert default_model(traits_of_file(tmp_path / "a.ome.zarr")[0]).entry == bundled(purpose)


def test_a_turned_photo_grows_as_one_sees_it(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    assert traits_of_file(tmp_path / "a.jpg")[1] == (14, 12)
    assert growth(Framing(width=24), (14, 12)) == 2
    assert growth(Framing(), (14, 12)) is None


def test_images_are_put_together_by_their_model_and_what_is_damaged_is_a_photo(tmp_path):
    still(tmp_path / "a.png", RGB), still(tmp_path / "b.png", DEEP), still(tmp_path / "d.png", DEEP)
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    groups = groups_of(find_images([tmp_path]), None, Framing())
    assert {group.name: [image.path.name for image in group.images] for group in groups} == {
        bundled(REAL).name: ["a.png", "c.png"],
        bundled(FLUORESCENCE).name: ["b.png", "d.png"],
    }
    assert groups[0].note == ""
    assert groups[1].note.startswith(f"{tmp_path / 'b.png'} and 1 more: {bundled(FLUORESCENCE).name} is taken, since images")


# ------------------------------------------------------------------ the command line


@pytest.mark.parametrize("name", ["photo.png", "gray.png", "deep.png", "gray.ome.tif", "stained.ome.tif"])
def test_the_command_line_takes_it_says_so_and_writes_it_down(name, tmp_path, esc):
    write, purpose = FILES[name]
    said = " ".join(esc("upscale", write(tmp_path / name), "-o", tmp_path / f"out_{name}").split())
    record, entry = read_provenance(tmp_path / f"out_{name}"), bundled(purpose)
    assert record["model"] == entry.name
    assert record["model_choice"].endswith("photos" if entry == bundled(REAL) else "images")
    assert (f"{entry.name} is taken, since images with" in said) == (entry.purpose != REAL)
    if entry.purpose != REAL:
        assert "--for photo or --model NAME takes another" in said


@pytest.mark.parametrize(
    ("options", "model"),
    [
        (["--for", "clean"], "esc-nano-x2"),
        (["--for", "clean photo", "-s", "3"], "esc-nano-x4"),
        (["-m", "esc-nano-x4"], "esc-nano-x4"),
    ],
)
def test_another_is_a_word_away(options, model, tmp_path, esc):
    said = esc("upscale", still(tmp_path / "a.png", DEEP), "-o", tmp_path / "b.png", *options)
    record = read_provenance(tmp_path / "b.png")
    assert record["model"] == model
    assert ("model_choice" in record) == ("--for" in options)
    assert "note" not in said


def test_a_folder_of_several_kinds(tmp_path, esc):
    place = tmp_path / "images"
    place.mkdir()
    still(place / "a.png", RGB), still(place / "b.png", DEEP), still(place / "c.png", DEEP)
    said = esc("upscale", place, "-o", f"{tmp_path}/out/{{model}}_{{stem}}.{{ext}}")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{bundled(REAL).name}_a.png",
        f"{bundled(FLUORESCENCE).name}_b.png",
        f"{bundled(FLUORESCENCE).name}_c.png",
    }
    assert " ".join(said.split()).count("is taken, since") == 1
    assert "3 upscaled, 0 skipped, 0 failed" in said
    esc("upscale", place, "-o", tmp_path / "one.png", code=1)
    assert not (tmp_path / "one.png").exists()


def test_a_survey_and_a_store_have_the_model_of_the_whole_image(tmp_path, esc):
    pytest.importorskip("zarr", minversion="3")
    path = tiff(tmp_path / "a.tif", DEEP)
    assert "is taken, since" in " ".join(esc("survey", path, "-o", tmp_path / "s.json").split())
    assert json.loads((tmp_path / "s.json").read_text())["model"] == bundled(FLUORESCENCE).name
    esc("upscale", path, "--survey", tmp_path / "s.json", "--region", "0:4,0:6", "-o", tmp_path / "part.tif")
    esc("upscale", path, "-o", tmp_path / "all.ome.zarr")
    record = read_provenance(tmp_path / "all.ome.zarr")
    assert record["model"] == bundled(FLUORESCENCE).name
    assert "fluorescence" in record["model_choice"]
    whole = np.asarray(read_picture(tmp_path / "all.ome.zarr").pixels)
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "part.tif").pixels), whole[:4, :6])


def test_a_comparison_of_a_reduced_picture_is_one_of_clean_photos(tmp_path, esc):
    path = still(tmp_path / "a.png", RGB)
    for options, model in ((["--degrade", "bicubic", "-s", "4"], "esc-nano-x4"), (["-s", "2"], bundled(REAL).name)):
        esc("compare", path, "-o", tmp_path / f"{model}.png", *options)
        assert read_provenance(tmp_path / f"{model}.png")["model"] == model
    with Image.open(tmp_path / "esc-nano-x4.png") as clean, Image.open(tmp_path / f"{bundled(REAL).name}.png") as real:
        assert clean.size != real.size


# ------------------------------------------------------------------ sessions


def test_a_folder_in_a_session(tmp_path):
    place = tmp_path / "images"
    place.mkdir()
    still(place / "a.png", RGB), still(place / "b.png", DEEP)
    work = FolderWork(FolderOrder((str(place),), Settings("", (2, 2), device="cpu"), str(tmp_path / "out/")))
    shares = []
    work.run(lambda done, total: shares.append(done / total))
    found = {Path(job.source).name: read_provenance(Path(job.target)) for job in work.summary.done}
    assert {name: record["model"] for name, record in found.items()} == {
        "a.png": bundled(REAL).name,
        "b.png": bundled(FLUORESCENCE).name,
    }
    assert all(record["model_choice"] for record in found.values())
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_the_reason_of_a_task_is_in_its_record():
    entry, reason, _ = default_model(Traits(deep=True))
    for told in ("", reason):
        task = Task([DEEP], "YX", (slice(0, 12), slice(0, 14)), Settings(entry.name, (2, 2), device="cpu", reason=told))
        assert run(task).record.get("model_choice", "") == told
