"""Image files as bytes: good ones of every format, and the odd ones that damage and attackers make of them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from PIL import Image


def pixels(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def saved(form: str, *shape: int, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(*(shape or (40, 30, 3)))).save(file, form, **options)
    return file.getvalue()


def cut(data: bytes, share: float = 0.6) -> bytes:
    return data[: int(len(data) * share)]


def png(width: int, height: int, depth: int, kind: int, *chunks: tuple[bytes, bytes], data: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    out = b"\x89PNG\r\n\x1a\n"
    for name, body in parts:
        out += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return out


def tiff(image: np.ndarray, *, more: list[np.ndarray] | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    options = {"photometric": "minisblack", "metadata": None, **options}
    with tifffile.TiffWriter(file) as tif:
        for page in [image, *(more or [])]:
            tif.write(page, **options)
    return file.getvalue()


def patched(data: bytes, tag: int, value: int, kind: str = "I") -> bytes:
    """Overwrite the value of a tag of a little-endian TIFF."""
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        place = tif.pages.first.tags[tag].valueoffset
    size = struct.calcsize(kind)
    return data[:place] + struct.pack("<" + kind, value) + data[place + size :]


def animated(form: str) -> bytes:
    frames = [Image.fromarray(pixels(8, 8, 3) // (i + 1)) for i in range(3)]
    file = io.BytesIO()
    frames[0].save(file, form, save_all=True, append_images=frames[1:])
    return file.getvalue()


def cmyk(**options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("CMYK", (6, 5), (10, 20, 30, 40)).save(file, "JPEG", **options)
    return file.getvalue()


def saved_cmyk_tiff() -> bytes:
    file = io.BytesIO()
    Image.new("CMYK", (6, 5), (10, 20, 30, 40)).save(file, "TIFF")
    return file.getvalue()


def one_bit() -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(5, 9) > 128).save(file, "PNG")
    return file.getvalue()


def cyclic_tiff() -> bytes:
    """Return a TIFF whose directory says that it is followed by itself."""
    data = tiff(pixels(6, 6))
    (first,) = struct.unpack("<I", data[4:8])
    (entries,) = struct.unpack("<H", data[first : first + 2])
    after = first + 2 + 12 * entries
    return data[:after] + struct.pack("<I", first) + data[after + 4 :]


def ome(change: Callable[[str], str]) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels(2, 6, 6), ome=True, photometric="minisblack", metadata={"axes": "ZYX"})
    file.seek(0)
    with tifffile.TiffFile(file) as tif:
        text = tif.ome_metadata or ""
    return tiff(pixels(2, 6, 6), description=change(text))


def endless_tiff(page: bytes, pages: int, back_to: int) -> bytes:
    """Return a TIFF with directories without a tag behind its first page, the last of which leads back."""
    (first,) = struct.unpack("<I", page[4:8])
    (entries,) = struct.unpack("<H", page[first : first + 2])
    after, start = first + 2 + 12 * entries, len(page)
    following = [start + 6 * i for i in range(1, pages)] + [start + 6 * back_to]
    chain = b"".join(struct.pack("<HI", 0, offset) for offset in following)
    return page[:after] + struct.pack("<I", start) + page[after + 4 :] + chain


def overlapping_tiff(page: bytes, pages: int) -> bytes:
    """Return a TIFF whose directories of many tags lie inside each other, so that it can't be read in a reasonable time."""
    (first,) = struct.unpack("<I", page[4:8])
    (entries,) = struct.unpack("<H", page[first : first + 2])
    after, start, body = first + 2 + 12 * entries, len(page), bytearray(pages * 8 + 12 * 4096 + 16)
    for i in range(pages):
        struct.pack_into("<H", body, 8 * i, 3000)
        struct.pack_into("<I", body, 8 * i + 2 + 12 * 3000, start + 8 * (i + 1))
    return page[:after] + struct.pack("<I", start) + page[after + 4 :] + bytes(body)
