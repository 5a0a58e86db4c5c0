"""What a compressed tile says of its own size, which need not be that of the tile.

Some codecs decode whatever size their own header names: 700 bytes of JPEG 2000 become 6 GB in the place of a tile of 16x16.
"""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from math import prod
from typing import Any

import tifffile

from ..errors import ImageError
from .zstd_size import MAGIC, claimed_size

#: How many times the values of a tile may be decoded in its place, and how many more: the last strip may be a whole one.
SLACK, SPARE = 4, 2**20
#: Markers of JPEG: of a frame, which says how large it is, and of what has no length.
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
JPEG_ALONE = {0x00, 0x01, *range(0xD0, 0xDA)}
JPEG2000_SIZE = re.compile(rb"\xff\x4f\xff\x51....(.{34})", re.DOTALL)
#: The third byte after the signature says first whether sides have two bytes, or four.
JPEGXR_SIZE = re.compile(rb"WMPHOTO\0..(.).(.{4,8})", re.DOTALL)
#: Bytes of a value.
LARGEST_VALUE = 8
#: Widths for heights of JPEG XL, by the number that stands for their ratio.
JXL_RATIOS = {1: (1, 1), 2: (6, 5), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


def check_pieces(page: tifffile.TiffPage | tifffile.TiffFrame) -> None:
    """Raise an `ImageError` if a tile of a page, or a strip, is far larger by its own words."""
    if page.compression not in CLAIMS:
        return
    file, keyframe = page.parent.filehandle, page.keyframe
    assert keyframe is not None
    if closed := file.closed:  # of a set
        file.open()
    try:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            file.seek(offset)
            check_piece(file.read(count), page.compression, values_of(keyframe))
    finally:
        if closed:
            file.close()


def values_of(page: tifffile.TiffPage) -> int:
    """Return how many values a tile, or a strip, has."""
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    if page.is_tiled:
        return int(prod((page.tiledepth, page.tilelength, page.tilewidth, samples)))
    return int(min(page.rowsperstrip, page.imagelength) * page.imagewidth * samples)


def check_piece(data: bytes, compression: int, values: int) -> None:
    """Raise an `ImageError` if what is compressed is far larger by its own words.

    Parameters
    ----------
    compression : int
        As TIFF numbers it.
    values : int
        That the tile or strip has.
    """
    most = SLACK * values + SPARE
    if compression == LERC:
        data = _unpacked(data, LARGEST_VALUE * most)
    if compression in CLAIMS:
        with suppress(struct.error, IndexError):  # not even a header: the decoder says so
            for claimed in CLAIMS[compression](data):
                if claimed > most:
                    raise ImageError(f"a tile of {values:,} values claims to have {claimed:,} by what is compressed in it.")


def _jpeg(data: bytes) -> Iterator[int]:
    """Yield the values of all frames; from segment to segment, since in a profile or a thumbnail anything may stand."""
    at = 0
    while 0 < (at := data.find(b"\xff", at) + 1) < len(data) - 8:
        if (marker := data[at]) in JPEG_FRAMES:
            yield prod(struct.unpack_from(">HHB", data, at + 4))
        if marker not in JPEG_ALONE and marker != 0xFF:
            at += 1 + struct.unpack_from(">H", data, at + 1)[0]


def _jpeg2000(data: bytes) -> Iterator[int]:
    for match in JPEG2000_SIZE.finditer(data):
        right, bottom, left, top, *_, components = struct.unpack(">8IH", match[1])
        yield (right - left) * (bottom - top) * components


def _webp(data: bytes) -> Iterator[int]:
    kind = data[12:16]
    if kind == b"VP8X":
        yield 4 * (1 + int.from_bytes(data[24:27], "little")) * (1 + int.from_bytes(data[27:30], "little"))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        yield 4 * (1 + (bits & 0x3FFF)) * (1 + (bits >> 14 & 0x3FFF))
    else:
        yield 4 * prod(side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))


def _png(data: bytes) -> Iterator[int]:
    yield 4 * prod(struct.unpack_from(">II", data, 16))


