"""JPEG: segments that lie, repeat or are missing, with EXIF, profiles and IPTC inside."""

from __future__ import annotations

import struct
from functools import cache
from random import Random

from PIL import Image

from ..case import Case
from ..mutate import NUMBERS, damaged
from ..pictures import cmyk, saved
from ..upscaling import image_case, pick_target

EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\x87i\0\x04\0\0\0\x01\0\0\0\x26\0\0\0\0"


@cache
def good() -> tuple[bytes, ...]:
    """Return files of every kind of colour and coding."""
    exif = Image.Exif()
    exif[274], exif[305] = 8, "camera"
    return (
        saved("JPEG", 10, 12, 3, exif=exif, dpi=(72, 72), icc_profile=b"profile" * 30, comment=b"words"),
        saved("JPEG", 9, 8),
        saved("JPEG", 17, 16, 3, progressive=True, subsampling=2),
        saved("JPEG", 16, 24, 3, exif=EXIF, quality=30),
        cmyk(),
    )


def segments_of(data: bytes) -> list[bytes]:
    """Return the segments before the pixels, each with its marker and length, and what follows."""
    at, found = 2, []
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        size = 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
        found.append(data[at : at + size])
        at += size
    return [*found, data[at:]]


def case(rng: Random) -> Case:
    """Return a JPEG with something changed."""
    data, what = rng.choice(good()), rng.choice(("bytes", "segments", "segments", "sizes"))
    if what == "bytes":
        data = damaged(rng, data, good())
    else:
        segments = segments_of(data)
        for _ in range(rng.choice((1, 1, 2, 3))):
            _change(rng, what, segments)
        data = data[:2] + b"".join(segments)
    return image_case(f"jpeg, {what}", "a.jpg", data, pick_target(rng, ".jpg"))


def _change(rng: Random, what: str, segments: list[bytes]) -> None:
    at = rng.randrange(len(segments))
    kind = rng.randrange(5)
    if what == "sizes":
        frames = [i for i, segment in enumerate(segments) if segment[1:2] in (b"\xc0", b"\xc2")]
        for i in frames:
            place = rng.choice((4, 5, 7, 9, 10, 11, 12))
            value = struct.pack(">H", rng.choice(NUMBERS) % 2**16)
            segments[i] = segments[i][:place] + value + segments[i][place + 2 :]
    elif kind == 0:
        segments.insert(rng.randrange(len(segments)), segments[at])
    elif kind == 1 and len(segments) > 1:
        del segments[at]
    elif kind == 2:
        body = rng.choice(
            (b"Exif\0\0", b"ICC_PROFILE\0\1\1", b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0", b"JFIF\0")
        )
        body += damaged(rng, EXIF[6:] + bytes(40))
        segments.insert(
            0, b"\xff" + bytes([rng.choice((0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE))]) + struct.pack(">H", len(body) + 2) + body
        )
    else:
        segments[at] = segments[at][:4] + damaged(rng, segments[at][4:])
