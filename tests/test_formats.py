"""The table of formats: a new one is an entry, and nothing else has to know of it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from esc_plugin import ImageError
from esc_plugin.batch.batch import Batch
from esc_plugin.batch.checks import check_exact, check_source
from esc_plugin.batch.find import find_images
from esc_plugin.batch.jobs import Job, plan_jobs
from esc_plugin.files import Picture, check_target, read_picture, read_provenance, write_picture
from esc_plugin.files.format import HEAD_BYTES, Format
from esc_plugin.files.formats import FORMATS, writable_suffixes
from esc_plugin.files.tiff import TIFF
from esc_plugin.files.tiff_notes import TiffNotes

from .small import nearest_upscaler
from .test_batch import run, tree

HEADER = struct.Struct(">4sIII")


def read_toy(path: Path, max_pixels: int) -> Picture:
    data = path.read_bytes()
    _, height, width, length = HEADER.unpack_from(data)
    pixels = np.frombuffer(data, np.uint8, height * width, HEADER.size + length).reshape(height, width)
    return Picture(pixels, "YX", "TOY", xmp=packet_of_toy(path))


def packet_of_toy(path: Path) -> bytes | None:
    data = path.read_bytes()
    return data[HEADER.size :][: HEADER.unpack_from(data)[3]] or None


def write_toy(file: IO[bytes], picture: Picture, quality: int | None = None) -> None:
    packet = picture.packet or b""
    file.write(HEADER.pack(b"TOY!", *picture.size, len(packet)) + packet + np.ascontiguousarray(picture.pixels).tobytes())


#: As CONTRIBUTING.md says: one file with this in it, and one line of the table.
TOY = Format(
    "TOY",
    (".toy", ".toi"),
    starts=re.compile(rb"TOY!"),
    read=read_toy,
    packet=packet_of_toy,
    write=write_toy,
    dtypes=("uint8",),
    axes=("YX",),
    alpha=False,
    largest_side=1000,
    exact=True,
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esc_plugin.files.formats.FORMATS", [*FORMATS, TOY])


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder with one image in the new format."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5)).astype(np.uint8)
    with (tmp_path / "a.toy").open("wb") as file:
        write_toy(file, Picture(pixels, "YX", "TOY"))
    return tmp_path / "a.toy"


@pytest.mark.usefixtures("toy")
def test_a_new_format_goes_through_the_command_line(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = image.parent
    assert run("upscale", folder, "--consistency", monkeypatch=monkeypatch) == 0
    assert run("upscale", folder, monkeypatch=monkeypatch) == 1  # it is there already, and is none of the images
    assert run("upscale", image, "--format", "png", monkeypatch=monkeypatch) == 0
    assert run("upscale", folder / "a_x2.png", "-o", folder / "b.toi", "-s", "1", monkeypatch=monkeypatch) == 0
    assert tree(folder) == ["a.toy", "a_x2.png", "a_x2.toy", "b.toi"]
    wanted = read_picture(image).pixels.repeat(2, 0).repeat(2, 1)
    for name in ("a_x2.toy", "a_x2.png", "b.toi"):
        np.testing.assert_array_equal(read_picture(folder / name).pixels, wanted)
        assert read_provenance(folder / name)["command"] == "upscale"


def test_an_unknown_format_is_refused_by_its_name_and_by_its_content(image: Path) -> None:
    with pytest.raises(ImageError, match="no images in"):
        find_images([image.parent])
    with pytest.raises(ImageError, match=r"starts like none of PNG, JPEG, .*TIFF"):
        check_source(image)
    with pytest.raises(ImageError, match=r"suffix must be one of \.png, .*\.tiff"):
        check_target(Path("a.toy"), Picture(np.zeros((4, 5), np.uint8), "YX", "PNG"), (4, 5))


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("shape", "axes", "dtype", "message"),
    [
        ((4, 5), "YX", np.uint16, r"TOY can't hold uint16 values; write \.png or \.tif or \.zarr\."),
        ((4, 5), "YX", np.float32, r"TOY can't hold float32 values; write \.tif or \.zarr\."),
        ((4, 5, 3), "YXS", np.uint8, r"the axes 'YXS'; write \.png or \.jpg or \.webp or \.avif or \.tif or \.zarr\."),
        ((4, 1001), "YX", np.uint8, "1001 x 4 pixels, only 1000 a side"),
    ],
)
def test_what_it_cannot_hold_is_said_before_the_work(shape: Any, axes: str, dtype: Any, message: str) -> None:
    with pytest.raises(ImageError, match=f"^can't write 'a.toy': .*{message}"):
        check_target(Path("a.toy"), Picture(np.zeros(shape, dtype), axes, "TIFF"), shape)


@pytest.mark.usefixtures("toy")
def test_what_it_has_no_place_for_is_named(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a prompt")
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.png", pnginfo=text, dpi=(99, 99))
    result = Batch(nearest_upscaler()).upscale_file(Job(tmp_path / "a.png", tmp_path / "a.toy"))
    assert result.notes == ["TOY has no place for its text, resolution"]


def test_only_formats_that_keep_every_value_keep_averages() -> None:
    for suffix in writable_suffixes():
        job = Job(Path("a.png"), Path(f"b{suffix}"))
        if suffix in (".png", ".tif", ".tiff", ".zarr"):
            check_exact([job])
            continue
        with pytest.raises(
            ImageError, match="would lose the averages that consistency keeps; write png or tif or zarr, not"
        ):
            check_exact([job])


@pytest.mark.parametrize("form", [form for form in FORMATS if form.write], ids=lambda form: form.name)
def test_every_entry_says_what_is_true(form: Format, tmp_path: Path) -> None:
    """Whatever an entry says that it can hold is written, told by its content alone, and read again."""
    for axes in form.axes or ("YX", "YXS", "TYX"):
        for dtype in form.dtypes or ("bool", "uint8", "uint16", "float32"):
            shape = {"YX": (6, 7), "YXS": (6, 7, 4 if form.alpha else 3), "TYX": (2, 6, 7)}[axes]
            if dtype == "bool" and axes == "YXS":
                continue
            pixels = np.random.default_rng(0).random(shape) * 200 + 50
            picture = Picture(pixels.astype(dtype), axes, form.name)
            path = tmp_path / f"a{form.suffixes[0]}"
            write_picture(path, picture)
            path = path.rename(tmp_path / "nameless")
            again = read_picture(path)
            assert (again.format, again.size) == (form.name, picture.size)  # some make colours of gray
            assert [other.name for other in FORMATS if other.starts.match(path.read_bytes()[:HEAD_BYTES])] == [form.name]
            if form.exact:
                np.testing.assert_array_equal(again.pixels, picture.pixels)


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Let the system refuse what would make a file larger."""
    resource = pytest.importorskip("resource", reason="needs limits as POSIX has them")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("axes", ["YX", "YXS", "TYX"])