def _lerc(data: bytes) -> Iterator[int]:
    if data[:10] == b"CntZImage ":
        yield prod(struct.unpack_from("<ii", data, 18))
    elif data[:6] == b"Lerc2 ":
        (version,) = struct.unpack_from("<i", data, 6)
        yield prod(struct.unpack_from("<iii" if version >= 4 else "<ii", data, 14 if version >= 3 else 10))


def _unpacked(data: bytes, most: int) -> bytes:
    """Return LERC that is compressed once more by Deflate or Zstandard, as GDAL can have it, without that.

    The decoder does so without a limit; here an `ImageError` is raised for more than `most` bytes.
    """
    if data.startswith(MAGIC.to_bytes(4, "little")):
        try:
            import imagecodecs
        except ImportError:
            return data
        try:
            return bytes(imagecodecs.zstd_decode(data, out=most))
        except imagecodecs.ZstdError as error:
            raise ImageError(f"a tile is damaged, or more than {most:,} bytes once it is unpacked ({error}).") from None
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(data, most)
    except zlib.error:
        return data
    if unpacking.unconsumed_tail:
        raise ImageError(f"a tile is more than {most:,} bytes once it is unpacked.")
    return found


def _streamed(decompressor: Callable[[], Any], data: bytes) -> Iterator[int]:
    """Yield how large a stream has become so far, in values of the largest kind, without keeping it.

    The decoders of imagecodecs stop where a tile ends; those of Python, which tifffile takes without it, don't.
    """
    stream, size, rest = decompressor(), 0, data
    with suppress(zlib.error, lzma.LZMAError):  # damaged, which the decoder says
        while not stream.eof and (part := stream.decompress(rest, SPARE)):
            rest = getattr(stream, "unconsumed_tail", b"")
            size += len(part)
            yield size // LARGEST_VALUE


def _zstd(data: bytes) -> Iterator[int]:
    yield claimed_size(memoryview(data)) // LARGEST_VALUE


def _jpegxr(data: bytes) -> Iterator[int]:
    """Read the directory of the container, which is like that of a TIFF, and the heads of what is in it (T.832, 8.3)."""
    for match in JPEGXR_SIZE.finditer(data):
        short = match[1][0] & 0x80
        width, height = struct.unpack_from(">HH" if short else ">II", match[2].ljust(8, b"\0"))
        yield 4 * (width + 1) * (height + 1)
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    sides = {}
    for i in range(count):
        code, kind, _, value = struct.unpack_from("<HHII", data, at + 2 + 12 * i)
        sides[code] = value if kind == 4 else value & 0xFFFF
    yield 4 * sides.get(0xBC80, 1) * sides.get(0xBC81, 1)


def _jpegxl(data: bytes) -> Iterator[int]:
    """Read the size at the beginning of the codestream, which may be in a box."""
    start = 2 if data[:2] == b"\xff\x0a" else data.index(b"\xff\x0a", 12) + 2 if b"\xff\x0a" in data[12:] else len(data)
    bits, place = int.from_bytes(data[start : start + 12], "little"), 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return bits >> place - count & (1 << count) - 1

    small = take(1)

    def side() -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    height = side()
    ratio = JXL_RATIOS.get(take(3))
    yield 4 * height * (height * ratio[0] // ratio[1] if ratio else side())


LERC = 34887
#: By the number of a compression, what finds sizes in what is compressed.
CLAIMS: dict[int, Callable[[bytes], Iterator[int]]] = {
    **dict.fromkeys((6, 7, 33007, 34892), _jpeg),
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg2000),
    **dict.fromkeys((34927, 50001), _webp),
    **dict.fromkeys((22610, 34934), _jpegxr),
    **dict.fromkeys((50002, 52546), _jpegxl),
    LERC: _lerc,
    34933: _png,
}
if find_spec("imagecodecs") is None:
    CLAIMS |= dict.fromkeys((8, 32946), partial(_streamed, zlib.decompressobj))
    CLAIMS |= {34925: partial(_streamed, lzma.LZMADecompressor)} | dict.fromkeys((34926, 50000), _zstd)
