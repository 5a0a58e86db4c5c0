"""Damaged, mislabelled, malicious and unusual files: a right result, or one clear line and nothing written."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from esc_plugin import ImageError
from esc_plugin.batch.batch import Batch
from esc_plugin.batch.jobs import Job
from esc_plugin.files import read_picture
from esc_plugin.files.avif_size import check_coded_size
from esc_plugin.files.xmp import split_record, with_record

from .hostile import claims
from .hostile.pictures import (
    animated,
    cmyk,
    cut,
    cyclic_tiff,
    endless_tiff,
    ome,
    one_bit,
    overlapping_tiff,
    patched,
    pixels,
    png,
    saved,
    saved_cmyk_tiff,
    tiff,
)
from .small import nearest_upscaler
from .systems import needs_limits

NEAREST = nearest_upscaler()
#: Name of the file, what is in it, and what must happen: the result's shape and dtype, or words of the error.
Case = tuple[str, Callable[[], bytes], tuple[tuple[int, ...], str] | str]


def deep_avif() -> bytes:
    imagecodecs = pytest.importorskip("imagecodecs", reason="needs imagecodecs to write AVIF with 10 bits")
    return bytes(imagecodecs.avif_encode(pixels(16, 16, 3, dtype=np.uint16) * 4, bitspersample=10))


def nan_image() -> np.ndarray:
    image = np.ones((5, 5), np.float32)
    image[2, 2] = np.nan
    return image


def text_bomb_behind_the_end() -> bytes:
    """Return a PNG that opens, since nobody looks behind its end; in the result the text would stand before the pixels."""
    data, text = saved("PNG", 9, 8, 3), png(1, 1, 8, 0, (b"zTXt", b"a\0\0" + zlib.compress(bytes(2 * 2**20))))
    return data + text[text.index(b"zTXt") - 4 : text.index(b"IDAT") - 4]


CASES: list[Case] = [
    # Not whole
    ("empty.png", lambda: b"", "no image that can be read"),
    ("byte.jpg", lambda: b"\xff", "no image that can be read"),
    ("cut.png", lambda: cut(saved("PNG")), "no image that can be read"),
    ("cut.jpg", lambda: cut(saved("JPEG")), "truncated"),
    ("cut.webp", lambda: cut(saved("WEBP")), "no image that can be read"),
    ("cut.avif", lambda: cut(saved("AVIF")), "no image that can be read"),
    ("cut-gif.gif", lambda: cut(saved("GIF", 40, 30)), "truncated"),
    ("cut-bmp.bmp", lambda: cut(saved("BMP")), "truncated"),
    ("cut.tif", lambda: cut(tiff(pixels(40, 30))), "truncated"),
    ("cut-zlib.tif", lambda: cut(tiff(pixels(40, 30), compression="zlib")), "truncated|no image"),
    ("only-head.tif", lambda: b"II*\0\x08\0\0\0", "no image"),
    ("crc.png", lambda: saved("PNG").replace(b"IHDR\0\0\0\x1e", b"IHDR\0\0\0\x1d"), "starts like PNG, but is damaged"),
    ("noise.jpg", lambda: pixels(5000).tobytes(), "starts like none of PNG"),
    # Not what they are called
    ("text.png", lambda: b"hello world\n" * 50, "no image that can be read"),
    ("page.tif", lambda: b"<!DOCTYPE html><html></html>", "no image that can be read"),
    ("jpeg.png", lambda: saved("JPEG", 40, 30), ((80, 60), "uint8")),
    ("png.tif", lambda: saved("PNG", 9, 8, 3), ((18, 16, 3), "uint8")),
    ("tiff.png", lambda: tiff(pixels(9, 8)), ((18, 16), "uint8")),
    # Meant to harm
    ("bomb.png", lambda: png(50000, 50000, 1, 0, data=bytes(10**6)), "more than 500 million pixels"),
    ("endless.png", lambda: png(2**31 - 1, 2**31 - 1, 8, 2), "more than 500 million pixels"),
    (
        "gif-bomb.gif",
        lambda: b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6),
        "more than 500|no image",
    ),
    ("ppm-bomb.ppm", lambda: b"P6 100000 100000 255\n" + bytes(99), "more than 500 million pixels"),
    (
        "bmp-bomb.bmp",
        lambda: b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 60000, 60000, 1, 24, *[0] * 6),
        "more than 500",
    ),
    ("bomb.tif", lambda: patched(patched(tiff(pixels(9, 9)), 256, 60000), 257, 60000), "million|truncated"),
    ("bomb-zlib.tif", lambda: patched(patched(tiff(pixels(9, 9), compression="zlib"), 256, 10**6), 257, 10**6), "million"),
    (
        "text-bomb.png",
        lambda: png(4, 4, 8, 0, (b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))), data=bytes(20)),
        "no image",
    ),
    ("far.tif", lambda: patched(tiff(pixels(9, 9)), 273, 2**31), "truncated"),
    ("text-bomb-behind.png", text_bomb_behind_the_end, ((18, 16, 3), "uint8")),
    # Without pixels, or with strange ones
    ("zero.png", lambda: png(0, 5, 8, 0), "no image that can be read|no pixels"),
    ("zero.tif", lambda: patched(tiff(pixels(9, 9)), 256, 0), "no pixels|no image"),
    ("deep-palette.png", lambda: png(4, 4, 16, 3, (b"PLTE", bytes(9)), data=bytes(36)), "no image that can be read"),
    ("no-palette.png", lambda: png(4, 4, 8, 3, data=b"\0\1\1\1\1" * 4), "palette|no image"),
    ("one.png", lambda: saved("PNG", 1, 1, 3), ((2, 2, 3), "uint8")),
    ("one-bit.png", one_bit, ((10, 18), "bool")),
    ("wide.png", lambda: saved("PNG", 1, 65500), ((2, 131000), "uint8")),
    ("wide.jpg", lambda: saved("JPEG", 1, 65500), "131000 x 2 pixels, only 65535"),
    ("wide.webp", lambda: saved("WEBP", 1, 16000, 3), "only 16383"),
    # Unusual
    ("moving.gif", lambda: animated("GIF"), "animated .3 frames"),
    ("animated.webp", lambda: animated("WEBP"), "animated .3 frames"),
    ("animated.png", lambda: animated("PNG"), "animated .3 frames"),
    ("animated.avif", lambda: animated("AVIF"), "animated .3 frames"),
    ("cmyk.jpg", cmyk, "CMYK without a colour profile"),
    ("cmyk-broken.jpg", lambda: cmyk(icc_profile=b"no profile" * 20), "profile can't be used"),
    ("deep.ppm", lambda: b"P6 # comment\n2 2\n65535\n" + bytes(24), "more than 8 bits"),
    ("cmyk.tif", saved_cmyk_tiff, "CMYK without a colour profile"),
    ("deep.avif", deep_avif, "more than 8 bits"),
    ("exif.jpg", lambda: saved("JPEG", exif=b"Exif\0\0MM\0*" + b"\xff" * 60), ((80, 60, 3), "uint8")),
    ("pages.tif", lambda: tiff(pixels(6, 7), more=[pixels(6, 7)] * 2), ((3, 12, 14), "uint8")),
    ("mixed-pages.tif", lambda: tiff(pixels(6, 7), more=[pixels(5, 5)]), "2 images of different kinds"),
    ("nan.tif", lambda: tiff(nan_image()), "NaN or infinity"),
    ("complex.tif", lambda: tiff(pixels(4, 4).astype(np.complex64)), "can't be complex64"),
    ("int64.tif", lambda: tiff(pixels(4, 4).astype(np.int64)), "can't be int64"),
    ("odd-bits.tif", lambda: patched(tiff(pixels(9, 9).astype("f4"), compression="lzw"), 258, 127, "H"), "an image of"),
    ("lab.tif", lambda: tiff(pixels(4, 4, 3), photometric="cielab"), "CIELAB"),
    ("no-such-codec.tif", lambda: patched(tiff(pixels(9, 9)), 259, 60001, "H"), "no image that can be read"),
    ("broken-ome.tif", lambda: ome(lambda text: text.replace("<Pixels", "<Pix")), "OME|no image"),
    (
        "other-size.ome.tif",
        lambda: ome(lambda text: text.replace('SizeZ="2"', 'SizeZ="1"').replace('SizeX="6"', 'SizeX="9"')),
        ((2, 12, 12), "uint8"),
    ),
    ("two-images.ome.tif", lambda: ome(lambda text: re.sub("(<Image.*</Image>)", r"\1\1", text)), "2 images|images of diff"),
]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1000, "tifffile")


@pytest.mark.parametrize(("name", "content", "wanted"), CASES, ids=[case[0] for case in CASES])
def test_a_right_result_or_one_clear_line(tmp_path: Path, name: str, content: Any, wanted: Any) -> None:
    source = tmp_path / name
    source.write_bytes(content())
    target = tmp_path / "out" / (name if source.suffix not in (".gif", ".bmp", ".ppm") else name + ".png")
    target.parent.mkdir()
    if isinstance(wanted, str):
        with pytest.raises(ImageError, match=wanted) as caught:
            Batch(NEAREST).upscale_file(Job(source, target))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
        assert list(target.parent.iterdir()) == []
        return
    result = Batch(NEAREST).upscale_file(Job(source, target)).pixels
    assert (result.shape, str(result.dtype)) == wanted
    if target.suffix == ".tif":
        np.testing.assert_array_equal(tifffile.imread(target), result)
    elif target.suffix == ".png":
        with Image.open(target) as image:
            np.testing.assert_array_equal(np.array(image), result)


def test_an_avif_around_a_larger_picture(tmp_path: Path) -> None:
    """1,800 bytes that claim 16x16 pixels took 300 MB, and were taken as a picture of that size."""
    data = saved("AVIF", 1500, 1400, 3, quality=1, speed=10)
    (tmp_path / "a.avif").write_bytes(data)
    assert read_picture(tmp_path / "a.avif").size == (1500, 1400)
    at = data.index(b"ispe") + 8
    (tmp_path / "a.avif").write_bytes(data[:at] + struct.pack(">II", 16, 16) + data[at + 8 :])
    with pytest.raises(ImageError, match="claims to have 256 pixels, and what is coded in it 2,100,000"):
        read_picture(tmp_path / "a.avif")


def test_the_size_of_a_sequence_of_avif() -> None:
    """Its header is a longer one, and its pictures are found by another table."""
    frames = [Image.new("RGB", (1400, 1500), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "AVIF", save_all=True, append_images=frames[1:], quality=1, speed=10)
    check_coded_size(file.getvalue(), 1400 * 1500)
    with pytest.raises(ImageError, match="what is coded in it 2,100,000"):
        check_coded_size(file.getvalue(), 256)
    for size in range(0, len(file.getvalue()), 7):  # whatever is missing
        check_coded_size(file.getvalue()[:size], 1400 * 1500)


def test_xml_that_does_not_fit_is_not_written_again(tmp_path: Path) -> None:
    """Whoever believes it sees one plane of two."""
    (tmp_path / "a.ome.tif").write_bytes(
        ome(lambda text: text.replace('SizeZ="2"', 'SizeZ="1"').replace('SizeX="6"', 'SizeX="9"'))
    )
    made = Batch(NEAREST).upscale_file(Job(tmp_path / "a.ome.tif", tmp_path / "b.ome.tif"))
    assert "its OME-XML doesn't fit its pages and is left out" in made.notes
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tif:
        assert not tif.is_ome


def test_there_are_forty() -> None:
    assert len(CASES) >= 40


def test_a_folder_called_like_an_image_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for name in ("folder.png", "missing.png"):
        with pytest.raises(ImageError, match="no file"):
            Batch(NEAREST).upscale_file(Job(tmp_path / name, tmp_path / "out.png"))


def test_a_directory_that_is_followed_by_itself(tmp_path: Path) -> None:
    (tmp_path / "cyclic.tif").write_bytes(cyclic_tiff())
    summary = Batch(NEAREST).run([Job(tmp_path / "cyclic.tif", tmp_path / "out.tif")])
    assert "circular" in summary.failed[0][1]


ROOT = Path(__file__).parents[1]
LIMITED = """
import logging, resource, sys
logging.disable(logging.CRITICAL)  # tifffile says what else it finds
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
from pathlib import Path
from esc_plugin.files import read_picture
from esc_plugin.files.xmp import split_record, with_record
from esc_plugin.files.avif_size import check_coded_size
from esc_plugin import ImageError
for name in sys.argv[1:]:
    try:
        read_picture(Path(name))
    except ImageError as error:
        print(error)
