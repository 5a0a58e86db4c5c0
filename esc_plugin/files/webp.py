"""WebP: lossless or not, and so its successor."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import IO, Any

from .format import USUAL, Format
from .picture import Picture
from .pillow import PLAIN_AXES, PLAIN_TYPES, QUALITY, SCANNED_BYTES, embedded, opened_still, packet_of, picture_of, save


def read_webp(path: Path, max_pixels: int) -> Picture:
    """Read a still WebP."""
    with opened_still(path, "WEBP", max_pixels) as image:
        picture = picture_of(image, "WEBP", max_pixels)
        picture.lossy = not _is_lossless(path)
        return picture


def _is_lossless(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(SCANNED_BYTES)
    at = min((i for i in (head.find(b"VP8L"), head.find(b"VP8 ")) if i >= 0), default=-1)
    return at >= 0 and head[at : at + 4] == b"VP8L"


def write_webp(file: IO[bytes], picture: Picture, quality: int | None = None) -> None:
    """Write 8 bits; lossless unless a quality is asked for, or the source was lossy."""
    options: dict[str, Any] = {"quality": quality or QUALITY}
    if not quality and not picture.lossy:
        options = {"lossless": True, "exact": True}
    save(file, picture, "WEBP", **options, **embedded(picture))


WEBP = Format(
    "WEBP",
    (".webp",),
    starts=re.compile(rb"RIFF....WEBPVP8", re.DOTALL),
    read=read_webp,
    packet=partial(packet_of, name="WEBP"),
    write=write_webp,
    dtypes=PLAIN_TYPES,
    axes=PLAIN_AXES,
    largest_side=16_383,
    keeps=USUAL,
)
