"""Files in, files out: what they carry, read back with other programs than the one that wrote it."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from esc_plugin import ImageError
from esc_plugin.arrays.framing import Framing
from esc_plugin.batch.batch import Batch
from esc_plugin.batch.jobs import Job
from esc_plugin.files import Picture, check_target, empty_array, read_picture, write_picture

from .small import nearest_upscaler

cv2 = pytest.importorskip("cv2", reason="needs OpenCV as another reader: pip install opencv-python-headless")
NEAREST = nearest_upscaler()
#: Without the EXIF of a photograph, what a converter could lose without being noticed.
EXIF_TAGS = {
    "IFD0:Make": "Maker",
    "IFD0:Model": "Model X",
    "IFD0:Artist": "Ada",
    "IFD0:Copyright": "CC0",
    "ExifIFD:DateTimeOriginal": "2024:05:06 07:08:09",
    "ExifIFD:LensModel": "50mm",
    "ExifIFD:ISO": 400,
    "ExifIFD:UserComment": "a comment",
    "GPS:GPSLatitudeRef": "N",
    "GPS:GPSLatitude": 47.25,
}


def noise(shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
    limits = (0, 1) if np.dtype(dtype).kind in "fb" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    random = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return random.random(shape).astype(dtype)
    return random.integers(*limits, shape, np.uint8 if np.dtype(dtype).kind == "b" else dtype, True).astype(dtype)


def large(image: np.ndarray, axes: str = "YX") -> np.ndarray:
    return image.repeat(2, axes.index("Y")).repeat(2, axes.index("X"))


def upscaled(source: Path, suffix: str | None = None, **options: Any) -> Path:
    target = source.with_name(f"out{suffix or source.suffix}")
    Batch(NEAREST, overwrite=True, **options).upscale_file(Job(source, target))
    assert sorted(p.name for p in source.parent.iterdir() if p.name.startswith(".")) == []
    return target


def exiftool(path: Path) -> dict[str, Any]:
    """Return what exiftool reads, as numbers where it can."""
    if not shutil.which("exiftool"):
        pytest.skip("needs exiftool as another reader")
    done = subprocess.run(["exiftool", "-j", "-n", "-G1", str(path)], capture_output=True, check=True)
    return json.loads(done.stdout)[0]


def tag_with_exiftool(path: Path, *arguments: str) -> None:
    if not shutil.which("exiftool"):
        pytest.skip("needs exiftool as another writer")
    subprocess.run(["exiftool", "-q", "-n", "-overwrite_original", *arguments, str(path)], check=True)


def magick(path: Path, *arguments: str, form: str) -> bytes:
    """Let ImageMagick convert a file."""
    program = shutil.which("magick") or shutil.which("convert")
    if not program:
        pytest.skip("needs ImageMagick as another reader")
    return subprocess.run([program, str(path), *arguments, form], capture_output=True, check=True).stdout


@cache
def profile() -> bytes:
    """Return a profile that isn't sRGB, so that a reader's default can't be mistaken for it."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_depth_and_samples_as_opencv_sees_them(tmp_path: Path, dtype: Any, samples: int, suffix: str) -> None:
    image = noise((9, 11, samples)[: 2 if samples == 1 else 3], dtype)
    if samples == 4:
        image[..., 3] = np.iinfo(dtype).max
    source = tmp_path / f"in{suffix}"
    cv2.imwrite(str(source), image)
    out = cv2.imread(str(upscaled(source)), cv2.IMREAD_UNCHANGED)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, large(image))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "1"])
def test_png_as_imagemagick_sees_it(tmp_path: Path, mode: str) -> None:
    shape = (7, 6) if mode in ("L", "I;16", "1") else (7, 6, len(mode))
    image = noise(shape, {"I;16": np.uint16, "1": bool}.get(mode, np.uint8))
    if mode.endswith("A"):
        image[..., -1] = 255
    Image.fromarray(image).save(tmp_path / "in.png")
    out = upscaled(tmp_path / "in.png")
    depth = {"I;16": 16}.get(mode, 8)
    kinds = {"L": "gray:-", "I;16": "gray:-", "1": "gray:-", "RGB": "rgb:-"}
    raw = magick(out, "-depth", str(depth), "-endian", "LSB", form=kinds.get(mode, "rgba:-"))
    values = np.frombuffer(raw, "<u2" if depth == 16 else "u1").reshape(14, 12, -1)
    wanted = large(image.astype(np.uint8) * 255 if mode == "1" else image).reshape(14, 12, -1)
    wanted = wanted[..., [0, 0, 0, 1]] if mode == "LA" else wanted
    np.testing.assert_array_equal(values, wanted)