"""


@needs_limits
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: endless_tiff(tiff(pixels(6, 6)), 120, 0), "circular"),
        (lambda: endless_tiff(tiff(pixels(6, 6)), 120, 110), "circular"),
        (lambda: overlapping_tiff(tiff(pixels(6, 6)), 1500), "more than it can hold"),
    ],
    ids=["endless", "endless at its end", "overlapping"],
)
def test_pages_without_end(tmp_path: Path, content: Callable[[], bytes], message: str) -> None:
    (tmp_path / "a.tif").write_bytes(content())
    program = [sys.executable, "-c", LIMITED, str(tmp_path / "a.tif")]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert message in done.stdout


@needs_limits
@pytest.mark.parametrize("sizes", [{"SizeZ": 10**8}, {"SizeZ": 10**5, "SizeC": 10**4}, {"SizeT": 10**30}])
def test_planes_that_only_the_metadata_has(tmp_path: Path, sizes: dict[str, int]) -> None:
    """A list of all claimed planes would take gigabytes."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pixels(8, 8), ome=True)
    text = tifffile.tiffcomment(path)
    for name, size in sizes.items():
        text = re.sub(rf'{name}="\d+"', f'{name}="{size}"', text)
    tifffile.tiffcomment(path, text)
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "planes, but there are 1 at most" in done.stdout


