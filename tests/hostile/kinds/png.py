"""PNG: chunks that lie, repeat, are missing, hold bombs or damaged pixels; mostly with true checksums."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from random import Random

import numpy as np
from PIL import Image, PngImagePlugin

from ..case import Case
from ..mutate import NUMBERS, damaged
from ..pictures import animated, one_bit, pixels, png, saved
from ..upscaling import image_case, pick_target

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunk = tuple[bytes, bytes]


@cache
def good() -> tuple[bytes, ...]:
    """Return files of every depth and kind of colour, with what else they can carry."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "words")
    text.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>')
    exif = Image.Exif()
    exif[274], exif[271] = 6, "maker"
    deep = np.arange(360, dtype=">u2").reshape(10, 36)
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    palette = io.BytesIO()
    Image.fromarray(pixels(10, 12, 3)).quantize(16).save(palette, "PNG", transparency=3)
    return (
        saved("PNG", 10, 12, 3, pnginfo=text, exif=exif, dpi=(300, 200), icc_profile=b"x" * 200),
        *(saved("PNG", *shape) for shape in ((9, 8), (10, 12, 4), (9, 8, 3), (1, 1))),
        png(6, 4, 16, 6, (b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0"), data=bytes(4 * 49)),
        png(18, 10, 16, 2, (b"tRNS", bytes(6)), data=b"".join(b"\0" + bytes(108) for _ in range(10))),
        png(36, 10, 16, 0, (b"tRNS", b"\0\5"), data=rows),
        *(one_bit(), animated("PNG"), palette.getvalue()),
    )


def chunks_of(data: bytes) -> list[Chunk]:
    """Return the chunks of a file."""
    at, found = 8, []
    while at + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        found.append((name, data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def joined(rng: Random, chunks: list[Chunk]) -> bytes:
    """Return a file of chunks; now and then a checksum or a length is wrong."""
    out = SIGNATURE
    for name, body in chunks:
        size = len(body) if rng.randrange(60) else rng.choice(NUMBERS) % 2**32
        checksum = zlib.crc32(name + body) ^ (not rng.randrange(60))
        out += struct.pack(">I", size) + name + body + struct.pack(">I", checksum)
    return out


def odd(rng: Random) -> Chunk:
    """Return a chunk that says something unusual."""
    number = struct.pack(">I", rng.choice(NUMBERS) % 2**32)
    bomb = zlib.compress(bytes(rng.choice((10, 10**6, 8 * 10**6))))
    bodies = {
        b"tRNS": rng.randbytes(rng.choice((0, 1, 2, 6, 256, 300))),
        b"PLTE": rng.randbytes(rng.choice((0, 1, 3, 48, 768, 900))),
        b"gAMA": number,
        b"cHRM": number * 8,
        b"pHYs": number * 2 + b"\1",
        b"sRGB": rng.randbytes(1),
        b"cICP": rng.randbytes(4),
        b"iCCP": b"a\0\0" + bomb,
        b"zTXt": rng.choice((b"a\0\0", b"Raw profile type exif\0\0", b"XML:com.adobe.xmp\0\0")) + bomb,
        b"iTXt": rng.choice((b"a\0\1\0\0\0", b"XML:com.adobe.xmp\0\1\0\0\0", b"XML:com.adobe.xmp\0\0\0\0\0")) + bomb,
        b"tEXt": rng.choice((b"", b"no end", b"a\0" + bytes(1000), b"Raw profile type exif\0\nexif\n 9\nzz")),
        b"eXIf": rng.choice((b"MM\0*", b"II*\0\x08\0\0\0")) + rng.randbytes(30),
        b"acTL": number * 2,
        b"fcTL": number * 6,
        b"IDAT": rng.randbytes(20),
        b"IEND": b"",
        b"IHDR": number * 3 + b"\0",
    }
    name = rng.choice(list(bodies))
    return name, bodies[name]


def case(rng: Random) -> Case:
    """Return a PNG with something changed."""
    data, what = rng.choice(good()), rng.choice(("bytes", "chunks", "chunks", "pixels", "head"))
    chunks = chunks_of(data)
    if what == "bytes":
        data = damaged(rng, data, good())
    else:
        for _ in range(rng.choice((1, 1, 2, 3))):
            _change(rng, what, chunks)
        data = joined(rng, chunks)
    return image_case(f"png, {what}", "a.png", data, pick_target(rng, ".png"))


def _change(rng: Random, what: str, chunks: list[Chunk]) -> None:
    at = rng.randrange(len(chunks))
    name, body = chunks[at]
    if what == "head":
        chunks[0] = b"IHDR", damaged(rng, chunks[0][1])[:13].ljust(13, b"\0")
    elif what == "pixels":
        places = [i for i, (name, _) in enumerate(chunks) if name == b"IDAT"]
        if places:
            unfolded = zlib.decompressobj()
            try:
                plain = unfolded.decompress(chunks[places[0]][1])
            except zlib.error:
                plain = b""
            chunks[places[0]] = b"IDAT", zlib.compress(damaged(rng, plain))
    elif (kind := rng.randrange(5)) == 0:
        del chunks[at : at + (len(chunks) > 1)]
    elif kind == 1:
        chunks.insert(rng.randrange(len(chunks)), chunks[at])
    elif kind == 2:
        chunks[at] = name, damaged(rng, body)
    else:
        chunks.insert(rng.randrange(1, len(chunks) + 1), odd(rng))