def test_gray_with_transparency_of_16_bits(tmp_path: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason="needs imagecodecs for PNG with 16 bits of colour")
    image = noise((6, 5, 2), np.uint16)
    image[..., 1] = 65535
    (tmp_path / "in.png").write_bytes(imagecodecs.png_encode(image))
    raw = magick(upscaled(tmp_path / "in.png"), "-depth", "16", "-endian", "LSB", form="rgba:-")
    values = np.frombuffer(raw, "<u2").reshape(12, 10, 4)
    np.testing.assert_array_equal(values, large(image)[..., [0, 0, 0, 1]])


def test_one_color_of_16_bits_that_is_transparent(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="needs imagecodecs for PNG with 16 bits of colour")
    image = noise((4, 4, 3), np.uint16)
    cv2.imwrite(str(tmp_path / "plain.png"), image[..., ::-1])
    data = (tmp_path / "plain.png").read_bytes()
    key = struct.pack(">3H", *image[1, 2])
    chunk = struct.pack(">I", 6) + b"tRNS" + key + struct.pack(">I", zlib.crc32(b"tRNS" + key))
    (tmp_path / "in.png").write_bytes(data[:33] + chunk + data[33:])
    alpha = np.full((4, 4), 65535, np.uint16)
    alpha[1, 2] = 0
    np.testing.assert_array_equal(read_picture(tmp_path / "in.png").pixels, np.dstack([image, alpha]))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_the_colour_profile_stays(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"in{suffix}"
    Image.fromarray(noise((8, 8, 3))).save(source, icc_profile=profile())
    out = upscaled(source)
    exiftool(out)  # or skip
    found = subprocess.run(["exiftool", "-b", "-icc_profile", str(out)], capture_output=True, check=True).stdout
    assert found == profile()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
def test_exif_stays_and_says_that_the_image_is_upright(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"in{suffix}"
    Image.fromarray(noise((10, 14, 3))).save(source)
    tag_with_exiftool(source, *(f"-{name}={value}" for name, value in EXIF_TAGS.items()), "-IFD0:Orientation=6")
    tag_with_exiftool(source, "-ExifIFD:ExifImageWidth=14", "-ExifIFD:ExifImageHeight=10", "-XMP-dc:Title=A title")
    out = upscaled(source)
    found = exiftool(out)
    for name, value in EXIF_TAGS.items():
        assert found.get(name) == value, name
    assert found.get("IFD0:Orientation", 1) == 1
    assert found["XMP-dc:Title"] == "A title"
    # AVIF turns by a property of its own, and EXIF's has no say.
    size = (28, 20) if suffix == ".avif" else (20, 28)
    assert (found["ExifIFD:ExifImageWidth"], found["ExifIFD:ExifImageHeight"]) == size
    with Image.open(out) as image:
        assert image.size == size


def test_iptc_and_comment_of_a_jpeg_stay(tmp_path: Path) -> None:
    source = tmp_path / "in.jpg"
    Image.fromarray(noise((10, 14, 3))).save(source, dpi=(300, 300))
    tag_with_exiftool(source, "-IPTC:Keywords=cell", "-IPTC:City=Bern", "-Comment=a note")
    found = exiftool(upscaled(source))
    assert (found["IPTC:Keywords"], found["IPTC:City"], found["File:Comment"]) == ("cell", "Bern", "a note")
    assert (found["JFIF:XResolution"], found["JFIF:ResolutionUnit"]) == (300, 1 + 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_orientation_is_applied_once(tmp_path: Path, orientation: int, suffix: str) -> None:
    source = tmp_path / f"in{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise((5, 7, 3))).save(source, exif=exif)
    with Image.open(source) as image:
        wanted = np.array(ImageOps.exif_transpose(image))
    out = upscaled(source)
    with Image.open(out) as image:
        assert image.getexif().get(0x0112, 1) == 1
        np.testing.assert_array_equal(np.array(image), large(wanted))


def test_orientation_in_xmp_alone(tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    Image.fromarray(noise((5, 7, 3))).save(source)
    tag_with_exiftool(source, "-XMP-tiff:Orientation=8")
    out = upscaled(source)
    with Image.open(out) as image:
        assert image.size == (10, 14)
    assert exiftool(out)["XMP-tiff:Orientation"] == 1


def test_text_and_colour_chunks_of_png_stay(tmp_path: Path) -> None:
    source, text = tmp_path / "in.png", PngImagePlugin.PngInfo()
    text.add_text("parameters", "a prompt, steps 20")
    text.add_text("workflow", json.dumps({"nodes": list(range(500))}), zip=True)
    text.add_itxt("Titel", "Zürich µm", lang="de", tkey="Titel")
    text.add(b"gAMA", (45455).to_bytes(4, "big"))
    text.add(b"cHRM", b"".join(n.to_bytes(4, "big") for n in (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)))
    Image.fromarray(noise((4, 4, 3))).save(source, pnginfo=text, dpi=(150, 150))
    out = upscaled(source)
    with Image.open(source) as before, Image.open(out) as after:
        assert isinstance(before, PngImagePlugin.PngImageFile)
        assert isinstance(after, PngImagePlugin.PngImageFile)
        assert {name: text for name, text in after.text.items() if "xmp" not in name} == before.text
        assert after.text["Titel"] == "Zürich µm"
    found = exiftool(out)
    assert found["PNG:Gamma"] == pytest.approx(2.2, abs=0.01)
    assert found["PNG:RedX"] == 0.64
    assert found["PNG-pHYs:PixelsPerUnitX"] == 5906  # per metre


def test_palettes_become_what_they_show(tmp_path: Path) -> None:
    image = Image.fromarray(noise((6, 6)) % 4).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    for name, options, mode in (("solid", {}, "RGB"), ("clear", {"transparency": bytes([255, 0, 128, 255])}, "RGBA")):
        source = tmp_path / f"{name}.png"
        image.save(source, **options)
        picture = read_picture(source)
        with Image.open(source) as again:
            np.testing.assert_array_equal(picture.pixels, np.array(again.convert(mode)))
        out = upscaled(source)
        assert cv2.imread(str(out), cv2.IMREAD_UNCHANGED).shape == (12, 12, len(mode))


def test_a_gif_becomes_a_png(tmp_path: Path) -> None:
    Image.fromarray(noise((6, 6)) // 64 * 64).save(tmp_path / "in.gif")
    with Image.open(tmp_path / "in.gif") as image:
        wanted = np.array(image.convert("RGB"))
    out = cv2.imread(str(upscaled(tmp_path / "in.gif", ".png")))[..., ::-1]
    np.testing.assert_array_equal(out, large(wanted))


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_lossless_stays_lossless(tmp_path: Path, suffix: str) -> None:
    image = noise((8, 8, 4))
    image[..., 3] = 255
    Image.fromarray(image).save(tmp_path / f"in{suffix}", lossless=True)
    out = cv2.imread(str(upscaled(tmp_path / f"in{suffix}", ".webp")), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(out[..., :3][..., ::-1], large(image)[..., :3])


def test_jpeg_is_close_and_follows_the_quality(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "in.jpg", quality=98)
    out = upscaled(tmp_path / "in.jpg")
    assert np.abs(cv2.imread(str(out), cv2.IMREAD_UNCHANGED).astype(int) - large(smooth)).mean() < 1
    size = out.stat().st_size
    assert upscaled(tmp_path / "in.jpg", quality=30).stat().st_size < size


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint16, np.uint32, np.float16, np.float32, np.float64])
def test_tiff_keeps_any_type(tmp_path: Path, dtype: Any) -> None:
    image = noise((9, 7), bool) if dtype is bool else noise((9, 7)).astype(dtype)
    tifffile.imwrite(tmp_path / "in.tif", image)
    with tifffile.TiffFile(upscaled(tmp_path / "in.tif")) as tif:
        page: Any = tif.pages[0]
        assert page.dtype == np.dtype(dtype)
        values = ~page.asarray() if page.photometric == 0 else page.asarray()
        wanted = ~image if dtype is bool else image  # tifffile writes 1 bit with white as zero
        np.testing.assert_allclose(values.astype(float), large(wanted).astype(float), rtol=1e-3, atol=1e-3)


def test_white_is_zero_and_big_endian_and_planar(tmp_path: Path) -> None:
    image = noise((3, 8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", image[0], photometric="miniswhite", byteorder=">")
    np.testing.assert_array_equal(cv2.imread(str(upscaled(tmp_path / "in.tif")), -1), large(65535 - image[0]))
    tifffile.imwrite(tmp_path / "in.tif", image, photometric="rgb", planarconfig="separate", byteorder=">")
    out = upscaled(tmp_path / "in.tif")
    with tifffile.TiffFile(out) as tif:
        assert (tif.series[0].axes, tif.byteorder, tif.pages[0].planarconfig) == ("SYX", ">", 2)  # type: ignore[union-attr]
        np.testing.assert_array_equal(tif.asarray(), large(image, "SYX"))


def test_layout_and_tags_of_a_tiff_stay(tmp_path: Path) -> None:
    image = noise((40, 50, 3))
    tifffile.imwrite(
        tmp_path / "in.tif",
        image,
        photometric="rgb",
        tile=(16, 32),
        compression="zlib",
        bigtiff=True,
        resolution=(118.11, 59.055),
        resolutionunit="CENTIMETER",
        description="a slide",
        software="Scanner 1",
        metadata=None,
        extratags=[(315, 2, None, "Ada", True)],
    )
    out = upscaled(tmp_path / "in.tif")
    with tifffile.TiffFile(out) as tif:
        page: Any = tif.pages[0]
        assert tif.is_bigtiff
        assert page.is_tiled
        assert (page.tilelength, page.tilewidth, page.compression.name) == (16, 32, "ADOBE_DEFLATE")
        np.testing.assert_array_equal(page.asarray(), large(image))
    found = exiftool(out)
    assert found["IFD0:XResolution"] == pytest.approx(236.22)  # the same slide, twice the pixels
    assert found["IFD0:YResolution"] == pytest.approx(118.11)
    assert found["IFD0:ResolutionUnit"] == 3
    assert (found["IFD0:Artist"], found["IFD0:Software"]) == ("Ada", "Scanner 1")
    assert found["IFD0:ImageDescription"] == "a slide"


def test_an_imagej_hyperstack(tmp_path: Path) -> None:
    stack = noise((2, 3, 2, 8, 9), np.uint16)
    labels = [f"plane {i}" for i in range(12)]
    tifffile.imwrite(
        tmp_path / "in.tif",
        stack,
        imagej=True,
        resolution=(1 / 0.325, 1 / 0.65),
        metadata={"axes": "TZCYX", "unit": "um", "spacing": 2.5, "finterval": 0.5, "Labels": labels, "Info": "an info"},
    )
    out = upscaled(tmp_path / "in.tif")
    with tifffile.TiffFile(out) as tif:
        meta: Any = tif.imagej_metadata
        assert tif.series[0].axes == "TZCYX"
        assert (meta["channels"], meta["slices"], meta["frames"]) == (2, 3, 2)
        assert (meta["unit"], meta["spacing"], meta["finterval"], meta["Info"]) == ("um", 2.5, 0.5, "an info")
        assert meta["Labels"] == labels
    found = exiftool(out)
    assert found["IFD0:XResolution"] == pytest.approx(2 / 0.325)
    assert found["IFD0:YResolution"] == pytest.approx(2 / 0.65)
    pages = np.stack(cv2.imreadmulti(str(out), flags=cv2.IMREAD_UNCHANGED)[1])
    np.testing.assert_array_equal(pages.reshape(2, 3, 2, 16, 18), large(stack, "TZCYX"))


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX", "TCZYX", "YX", "YXS"])
def test_ome_pixel_sizes_channels_and_page_order(tmp_path: Path, axes: str) -> None:
    sizes = {"T": 2, "Z": 3, "C": 2, "Y": 8, "X": 9, "S": 3}
    image = noise(tuple(sizes[a] for a in axes), np.uint8 if "S" in axes else np.uint16)
    metadata = {
        "axes": axes,
        "PhysicalSizeX": 0.1,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.2,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": 0.5,
        "PhysicalSizeZUnit": "µm",
    }
    if "C" in axes:
        metadata["Channel"] = {"Name": ["DAPI", "GFP"]}  # type: ignore[assignment]
    tifffile.imwrite(tmp_path / "in.ome.tif", image, metadata=metadata, photometric="rgb" if "S" in axes else "minisblack")
    out = upscaled(tmp_path / "in.ome.tif", ".ome.tif")
    with tifffile.TiffFile(out) as tif:
        assert tif.is_ome
        assert tif.series[0].axes == axes
        entry = tifffile.xml2dict(tif.ome_metadata or "")["OME"]["Image"]["Pixels"]
    sizes = {name: entry[name] for name in ("PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ")}
    assert sizes == {"PhysicalSizeX": 0.05, "PhysicalSizeY": 0.1, "PhysicalSizeZ": 0.5}
    assert (entry["SizeX"], entry["SizeY"], entry["PhysicalSizeXUnit"]) == (18, 16, "µm")
    if "C" in axes:
        assert [channel["Name"] for channel in entry["Channel"]] == ["DAPI", "GFP"]
    pages = np.stack(cv2.imreadmulti(str(out), flags=cv2.IMREAD_UNCHANGED)[1])
    wanted = large(image, axes)
    np.testing.assert_array_equal((pages[..., ::-1] if "S" in axes else pages).reshape(wanted.shape), wanted)


def test_names_that_ascii_lacks_leave_ome_xml_whole(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.ome.tif", noise((8, 8)), metadata={"axes": "YX"})
    with tifffile.TiffFile(tmp_path / "in.ome.tif") as tif:
        text = tif.ome_metadata or ""
    text = text.replace("<Channel ", '<\u00e4/><Channel \u00ffame="b" Name="\u00e4" ')
    assert "\u00ff" in text
    tifffile.imwrite(tmp_path / "in.ome.tif", noise((8, 8)), description=text.encode(), metadata=None)
    result = Batch(NEAREST).upscale_file(Job(tmp_path / "in.ome.tif", tmp_path / "out.ome.tif"))
    assert any("ASCII" in note for note in result.notes)
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as tif:
        written = tif.ome_metadata or ""
    channel = next(one for one in ElementTree.fromstring(written).iter() if one.tag.endswith("Channel"))
    assert channel.attrib["Name"] == "\u00e4"
    assert "\u00ffame" not in written


def test_regions_of_interest_are_not_left_in_the_wrong_place(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.ome.tif", noise((8, 8)), metadata={"axes": "YX"})
    with tifffile.TiffFile(tmp_path / "in.ome.tif") as tif:
        text = tif.ome_metadata or ""
    roi = '<ROI ID="ROI:0"><Union><Point ID="Shape:0" X="3" Y="4"/></Union></ROI></OME>'
    tifffile.imwrite(tmp_path / "in.ome.tif", noise((8, 8)), description=text.replace("</OME>", roi), metadata=None)
    result = Batch(NEAREST).upscale_file(Job(tmp_path / "in.ome.tif", tmp_path / "out.ome.tif"))
    assert any("regions of interest" in note for note in result.notes)
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as tif:
        assert "ROI" not in (tif.ome_metadata or "")


def test_overlays_and_further_pictures_are_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", noise((8, 8)), imagej=True, metadata={"Overlays": [b"Iout" + bytes(60)]})
    assert read_picture(tmp_path / "in.tif").notes == ["ImageJ overlays are in pixels of the old size and are left out"]
    first, second = (Image.fromarray(noise((8, 8, 3))) for _ in range(2))
    first.save(tmp_path / "in.jpg", "MPO", save_all=True, append_images=[second])
    picture = read_picture(tmp_path / "in.jpg")
    assert (picture.format, picture.size) == ("JPEG", (8, 8))
    assert picture.notes == ["further pictures behind the first (MPO) are left out"]


def test_a_compressed_stack_is_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esc_plugin.files.tiff_pixels.LAZY_BYTES", 0)
    monkeypatch.setattr("esc_plugin.files.tiff_pixels.Pages.__array__", lambda *_: pytest.fail("it was read as a whole"))
    stack = noise((2, 3, 8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", stack, compression="zlib", photometric="minisblack", metadata={"axes": "TZYX"})
    out = upscaled(tmp_path / "in.tif")
    np.testing.assert_array_equal(tifffile.imread(out), large(stack, "TZYX"))


def test_a_large_result_goes_through_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esc_plugin.files.picture.SHARE_OF_FREE", 0)
    image = noise((20, 20, 3))
    cv2.imwrite(str(tmp_path / "in.png"), image)
    result = Batch(NEAREST).upscale_file(Job(tmp_path / "in.png", tmp_path / "out.png"))
    assert isinstance(result.pixels, np.memmap)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out.png")), large(image))


def test_the_limit_of_memory_counts_for_the_result_too() -> None:
    assert isinstance(empty_array((100, 100), np.uint8, memory_limit=10_000), np.memmap)
    assert not isinstance(empty_array((100, 100), np.uint8, memory_limit=100_000), np.memmap)


def test_multiplied_colours_become_straight(tmp_path: Path) -> None:
    image = np.full((4, 4, 4), 100, np.uint8)
    image[..., 3] = 200
    tifffile.imwrite(tmp_path / "in.tif", image, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(tmp_path / "in.tif")
    np.testing.assert_array_equal(picture.pixels[0, 0], [128, 128, 128, 200])
    with tifffile.TiffFile(upscaled(tmp_path / "in.tif")) as tif:
        assert tif.pages[0].extrasamples == (2,)  # type: ignore[union-attr]


def test_other_samples_are_channels(tmp_path: Path) -> None:
    image = noise((6, 7, 5), np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", image, photometric="minisblack", planarconfig="contig", metadata=None)
    picture = read_picture(tmp_path / "in.tif")
    assert picture.axes == "YXC"
    np.testing.assert_array_equal(tifffile.imread(upscaled(tmp_path / "in.tif")), large(image))


@pytest.mark.parametrize(
    ("shape", "dtype", "suffix", "message"),
    [
        ((4, 4), np.uint16, ".jpg", "can't hold uint16"),
        ((4, 4, 3), np.uint16, ".webp", "can't hold uint16"),
        ((4, 4), np.float32, ".png", "can't hold float32"),
        ((4, 4, 3), bool, ".tif", "colours or transparency of one bit"),
        ((4, 4, 4), np.uint8, ".jpg", "transparency"),
        ((2, 4, 4), np.uint8, ".png", "'QYX'"),
        ((4, 9000), np.uint8, ".webp", "16383"),
        ((4, 4), np.uint8, ".xyz", "suffix must be one of"),
    ],
)
def test_nothing_is_lost_without_a_word(tmp_path: Path, shape: Any, dtype: Any, suffix: str, message: str) -> None:
    metadata = {"axes": "QYX"} if shape == (2, 4, 4) else None
    colour = "rgb" if len(shape) == 3 and shape[2] > 2 and metadata is None else "minisblack"
    extra = ["unassalpha"] if colour == "rgb" and shape[2] == 4 else None
    tifffile.imwrite(tmp_path / "in.tif", noise(shape, dtype), photometric=colour, metadata=metadata, extrasamples=extra)
    with pytest.raises(ImageError, match=message):
        upscaled(tmp_path / "in.tif", suffix)
    assert [p.name for p in tmp_path.iterdir()] == ["in.tif"]


def test_a_failing_writer_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: Any, *_: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("esc_plugin.files.write.encode", fail)
    (tmp_path / "out.png").write_bytes(b"old")
    Image.fromarray(noise((4, 4))).save(tmp_path / "in.png")
    with pytest.raises(ImageError, match="disk full"):
        write_picture(tmp_path / "out.png", read_picture(tmp_path / "in.png"))
    assert (tmp_path / "out.png").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.png", "out.png"]


MICRO = "µm, \u65e5\u672c \U0001f52c"


@pytest.mark.parametrize("kind", ["imagej", "plain", "shaped"])
def test_text_beyond_ascii_stays(tmp_path: Path, kind: str) -> None:
    """Other programs write it where the standard has none; tifffile reads and refuses to write it."""
    description = {"imagej": f"ImageJ=1.53t\nimages=1\nunit={MICRO}\n", "plain": MICRO, "shaped": None}[kind]
    options: dict[str, Any] = {"description": description and description.encode()}
    if kind == "shaped":
        options = {"metadata": {"unit": MICRO, "axes": "YX"}}
    else:
        options["metadata"] = None
    tifffile.imwrite(tmp_path / "in.tif", noise((8, 9)), extratags=[(315, 2, None, MICRO.encode(), True)], **options)
    result = Batch(NEAREST).upscale_file(Job(tmp_path / "in.tif", tmp_path / "out.tif"))
    assert result.notes == []
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        np.testing.assert_array_equal(tif.asarray(), large(noise((8, 9))))
        assert tif.pages.first.tags.valueof(315) == MICRO
        if kind == "imagej":  # as ImageJ writes it, which it reads as Java does: in UTF-16
            unit = (tif.imagej_metadata or {})["unit"]
            assert unit.encode().decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16") == MICRO
        elif kind == "shaped":
            assert (tif.shaped_metadata or ())[0]["unit"] == MICRO
        else:
            assert tif.pages.first.description == MICRO


def test_what_the_writer_refuses_is_dropped_and_not_the_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", noise((8, 9)), metadata=None, description="a slide", software="Scanner 1")
    picture = read_picture(tmp_path / "in.tif")
    picture.tiff.options |= {"datetime": "yesterday", "tile": (5, 5), "compression": "none of them"}
    check_target(tmp_path / "out.tif", picture, (8, 9))
    write_picture(tmp_path / "out.tif", picture)
    assert picture.notes == ["TIFF can't hold its compression, tile, datetime, which is left out"]
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        page = tif.pages.first
        assert (page.description, page.tags.valueof(305), page.compression) == ("a slide", "Scanner 1", 8)


@pytest.mark.parametrize(("suffix", "fields"), [(".jpg", {"comment": b"x" * 70_000}), (".png", {"dpi": (1e15, 1e15)})])
def test_that_goes_for_photos_too(tmp_path: Path, suffix: str, fields: dict[str, Any]) -> None:
    picture = Picture(noise((8, 9, 3)), "YXS", "PNG", icc=profile(), **fields)
    write_picture(tmp_path / f"out{suffix}", picture)
    assert picture.notes[0].endswith(f"can't hold its {next(iter(fields))}, which is left out")
    assert read_picture(tmp_path / f"out{suffix}").icc == profile()


def test_what_no_writer_takes_is_known_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ImageJ has no axis of that name."""
    tifffile.imwrite(tmp_path / "in.tif", noise((2, 8, 9)), imagej=True, metadata={"axes": "ZYX"})
    monkeypatch.setattr("esc_plugin.arrays.stack.Stack.run", lambda *_: pytest.fail("it began to work"))
    with pytest.raises(ImageError, match=r"can't write 'out.tif': TIFF can't hold it"):
        Batch(NEAREST, options={"axes": "QYX"}).upscale_file(Job(tmp_path / "in.tif", tmp_path / "out.tif"))


def test_tags_that_are_left_out_are_named(tmp_path: Path) -> None:
    geo = [(33550, 12, 3, (0.5, 0.5, 0.0), True), (42113, 2, None, "-9999", True)]
    tifffile.imwrite(tmp_path / "in.tif", noise((6, 7)), extratags=geo, metadata=None)
    result = Batch(NEAREST).upscale_file(Job(tmp_path / "in.tif", tmp_path / "out.tif"))
    assert result.notes == ["its tags ModelPixelScaleTag, GDAL_NODATA are left out"]
    tifffile.imwrite(tmp_path / "in.tif", noise((6, 7)), resolution=(3, 3), description="x", metadata=None)
    assert read_picture(tmp_path / "in.tif").notes == []


def test_more_exif_than_a_jpeg_can_hold(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "x" * 70_000, "Ada"
    Image.fromarray(noise((4, 4, 3))).save(tmp_path / "in.png", exif=exif)
    result = Batch(NEAREST).upscale_file(Job(tmp_path / "in.png", tmp_path / "out.jpg"))
    assert result.notes == ["JPEG has no place for so much EXIF"]
    assert read_picture(tmp_path / "out.jpg").size == (8, 8)


def test_the_limit_of_pixels_is_the_users(tmp_path: Path) -> None:
    for suffix in (".png", ".tif"):
        cv2.imwrite(str(tmp_path / f"in{suffix}"), noise((50, 50)))
        with pytest.raises(ImageError, match="claims"):
            upscaled(tmp_path / f"in{suffix}", max_pixels=500)
        upscaled(tmp_path / f"in{suffix}", max_pixels=2500)


def test_what_another_format_has_no_place_for_is_named(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a prompt")
    Image.fromarray(noise((4, 4, 3))).save(tmp_path / "in.png", pnginfo=text, dpi=(99, 99))
    for suffix, notes in ((".png", []), (".webp", ["WEBP has no place for its text, resolution"])):
        result = Batch(NEAREST).upscale_file(Job(tmp_path / "in.png", tmp_path / f"out{suffix}"))
        assert result.notes == notes


def test_deep_gray_of_either_byte_order_becomes_a_png(tmp_path: Path) -> None:
    for byteorder in "<>":
        tifffile.imwrite(tmp_path / "in.tif", noise((6, 7), np.uint16), byteorder=byteorder)
        out = upscaled(tmp_path / "in.tif", ".png")
        np.testing.assert_array_equal(cv2.imread(str(out), cv2.IMREAD_UNCHANGED), large(noise((6, 7), np.uint16)))


def test_without_imagecodecs_there_is_a_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    cv2.imwrite(str(tmp_path / "in.png"), noise((6, 7, 3), np.uint16))
    with pytest.raises(ImageError, match=r"pip install imagecodecs"):
        read_picture(tmp_path / "in.png")
    tifffile.imwrite(tmp_path / "in.tif", noise((6, 7, 3), np.uint16), photometric="rgb")
    with pytest.raises(ImageError, match="imagecodecs"):
        upscaled(tmp_path / "in.tif", ".png")
    cv2.imwrite(str(tmp_path / "gray.png"), noise((6, 7), np.uint16))  # Pillow knows gray
    assert read_picture(upscaled(tmp_path / "gray.png")).pixels.dtype == np.uint16


def test_ome_is_valid(tmp_path: Path) -> None:
    ome_types = pytest.importorskip("ome_types", reason="needs ome-types to check OME-XML against its schema")
    image = noise((2, 3, 8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "in.ome.tif", image, metadata={"axes": "CZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1})
    pixels = ome_types.from_tiff(upscaled(tmp_path / "in.ome.tif")).images[0].pixels
    assert (pixels.size_x, pixels.size_y, pixels.physical_size_x) == (18, 16, 0.05)


def test_any_scale_divides_the_pixel_size(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", noise((10, 20)), resolution=(10, 10), resolutionunit="CENTIMETER")
    out = upscaled(tmp_path / "in.tif", framing=Framing(scale=2.7))
    found = exiftool(out)
    assert (found["IFD0:ImageWidth"], found["IFD0:ImageHeight"]) == (54, 27)
    assert found["IFD0:XResolution"] == pytest.approx(27)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_goes_through_its_profile(tmp_path: Path, suffix: str) -> None:
    """The profile says that cyan ink looks like the Lab colour that it says, whatever Pillow's formula makes of it."""
    source = tmp_path / f"in{suffix}"
    Image.new("CMYK", (4, 4), (255, 0, 0, 0)).save(source, icc_profile=cmyk_profile(), quality=100)
    picture = read_picture(source)
    assert picture.pixels.shape == (4, 4, 3)
    assert np.abs(picture.pixels.reshape(-1, 3).mean(0) - INK_RGB).max() < 6
    with Image.open(io.BytesIO(upscaled(source).read_bytes())) as image:
        assert image.mode == "RGB"
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"])))
    assert "sRGB" in name


def test_the_palette_of_imagej_stays_a_way_to_show_gray(tmp_path: Path) -> None:
    image, palette = noise((8, 9)), np.random.default_rng(1).integers(0, 256, (3, 256)).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "in.tif", image, imagej=True, colormap=palette)
    with tifffile.TiffFile(upscaled(tmp_path / "in.tif")) as tif:
        np.testing.assert_array_equal(tif.asarray(), large(image))
        np.testing.assert_array_equal(tif.pages.first.colormap, palette)


#: A mid gray in Lab and in sRGB; no formula without the profile makes that of pure cyan.
INK_LAB, INK_RGB = (50.0, 0.0, 0.0), (119, 119, 119)


def cmyk_profile() -> bytes:
    """Build an ICC version 2 profile whose every ink is the gray `INK_LAB`, and whose paper is white."""

    def s15(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def lut8() -> bytes:
        head = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
        matrix = b"".join(s15(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
        ramp = bytes(range(256))
        gray = bytes([round(INK_LAB[0] * 2.55), 128, 128])
        clut = b"".join(bytes([255, 128, 128]) if not any(divmod(i, 2)) else gray for i in range(16))
        return head + matrix + ramp * 4 + clut + ramp * 3

    text = b"test inks\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"CC0\0",
        b"wtpt": b"XYZ " + bytes(4) + s15(0.9642) + s15(1) + s15(0.8249),
        b"A2B0": lut8(),
    }
    offset, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + s15(0.9642) + s15(1) + s15(0.8249)
    return head.ljust(128, b"\0") + table + body


def test_the_thumbnail_of_the_old_image_is_left_out(tmp_path: Path) -> None:
    Image.fromarray(noise((8, 8, 3))).save(tmp_path / "small.jpg")
    Image.fromarray(noise((32, 32, 3))).save(tmp_path / "in.jpg")
    tag_with_exiftool(tmp_path / "in.jpg", f"-ThumbnailImage<={tmp_path / 'small.jpg'}", "-IFD0:Make=Maker")
    assert "IFD1:ThumbnailImage" in exiftool(tmp_path / "in.jpg")
    found = exiftool(upscaled(tmp_path / "in.jpg"))
    assert found["IFD0:Make"] == "Maker"
    assert not any(name.startswith("IFD1:") for name in found)
    assert "ExifTool:Warning" not in found
