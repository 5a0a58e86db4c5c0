"""WebP: RIFF chunks that lie, repeat or are missing."""

from __future__ import annotations

import struct
from functools import cache
from random import Random

from PIL import Image

from ..case import Case
from ..mutate import NUMBERS, damaged
from ..pictures import animated, saved
from ..upscaling import image_case, pick_target


@cache
def good() -> tuple[bytes, ...]:
    """Return lossy and lossless files, with what else they can carry."""
    exif = Image.Exif()
    exif[274] = 3
    return (
        saved("WEBP", 10, 12, 3, exif=exif, icc_profile=b"profile" * 30, xmp=b"<x:xmpmeta/>"),
        saved("WEBP", 10, 12, 4, lossless=True),
        saved("WEBP", 9, 8, 4, quality=50),
        saved("WEBP", 16, 17, 3, lossless=True),
        animated("WEBP"),
    )


def case(rng: Random) -> Case:
    """Return a WebP with something changed."""
    data, what = rng.choice(good()), rng.choice(("bytes", "chunks"))
    data = damaged(rng, data, good()) if what == "bytes" else _rechunked(rng, data)
    return image_case(f"webp, {what}", "a.webp", data, pick_target(rng, ".webp"))


def _rechunked(rng: Random, data: bytes) -> bytes:
    at, chunks = 12, []
    while at + 8 <= len(data):
        size = struct.unpack("<I", data[at + 4 : at + 8])[0]
        chunks.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    i = rng.randrange(len(chunks))
    kind = rng.randrange(4)
    if kind == 0:
        chunks.insert(rng.randrange(len(chunks)), chunks[i])
    elif kind == 1:
        del chunks[i]
    else:
        chunks[i] = chunks[i][0], damaged(rng, chunks[i][1])
    body = b"WEBP"
    for name, content in chunks:
        size = len(content) if rng.randrange(20) else rng.choice(NUMBERS) % 2**32
        body += name + struct.pack("<I", size) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body) if rng.randrange(20) else rng.choice(NUMBERS) % 2**32) + body
