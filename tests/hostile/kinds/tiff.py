"""TIFF: directories whose tags, types, counts, values and offsets lie; OME's, ImageJ's and tifffile's own descriptions."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any, NamedTuple

import numpy as np
import tifffile
from PIL import Image

from .. import claims
from ..case import Case
from ..mutate import NUMBERS, damaged, retyped
from ..pictures import pixels, tiff
from ..upscaling import image_case, pick_target

GRAY = {"photometric": "minisblack"}
#: Tags that decide what is read: sizes, bits, colours, places and lengths of strips and tiles, palettes, other directories.
TAGS = (
    *(254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 282, 283, 284, 296, 317, 320, 322, 323, 324, 325),
    *(330, 338, 339, 347, 530, 700, 32997, 33723, 34665, 34675, 34853, 42113, 50838, 50839),
)
#: Files that are said to hold planes.
NAMES = (
    "a.tif",
    "a.ome.tif",
    "b.tif",
    "../a.tif",
    "/etc/passwd",
    "c:\\a.tif",
    "x/../../a.tif",
    "//host/share/a.tif",
    "",
    "\u202e",
)
#: Bytes of a value by type.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@cache
def good() -> tuple[bytes, ...]:
    """Return files of every kind that is read."""
    image, stack = pixels(20, 24), pixels(3, 10, 12)
    palette = np.arange(768, dtype=np.uint16).reshape(3, 256) * 85
    inks = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    exif.get_ifd(34665)[36867] = "2020:01:01 00:00:00"
    Image.fromarray(pixels(9, 8, 3)).save(inks, "TIFF", exif=exif, dpi=(100, 50))
    return (
        tiff(image),
        _written(image.astype(np.uint16), **GRAY, byteorder=">", tile=(16, 16), compression="zlib", predictor=True),
        tiff(image.astype(np.float32), rowsperstrip=7, compression="lzw", predictor=3),
        tiff(image > 99, tile=(16, 16)),
        tiff(pixels(10, 12, 3), photometric="rgb", rowsperstrip=4, compression="packbits"),
        _written(pixels(10, 12, 4), photometric="rgb", extrasamples=["unassalpha"], bigtiff=True, tile=(16, 16)),
        tiff(pixels(3, 10, 12), photometric="rgb", planarconfig="separate", rowsperstrip=4, compression="zlib"),
        tiff(pixels(10, 12, 4), photometric="rgb", extrasamples=["assocalpha"]),
        tiff(image, photometric="palette", colormap=palette),
        tiff(image, photometric="miniswhite", rowsperstrip=6, compression="zlib"),
        tiff(stack[0], more=list(stack[1:]), compression="zlib", rowsperstrip=4, resolution=(300, 200)),
        *(_written(stack, **options) for options in _described()),
        inks.getvalue(),
        tiff(image, extratags=[(700, 7, 12, b"<x:xmpmeta/>", True), (33723, 7, 4, b"abcd", True)], software="me"),
    )


def _described() -> Iterator[dict[str, Any]]:
    yield GRAY | {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 2.0, "unit": "um"}, "resolution": (4.0, 4.0)}
    yield GRAY | {"ome": True, "metadata": {"axes": "CYX", "PhysicalSizeX": 0.5, "Channel": {"Name": ["a", "b", "c"]}}}
    yield GRAY | {"ome": True, "metadata": {"axes": "TYX"}, "tile": (16, 16), "compression": "zlib"}
    yield GRAY | {"metadata": {"axes": "QYX", "more": [1, 2]}}
    yield GRAY | {"volumetric": True, "tile": (2, 16, 16), "metadata": None}


def _written(image: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, image, **options)
    return file.getvalue()


class Form(NamedTuple):
    """How the numbers of a file are written."""

    order: str
    count: str
    offset: str
    entry: int


def form_of(data: bytes) -> Form:
    """Return how the numbers of a file are written."""
    order = "<" if data[:2] == b"II" else ">"
    return Form(order, "Q", "Q", 20) if data[2:4] in (b"+\0", b"\0+") else Form(order, "H", "I", 12)


def entries_of(data: bytes) -> list[int]:
    """Return where the entries of all directories are."""
    form, found = form_of(data), []
    size, wide = struct.calcsize(form.count), struct.calcsize(form.offset)
    (at,) = struct.unpack_from(form.order + form.offset, data, 8 if wide == 8 else 4)
    for _ in range(20):
        if not at or at + size > len(data):
            break
        (count,) = struct.unpack_from(form.order + form.count, data, at)
        after = at + size + count * form.entry
        if after + wide > len(data):
            break
        found += range(at + size, after, form.entry)
        (at,) = struct.unpack_from(form.order + form.offset, data, after)
    return found


def case(rng: Random) -> Case:
    """Return a TIFF with something changed."""
    data, what = rng.choice(good()), rng.choice(("bytes", "tags", "tags", "tags", "text", "claims", "codec"))
    if what == "bytes":
        data = damaged(rng, data, good())
    elif what == "text":
        data = _described_otherwise(rng, data)
    elif what == "claims":
        data = _claimed(rng)
    elif what == "codec":
        data = _coded(rng)
    else:
        changed, places = bytearray(data), entries_of(data)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            _change(rng, changed, places)
        data = bytes(changed)
    suffix = rng.choice((".tif", ".ome.tif"))
    return image_case(f"tiff, {what}", f"a{suffix}", data, pick_target(rng, suffix))


def _claimed(rng: Random) -> bytes:
    """Return a file of the makers of microscopes that claims something."""

    def number() -> int:
        return rng.choice((0, 1, 1, 2, 3, rng.randrange(100), 10**6, 6 * 10**6, *NUMBERS))

    entry = "".join(f' {name}="{number()}"' for name in ("IFD", "PlaneCount", "NumPlanes", "FirstZ") if rng.random() < 0.4)
    makers: tuple[Callable[[], bytes], ...] = (
        lambda: claims.ome(rng.choice((1, 3)), **{name: number() for name in rng.sample("xyzct", rng.choice((1, 1, 2)))}),
        lambda: claims.ome(3, z=rng.choice((1, 3)), data=f"<TiffData{entry}/>" * rng.choice((1, 1, 2, 500))),
        lambda: claims.ome(order="".join(rng.choices("XYZCT", k=rng.choice((2, 5, 9))))),
        lambda: claims.ome_modulo(*(rng.choice((0, 1, 2.5, -1, 1e-9, 1e9, 1e300, rng.random())) for _ in range(3))),
        lambda: claims.ome_set(rng.choice(NAMES), rng.choice(("urn:uuid:1", "", "\u202e"))),
        lambda: claims.scn([number() for _ in range(rng.choice((1, 2, 5)))]),
        lambda: claims.scanimage(f"SI.a = {rng.choice(('zeros', 'ones', ''))}({number()},{number()})\nSI.b = {{1 [2 3]}}\n"),
        lambda: claims.micro_manager(
            {"MicroManagerVersion": "1"} | {n: number() for n in ("Frames", "Slices", "Channels") if rng.random() < 0.6},
            [[number() for _ in range(4)] + [rng.choice((8, 40, number()))] for _ in range(rng.choice((1, 1, 2)))],
        ),
        lambda: claims.inner_pages(rng.choice((1, 2, 50, 20_000))),
        lambda: claims.ndtiff(rng.choice((1, 2, 3))),
    )
    data = rng.choice(makers)()
    return damaged(rng, data) if rng.random() < 0.2 else data


def _coded(rng: Random) -> bytes:
    """Return a file with a tile of another size, or a damaged one."""
    name, samples, small, large = rng.choice(_codecs())
    piece = rng.choice((small, small, large))
    piece = damaged(rng, piece[:200]) + piece[200:] if rng.random() < 0.7 else piece
    return claims.compressed(piece, name, samples=samples, tiles=rng.choice((1, 2)))


@cache
def _codecs() -> list[tuple[str, int, bytes, bytes]]:
    """Return codecs by name: how many samples, a tile, and a picture that needs much more memory than its bytes."""
    import imagecodecs

    makers: dict[str, tuple[int, Any]] = {
        "jpeg2000": (1, lambda image: imagecodecs.jpeg2k_encode(image, level=0)),
        "webp": (3, lambda image: imagecodecs.webp_encode(image, lossless=True)),
        "jpegxl": (1, imagecodecs.jpegxl_encode),
        "jpegxr": (1, imagecodecs.jpegxr_encode),
        "jpeg": (3, imagecodecs.jpeg8_encode),
        "lerc": (1, imagecodecs.lerc_encode),
        "png": (1, imagecodecs.png_encode),
        "zstd": (1, lambda image: imagecodecs.zstd_encode(image.tobytes())),
        "lzma": (1, lambda image: imagecodecs.lzma_encode(image.tobytes())),
    }
    return [
        (
            name,
            samples,
            bytes(encode(pixels(16, 16, samples).squeeze())),
            bytes(encode(np.zeros((6000, 6000, samples), np.uint8).squeeze())),
        )
        for name, (samples, encode) in makers.items()
    ]


def _change(rng: Random, data: bytearray, places: list[int]) -> None:
    """Change a part of an entry, or the directory's end."""
    form, at = form_of(data), rng.choice(places)
    kind = rng.randrange(7)
    wide = struct.calcsize(form.offset)
    value_at = at + 4 + wide
    if kind == 0:
        struct.pack_into(form.order + "H", data, at, rng.choice(TAGS))
    elif kind == 1:
        struct.pack_into(form.order + "H", data, at + 2, rng.choice((*SIZES, 0, 99)))
    elif kind == 2:
        struct.pack_into(
            form.order + form.offset,
            data,
            at + 4,
            rng.choice((0, 1, 2, 3, 4, 5, 100, len(data), *NUMBERS)) % 2 ** (8 * wide),
        )
    elif kind == 3:  # another entry over this one
        other = rng.choice(places)
        data[at : at + form.entry] = data[other : other + form.entry]
    elif kind == 4:  # some place in the file
        value = rng.choice((rng.randrange(len(data)), rng.choice(places), len(data) - 1))
        struct.pack_into(form.order + form.offset, data, value_at, value)
    elif kind == 5:  # what follows the last entry is the next directory
        after = max(places) + form.entry
        if after + wide <= len(data):
            value = rng.choice((rng.choice(places), rng.randrange(len(data)), 8, min(places) - struct.calcsize(form.count)))
            struct.pack_into(form.order + form.offset, data, after, value)
    else:
        (tag_type,) = struct.unpack_from(form.order + "H", data, at + 2)
        letter = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(tag_type, form.offset)
        value = rng.choice((rng.randrange(9), *NUMBERS)) % 2 ** (8 * struct.calcsize(letter))
        struct.pack_into(form.order + letter, data, value_at, value)