CLAIMS = {
    "width": lambda: claims.ome(x=2**31 - 1),
    "axes": lambda: claims.ome(order="XYZCTXXXX", x=900),
    "count": lambda: claims.ome(data=f'<TiffData IFD="0" PlaneCount="{3 * 10**8}"/>'),
    "counts": lambda: claims.ome(data='<TiffData PlaneCount="6000"/>' * 1000),
    "plus": lambda: claims.ome(z="+300_000_000"),
    "modulo": lambda: claims.ome_modulo(0, 1, 3e-9),
    "scn": lambda: claims.scn([0, 3 * 10**8]),
    "scanimage": lambda: claims.scanimage("SI.a = 1\nSI.b = zeros(20000,10000)\n"),
    "values": lambda: claims.scanimage("SI.a = 1\nSI.b = zeros(68,32767)\n"),
    "stack": lambda: claims.micro_manager(
        {"MicroManagerVersion": "1", "Frames": 1}, [(0, 0, 0, 0, 40), (0, 0, 3 * 10**8, 0, 40)]
    ),
    "inner": lambda: claims.inner_pages(200_000),
}


STREAM = """
import sys, zlib, lzma
sys.modules["imagecodecs"] = None
import numpy as np, tifffile
from esc_plugin import ImageError
from esc_plugin.files import read_picture
for compress in (zlib.compress, lzma.compress):
    path = f"{sys.argv[1]}/{compress.__module__}.tif"
    tifffile.imwrite(path, np.ones((16, 16), "u1"), compression="lzma" if compress is lzma.compress else "zlib")
    assert read_picture(path).pixels.all()
    with tifffile.TiffFile(path) as tif:
        tags = tif.pages.first.tags
        offset, count = tags["StripOffsets"], tags["StripByteCounts"]
    content, bomb = open(path, "rb").read(), compress(bytes(2**28))
    with open(path, "wb") as file:
        file.write(content + bomb)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages.first.tags["StripOffsets"].overwrite(len(content))
        tif.pages.first.tags["StripByteCounts"].overwrite(len(bomb))
    for lazy in (False, True):
        try:
            np.asarray(read_picture(path, lazy=lazy).pixels)
        except ImageError as error:
            print(error)
"""


