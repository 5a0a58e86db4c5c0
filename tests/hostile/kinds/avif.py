"""AVIF: boxes inside boxes, with sizes and counts that lie."""

from __future__ import annotations

import io
import struct
from functools import cache
from random import Random

from PIL import Image

from ..case import Case
from ..mutate import NUMBERS, damaged
from ..pictures import saved
from ..upscaling import image_case, pick_target

#: Names of boxes whose content is worth changing.
BOXES = (
    b"ispe",
    b"pixi",
    b"av1C",
    b"colr",
    b"irot",
    b"imir",
    b"ipma",
    b"iloc",
    b"iinf",
    b"infe",
    b"pitm",
    b"hdlr",
    b"meta",
    b"ftyp",
)


@cache
def good() -> tuple[bytes, ...]:
    """Return files with and without transparency, and with what else they can carry."""
    exif = Image.Exif()
    exif[274] = 6
    return (
        saved("AVIF", 16, 18, 3, exif=exif, quality=60, icc_profile=b"profile" * 30, xmp=b"<x:xmpmeta/>"),
        saved("AVIF", 10, 12, 4, quality=90),
        saved("AVIF", 8, 9, quality=50),
    )


@cache
def large() -> bytes:
    """Return a file of a kilobyte that takes a hundred megabytes."""
    file = io.BytesIO()
    Image.new("RGB", (6000, 6000)).save(file, "AVIF", quality=1, speed=10, max_threads=1)
    return file.getvalue()


def case(rng: Random) -> Case:
    """Return an AVIF with something changed."""
    data, what = rng.choice(good()), rng.choice(("bytes", "boxes", "boxes", "bomb"))
    if what == "bytes":
        data = damaged(rng, data, good())
    elif what == "bomb":
        sides = struct.pack(">II", *(rng.choice((1, 8, 16, 100, 6000, *NUMBERS)) % 2**32 for _ in "hw"))
        at = large().index(b"ispe") + 8
        data = large()[:at] + sides + large()[at + 8 :]
        data = _rewritten(rng, data) if rng.random() < 0.5 else data
    else:
        for _ in range(rng.choice((1, 1, 2))):
            data = _rewritten(rng, data)
    return image_case(f"avif, {what}", "a.avif", data, pick_target(rng, ".avif"))


def _rewritten(rng: Random, data: bytes) -> bytes:
    at = data.find(rng.choice(BOXES))
    if at < 4:
        return damaged(rng, data)
    if rng.randrange(3) == 0:  # its size
        return data[: at - 4] + struct.pack(">I", rng.choice(NUMBERS) % 2**32) + data[at:]
    place = at + 4 + rng.randrange(24)
    form = rng.choice((">B", ">H", ">I"))
    value = struct.pack(form, rng.choice(NUMBERS) % 2 ** (8 * struct.calcsize(form)))
    return data[:place] + value + data[place + len(value) :]
