"""TIFF files of the makers of microscopes, whose words claim whatever they are told to."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence

import numpy as np
import tifffile

from .pictures import pixels, tiff

OME = (
    '<?xml version="1.0"?><OME{own} xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">{ref}'
    '<Pixels DimensionOrder="{order}" SizeX="{x}" SizeY="{y}" SizeZ="{z}" SizeC="{c}" SizeT="{t}" Type="uint8">{data}'
    "</Pixels></Image>{more}</OME>"
)
#: What a good image of `pixels(8, 9)` says.
GOOD = {"order": "XYZCT", "x": 9, "y": 8, "z": 1, "c": 1, "t": 1, "data": "<TiffData/>", "ref": "", "more": "", "own": ""}
MODULO = (
    '<StructuredAnnotations><XMLAnnotation ID="A" Namespace="openmicroscopy.org/omero/dimension/modulo"><Value><Modulo>'
    '<ModuloAlongZ Type="phase" Start="{start}" End="{end}" Step="{step}"/></Modulo></Value></XMLAnnotation>'
    "</StructuredAnnotations>"
)
SCN = '<?xml version="1.0"?><scn><collection><image name="a"><pixels>{}</pixels></image></collection></scn>'
HEIGHT, WIDTH = 8, 9
LONG, SHORT, TEXT = 4, 3, 2


def ome(pages: int = 1, **claims: object) -> bytes:
    """Return a file with OME-XML that says something else than `GOOD`."""
    image = pixels(HEIGHT, WIDTH)
    return tiff(image, more=[image] * (pages - 1), description=OME.format(**GOOD | claims).encode())


def ome_modulo(start: float, end: float, step: float) -> bytes:
    """Return a file whose planes are several things along an axis, in steps."""
    return ome(ref='<AnnotationRef ID="A"/>', more=MODULO.format(start=start, end=end, step=step))


def ome_set(name: str, *uuids: str, own: str = "") -> bytes:
    """Return a file, of an identity of its own if it has one, that says that its only plane lies in others of a name."""
    files = "".join(f'<UUID FileName="{name}">{uuid}</UUID>' for uuid in uuids or ["urn:uuid:1"])
    return ome(data=f'<TiffData IFD="0" PlaneCount="1">{files}</TiffData>', own=f' UUID="{own}"' if own else "")


def scn(channels: Sequence[int]) -> bytes:
    """Return a Leica slide of these numbers of channels."""
    return tiff(pixels(HEIGHT, WIDTH), description=SCN.format("".join(f'<dimension c="{c}" ifd="0"/>' for c in channels)))


def scanimage(text: str) -> bytes:
    """Return a ScanImage file whose head has words of MATLAB."""
    words = text.encode() + b"\0"
    head = struct.pack("<IIII", 0x07030301, 4, len(words), 0) + words
    return _plain(head, [(305, TEXT, b"SI.VERSION = 1\0")], big=True)


def micro_manager(summary: object, index: Sequence[Sequence[int]]) -> bytes:
    """Return a Micro-Manager stack of channel, slice, frame, position and offset of each page."""
    words = json.dumps(summary).encode()
    table = b"".join(struct.pack("<5I", *(n % 2**32 for n in row)) for row in index)
    at = 8 + 32 + len(words)
    head = struct.pack("<8I", 54773648, at, 0, 0, 0, 0, 2355492, len(words)) + words
    return _plain(head + struct.pack("<II", 3453623, len(index)) + table, [(51123, TEXT, b'{"a": 1}\0')])


def inner_pages(count: int) -> bytes:
    """Return a file whose page has itself inside, over and over."""
    data = bytearray(_plain(b"", [(330, LONG, bytes(4 * count))]))
    first = data[4:8]
    place = struct.unpack("<I", data[-8:-4])[0]  # of the last entry's value
    data[place : place + 4 * count] = bytes(first) * count
    return bytes(data)


def ndtiff(version: int = 2) -> bytes:
    """Return a file of a set that has an index beside it, ``NDTiff.index``."""
    return _plain(struct.pack("<4I", 483729, version, 2355492, 2) + b"{}", [(51123, TEXT, b'{"a": 1}\0')])


def ndtiff_index(*frames: tuple[dict[str, object], str]) -> bytes:
    """Return an index of the places of frames along axes, and of the files that they are in."""
    found = b""
    for axes, name in frames:
        for text in (json.dumps(axes).encode(), name.encode("utf-8", "replace")):
            found += struct.pack("<I", len(text)) + text
        found += struct.pack("<8i", 8, WIDTH, HEIGHT, 0, 0, 0, 0, 0)
    return found


def _plain(head: bytes, tags: Sequence[tuple[int, int, bytes]], big: bool = False) -> bytes:
    """Return an uncompressed TIFF, its words before its pixels, with more tags whose values lie behind them."""
    data = bytearray(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0))
    data += head
    entries = [(256, LONG, 1, WIDTH), (257, LONG, 1, HEIGHT), (258, SHORT, 1, 8), (259, SHORT, 1, 1), (262, SHORT, 1, 1)]
    entries += [(273, LONG, 1, len(data)), (277, SHORT, 1, 1), (278, LONG, 1, HEIGHT), (279, LONG, 1, HEIGHT * WIDTH)]
    data += pixels(HEIGHT, WIDTH).tobytes()
    for code, kind, value in tags:
        data += bytes(len(data) % 2)
        entries.append((code, kind, len(value) // (4 if kind == LONG else 1), len(data)))
        data += value
    data += bytes(len(data) % 2)
    struct.pack_into("<Q" if big else "<I", data, 8 if big else 4, len(data))
    count, entry, end = ("<Q", "<HHQQ", "<Q") if big else ("<H", "<HHII", "<I")
    listed = b"".join(struct.pack(entry, *fields) for fields in entries)
    return bytes(data + struct.pack(count, len(entries)) + listed + struct.pack(end, 0))


def compressed(piece: bytes, compression: str | int, side: int = 16, samples: int = 1, tiles: int = 1) -> bytes:
    """Return a file with tiles in a row, which hold whatever they are given."""
    shape = (side, tiles * side) if samples == 1 else (side, tiles * side, samples)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tif:
        options = {"photometric": "minisblack" if samples == 1 else "rgb", "metadata": None, "tile": (side, side)}
        # Of tiles so small tifffile tells the lengths in 16 bits.
        tif.write(iter([piece[:65535]] * tiles), shape=shape, dtype=np.uint8, compression=compression, **options)
    return file.getvalue()