@needs_limits
def test_without_imagecodecs_a_tile_becomes_no_more_than_it_should(tmp_path: Path) -> None:
    """What Python has for Deflate and LZMA goes on to the end, wherever the tile ends."""
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("a tile of 256 values claims to have") == 4


@needs_limits
def test_lists_that_only_words_ask_for(tmp_path: Path) -> None:
    """A few hundred bytes of words would take gigabytes before a page is looked at."""
    for name, content in CLAIMS.items():
        (tmp_path / f"{name}.tif").write_bytes(content())
    program = [sys.executable, "-c", LIMITED, *(str(tmp_path / f"{name}.tif") for name in CLAIMS)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [bool(re.search("claims? .* (planes|values)|more than it can hold", line)) for line in lines] == [True] * len(
        CLAIMS
    )


#: Codecs that decode whatever size their header names: samples of a pixel, and what encodes.
CODECS: dict[str, tuple[int, Callable[[Any, np.ndarray], Any]]] = {
    "jpeg2000": (1, lambda codecs, image: codecs.jpeg2k_encode(image, level=0)),
    "webp": (3, lambda codecs, image: codecs.webp_encode(image, lossless=True)),
    "jpegxl": (1, lambda codecs, image: codecs.jpegxl_encode(image, lossless=True)),
    "jpegxr": (1, lambda codecs, image: codecs.jpegxr_encode(image)),
    "jpeg": (3, lambda codecs, image: codecs.jpeg8_encode(image, level=99)),
    "lerc": (1, lambda codecs, image: codecs.lerc_encode(image)),
    "png": (1, lambda codecs, image: codecs.png_encode(image)),
}


@pytest.mark.parametrize("name", CODECS)
def test_tiles_that_are_more_than_a_tile(tmp_path: Path, name: str) -> None:
    """700 bytes of JPEG 2000 became 700 MB in the place of a tile of 16x16."""
    codecs = pytest.importorskip("imagecodecs")
    samples, encode = CODECS[name]
    shape = (1200, 1201) if samples == 1 else (1200, 1201, samples)
    piece = bytes(encode(codecs, np.zeros(shape, np.uint8)))
    (tmp_path / "a.tif").write_bytes(claims.compressed(piece, name, samples=samples))
    with pytest.raises(ImageError, match=r"a tile of \d+ values claims to have [\d,]+ by what is compressed"):
        read_picture(tmp_path / "a.tif")
    (tmp_path / "b.tif").write_bytes(claims.compressed(piece, name, samples=samples, tiles=2))
    lazy = read_picture(tmp_path / "b.tif", lazy=True).pixels
    with pytest.raises(ImageError, match=r"tile 1 of page 1 .* can't be read: a tile of \d+ values claims"):
        np.asarray(lazy)


@pytest.mark.parametrize("name", CODECS)
def test_tiles_that_are_what_they_claim(tmp_path: Path, name: str) -> None:
    codecs = pytest.importorskip("imagecodecs")
    samples, encode = CODECS[name]
    image = np.linspace(0, 200, 64 * 64 * samples).reshape(64, 64, -1).squeeze().astype(np.uint8)
    (tmp_path / "a.tif").write_bytes(claims.compressed(bytes(encode(codecs, image)), name, 64, samples))
    for lazy in (False, True):
        found = np.asarray(read_picture(tmp_path / "a.tif", lazy=lazy).pixels)
        assert np.abs(found.astype(int) - image).max() <= 12


def test_jpegxr_whose_head_agrees_with_the_tile_alone(tmp_path: Path) -> None:
    """The decoder makes room for what stands behind it, in the stream itself."""
    codecs = pytest.importorskip("imagecodecs")
    piece = bytearray(codecs.jpegxr_encode(np.full((16, 16), 100, np.uint8)))
    sides = piece.index(b"WMPHOTO\0") + 12
    for short, form in ((0x80, ">HH"), (0, ">II")):
        piece[sides - 2] = piece[sides - 2] & 0x7F | short
        struct.pack_into(form, piece, sides, 35876, 35010)
        (tmp_path / "a.tif").write_bytes(claims.compressed(bytes(piece), "jpegxr"))
        with pytest.raises(ImageError, match="a tile of 256 values claims to have 5,024,358,588 by"):
            read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("packing", ["deflate", "zstd"])
def test_lerc_that_is_packed_once_more(tmp_path: Path, packing: str) -> None:
    """As GDAL's LERC_DEFLATE and LERC_ZSTD are: what is packed says how large it is."""
    codecs = pytest.importorskip("imagecodecs")
    image = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(64, 64), compression="lerc", compressionargs={"compression": packing})
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, image)
    for what in (bytes(codecs.lerc_encode(np.zeros((1200, 1200), np.uint8))), b"Lerc2 " + bytes(10**8)):
        piece = {"deflate": codecs.zlib_encode, "zstd": codecs.zstd_encode}[packing](what)
        (tmp_path / "b.tif").write_bytes(claims.compressed(bytes(piece), "lerc"))
        with pytest.raises(ImageError, match=r"claims to have 1,440,000 by|more than [\d,]+ bytes once it is unpacked"):
            read_picture(tmp_path / "b.tif")