def _described_otherwise(rng: Random, data: bytes) -> bytes:
    """Return the same pixels with another description."""
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        page = tif.pages.first
        image, text, photometric = tif.asarray(), page.description, page.photometric
    if not re.search("<OME|ImageJ|shape", text):
        text = rng.choice(DESCRIPTIONS)
    if rng.random() < 0.5:
        sizes = rng.choice(NUMBERS)
        text = re.sub(
            rng.choice((r'(?<=Size[XYZCT]=")\d+', r"(?<==)\d+", r"\d+", '(?<=Type=").*?(?=")', r'(?<==")[^"]*')),
            str(sizes),
            text,
            count=rng.choice((0, 1)),
        )
    else:
        text = retyped(rng, text)
    planes = image.reshape(-1, *image.shape[-2:]) if photometric == 1 else [image]
    options = {"photometric": "minisblack"} if photometric == 1 else {"photometric": "rgb"}
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=rng.random() < 0.2, byteorder=rng.choice("<>")) as tif:
        for plane in planes:
            if photometric != 1 and plane.shape[-1] not in (3, 4):
                plane, options = plane.reshape(-1, plane.shape[-1]), {"photometric": "minisblack"}
            tif.write(plane, description=text.encode("utf-8", "replace"), metadata=None, **options)
    return file.getvalue()


DESCRIPTIONS = (
    "ImageJ=1.53t\nimages=3\nslices=3\nunit=micron\nspacing=0.5\nloop=false\nmin=0.0\nmax=255.0\n",
    '{"shape": [3, 10, 12], "axes": "ZYX"}',
    "Aperio Image Library v11\n46920x33014 [0,100 46000x32914] (256x256) JPEG/RGB Q=30|AppMag = 20|MPP = 0.4990",
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
    'DimensionOrder="XYZCT" SizeX="24" SizeY="20" SizeZ="1" SizeC="1" SizeT="1" Type="uint8"><TiffData/></Pixels>'
    "</Image></OME>",
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><OME>&b;</OME>',
)
