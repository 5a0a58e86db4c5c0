"""PNG, with what Pillow doesn't do for it: 16 bits per sample of colour, and chunks that stay as they are."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from ..errors import ImageError
from .exif import resized_exif
from .format import USUAL, Format
from .picture import Picture
from .pillow import PLAIN_AXES, PLAIN_TYPES, opened_still, packet_of, picture_of

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD_BYTES = len(SIGNATURE) + 25  # with IHDR, which always comes first
#: Chunks that say how to show the colours, and text; they stay true whatever the size.
KEPT = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"tEXt", b"zTXt", b"iTXt")
#: Text that Pillow hands out as EXIF or XMP, by the start of the chunk.
OTHERWISE_KEPT = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")
#: Chunks before the pixels are read up to this size each; no real text is longer.
MAX_CHUNK_BYTES = 64 * 2**20
INCHES_PER_METRE = 1 / 0.0254


def read_png(path: Path, max_pixels: int) -> Picture:
    """Read a still PNG."""
    with opened_still(path, "PNG", max_pixels) as image:
        picture = picture_of(image, "PNG", max_pixels, read_deep(path) if is_deep_colour(path) else None)
        picture.chunks = kept_chunks(path)
        return picture


def chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and data of each chunk but the pixels."""
    with path.open("rb") as file:
        file.seek(len(SIGNATURE))
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            if name in (b"IDAT", b"fdAT") or size > MAX_CHUNK_BYTES:
                file.seek(size + 4, 1)
                continue
            data = file.read(size)
            file.seek(4, 1)
            yield name, data
            if name == b"IEND":  # what follows is no part of the image, and nobody has looked at it
                return


def kept_chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Return the chunks that go into the result as they are."""
    return [(name, data) for name, data in chunks(path) if name in KEPT and not data.startswith(OTHERWISE_KEPT)]


def is_deep_colour(path: Path) -> bool:
    """Whether a PNG has 16 bits and more than one sample per pixel, which Pillow would cut to 8."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return head[12:16] == b"IHDR" and head[24] == 16 and head[25] in (2, 4, 6)


def read_deep(path: Path) -> np.ndarray:
    """Decode a PNG of 16 bits per sample as (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) uint16."""
    pixels: np.ndarray = require_imagecodecs().png_decode(path.read_bytes())
    transparent = next((data for name, data in chunks(path) if name == b"tRNS"), b"")
    if transparent and pixels.ndim == 3 and pixels.shape[2] == 3:
        key = struct.unpack(">3H", transparent[:6])
        pixels = np.dstack([pixels, np.where((pixels == key).all(-1), 0, 65535).astype(np.uint16)])
    return pixels


def check_png(picture: Picture, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise an `ImageError` if what encodes 16 bits of colour isn't there."""
    if dtype.name == "uint16" and "S" in picture.axes:
        require_imagecodecs()


def write_png(file: IO[bytes], picture: Picture, quality: int | None = None) -> None:
    """Write gray, LA, RGB or RGBA of 8 or 16 bits, or bool, with what the picture carries; nothing is lossy here."""
    pixels = np.asarray(picture.pixels)
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    target: Any = _WithChunks(file, _chunks_of(picture))
    if pixels.dtype == np.uint16 and pixels.ndim == 3:
        target.write(require_imagecodecs().png_encode(pixels))
    else:
        Image.fromarray(pixels).save(target, "PNG")


class _WithChunks:
    """A file that a PNG is written to, and that gets more chunks behind the first.

    Parameters
    ----------
    file : file
        For all of it.
    chunks : iterable of (bytes, bytes)
        Their names and data.
    """

    def __init__(self, file: IO[bytes], chunks: Iterable[tuple[bytes, bytes]]) -> None:
        self.file, self.chunks, self.head = file, chunks, HEAD_BYTES

    def write(self, data: bytes) -> int:
        """Write what comes next."""
        self.file.write(data[: self.head])
        rest = data[self.head :]
        self.head = max(self.head - len(data), 0)
        if not self.head:
            for name, content in self.chunks:
                _write_chunk(self.file, name, content)
            self.chunks = ()
        self.file.write(rest)
        return len(data)


def _chunks_of(picture: Picture) -> Iterator[tuple[bytes, bytes]]:
    if picture.icc:
        yield b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc)
    # A profile says more than sRGB, and only one of the two is allowed.
    yield from ((name, data) for name, data in picture.chunks if not (picture.icc and name == b"sRGB"))
    if picture.dpi:
        yield b"pHYs", struct.pack(">IIB", *(round(dpi * INCHES_PER_METRE) for dpi in picture.dpi), 1)
    if exif := resized_exif(picture.exif, *picture.size):
        yield b"eXIf", exif
    if picture.packet:
        yield b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + picture.packet
    if picture.comment:
        yield b"iTXt", b"Comment\0\0\0\0\0" + picture.comment.decode("utf-8", "replace").encode()


def _write_chunk(file: IO[bytes], name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))


def require_imagecodecs() -> Any:
    """Return the library that encodes 16-bit colour, or raise an `ImageError` that says how to get it."""
    try:
        import imagecodecs
    except ImportError:
        raise ImageError("PNG with 16 bits per colour needs imagecodecs; install it with: pip install imagecodecs") from None
    return imagecodecs


PNG = Format(
    "PNG",
    (".png",),
    starts=re.compile(re.escape(SIGNATURE)),
    read=read_png,
    packet=partial(packet_of, name="PNG"),
    write=write_png,
    check=check_png,
    dtypes=(*PLAIN_TYPES, "uint16"),
    axes=PLAIN_AXES,
    largest_side=2**31 - 1,
    exact=True,
    keeps=USUAL | {"text", "gamma and primaries", "comment", "resolution"},
)