def test_what_a_jpeg_carries_is_not_its_size(tmp_path: Path) -> None:
    codecs = pytest.importorskip("imagecodecs")
    piece = bytes(codecs.jpeg8_encode(np.full((16, 16), 100, np.uint8)))
    frame = b"\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01"
    (tmp_path / "a.tif").write_bytes(claims.compressed(piece[:2] + b"\xff\xe5\x00\x0c" + frame + piece[2:], "jpeg"))
    assert (read_picture(tmp_path / "a.tif").pixels == 100).all()
    (tmp_path / "b.tif").write_bytes(
        claims.compressed(piece[:2] + b"\xff" + frame + b"\x00\x00" + piece[2:] + b"\xff", "jpeg")
    )
    with pytest.raises(ImageError, match="a tile of 256 values claims to have 4,294,836,225 by"):
        read_picture(tmp_path / "b.tif")


@pytest.mark.parametrize("name", ["../b.tif", "/b.tif", "c:b.tif", r"\\\\host\share\b.tif", "a/../../b.tif"])
def test_files_elsewhere_that_only_words_name(tmp_path: Path, name: str) -> None:
    """Somebody else's picture must not get into a result; a name on a share would even be asked for over the network."""
    (tmp_path / "set").mkdir()
    (tmp_path / "b.tif").write_bytes(tiff(pixels(8, 9)))
    (tmp_path / "set/a.ome.tif").write_bytes(claims.ome_set(name))
    with pytest.raises(ImageError, match="name a file elsewhere"):
        read_picture(tmp_path / "set/a.ome.tif")
    (tmp_path / "set/a.ome.tif").write_bytes(claims.ome_set(name, "urn:uuid:1", "urn:uuid:2", own="urn:uuid:2"))
    with pytest.raises(ImageError, match="name a file elsewhere"):
        read_picture(tmp_path / "set/a.ome.tif")
    (tmp_path / "set/a.tif").write_bytes(claims.ndtiff())
    (tmp_path / "set/NDTiff.index").write_bytes(claims.ndtiff_index(({"z": 0}, name)))
    with pytest.raises(ImageError, match="name a file elsewhere"):
        read_picture(tmp_path / "set/a.tif")