@pytest.mark.parametrize("form", [form for form in FORMATS if form.write], ids=lambda form: form.name)
def test_a_disk_that_takes_all_but_the_end_is_heard(form: Format, axes: str, tmp_path: Path) -> None:
    """The C library keeps the last bytes for later, and who writes by it may not ask whether they could be written."""
    if form.axes and axes not in form.axes:
        pytest.skip(f"{form.name} has no {axes}")
    shape = {"YX": (90, 80), "YXS": (90, 80, 3), "TYX": (3, 90, 80)}[axes]
    picture = Picture(np.random.default_rng(0).integers(0, 256, shape, np.uint8), axes, form.name)
    if form is TIFF:
        picture = replace(picture, tiff=TiffNotes("plain", options={"byteorder": "<"}))  # not compressed
    path = tmp_path / f"a{form.suffixes[0]}"
    write_picture(path, picture)
    whole = path.read_bytes()
    for missing in (1, 9, 300, 2000, len(whole) // 2):
        with no_file_above(len(whole) - missing), pytest.raises(ImageError, match="File too large"):
            write_picture(path, picture)
        assert [place.read_bytes() for place in tmp_path.iterdir()] == [whole]


def test_a_name_that_is_only_a_suffix_is_none() -> None:
    with pytest.raises(ImageError, match=r"can't write '\.png'"):
        write_picture(Path(".png"), Picture(np.zeros((4, 5), np.uint8), "YX", "PNG"))


def test_the_convention_of_ome_holds_for_tiff_alone(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.OME.tif", np.zeros((4, 5), np.uint8))
    found = find_images([tmp_path])
    for suffix, wanted in ((None, "a_x2.OME.tif"), (".tiff", "a_x2.OME.tiff"), (".png", "a.OME_x2.png")):
        (job,) = plan_jobs(found, None, "nano", "2", suffix)
        assert job.target.name == wanted