def test_files_beside_that_words_name(tmp_path: Path) -> None:
    """The bytes of the file that names them, at the places of the other's pixels, are no picture."""
    (tmp_path / "more").mkdir()
    (tmp_path / "a.ome.tif").write_bytes(claims.ome_set("more/b.tif"))
    for options in ({}, {"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 3, "compression": "lzw"}):
        (tmp_path / "more/b.tif").write_bytes(tiff(pixels(8, 9) // 2, **options))
        for lazy in (False, True):
            picture = read_picture(tmp_path / "a.ome.tif", lazy=lazy)
            np.testing.assert_array_equal(np.asarray(picture.pixels), pixels(8, 9) // 2)


@pytest.mark.parametrize("name", [r"C:\recorded\a.ome.tif", "/recorded/a.ome.tif", "2026-01-02T12:30:00.ome.tif"])
def test_a_file_may_say_where_it_was_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.ome.tif").write_bytes(claims.ome_set(name, own="urn:uuid:1"))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.ome.tif").pixels, pixels(8, 9))


@pytest.mark.skipif(sys.platform == "win32", reason="no file can have that name there")
def test_a_file_beside_may_have_a_time_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "12:30:00.tif").write_bytes(tiff(pixels(8, 9) // 2))
    (tmp_path / "a.ome.tif").write_bytes(claims.ome_set("12:30:00.tif"))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.ome.tif").pixels, pixels(8, 9) // 2)


def test_what_makers_of_microscopes_write_is_read(tmp_path: Path) -> None:
    for content in (
        claims.ome(),
        claims.scn([0]),
        claims.scanimage("SI.a = zeros(1,9)\n"),
        claims.micro_manager({"MicroManagerVersion": "1", "Frames": 1}, [(0, 0, 0, 0, 8)]),
        claims.ndtiff(),
    ):
        (tmp_path / "a.tif").write_bytes(content)
        picture = read_picture(tmp_path / "a.tif")
        assert picture.size == (8, 9)


def test_pages_that_take_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(pixels(6, 6), more=[pixels(6, 6)] * 3))
    monkeypatch.setattr("esc_plugin.files.tiff_open.MAX_PAGES", 3)
    with pytest.raises(ImageError, match="more than 3 pages"):
        read_picture(tmp_path / "a.tif")
    monkeypatch.undo()
    assert read_picture(tmp_path / "a.tif").pixels.shape == (4, 6, 6)
    monkeypatch.setattr("esc_plugin.files.tiff_open.MAX_SECONDS", -1)
    with pytest.raises(ImageError, match="seconds to read"):
        read_picture(tmp_path / "a.tif")


#: The command line, writing its own peak memory to a file at the end.
MEASURED_CLI = r"""
import atexit, os, pathlib, re
# What getrusage tells includes the memory of the process that started this one.
peak = lambda: re.search(r"VmHWM:\s*(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]
atexit.register(lambda: pathlib.Path(os.environ["PEAK"]).write_text(str(peak())))
from esc_plugin.cli import main
main()
"""


def test_all_of_them_at_once_through_the_command_line(tmp_path: Path) -> None:
    """One line each, nothing half-written, and not more memory than the program takes for a small image."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells the peak memory of a process alone")
    bad = [(name, content) for name, content, wanted in CASES if isinstance(wanted, str) and name != "deep.avif"]
    for name, content in bad:
        (tmp_path / name).write_bytes(content())
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    program = [sys.executable, "-c", MEASURED_CLI, "upscale", str(tmp_path), "-o", str(tmp_path / "out")]
    environment = os.environ | {"PEAK": str(tmp_path / "peak")}
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"1 upscaled, 0 skipped, {len(bad)} failed" in done.stdout
    notes = [line for line in done.stderr.splitlines() if not line.startswith("error: ")]
    assert all(line.startswith("note: ") and "is taken, since" in line for line in notes)  # which model, of what can be told
    assert len(done.stderr.splitlines()) - len(notes) == len(bad)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good_x2.png"]
    assert int((tmp_path / "peak").read_text()) < 1.5 * 2**20  # KiB


def test_a_picture_whose_axes_have_no_rows_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(ome(lambda text: text.replace("XYCZT", "YYCZT")))
    picture = read_picture(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="axes 'ZYY' of shape"):
        _ = picture.size


def test_a_record_that_is_taken_out_of_a_packet_leaves_none_behind() -> None:
    record = {"software": "esc-plugin 1", "image": "a.png"}
    packet = b'<rdf:RDF esc:provenance=esc:provenance="{}""words"></rdf:RDF>'
    _, rest = split_record(packet)
    assert split_record(rest) == ({}, rest)
    assert split_record(with_record(rest, record)) == (record, rest)
