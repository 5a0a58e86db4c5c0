"""AVIF of 8 bits."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import IO

from .avif_size import check_coded_size
from .format import USUAL, Format
from .picture import Picture
from .pillow import (
    PLAIN_AXES,
    PLAIN_TYPES,
    QUALITY,
    SCANNED_BYTES,
    embedded,
    opened_still,
    packet_of,
    picture_of,
    save,
    too_deep,
)


def read_avif(path: Path, max_pixels: int) -> Picture:
    """Read a still AVIF."""
    with opened_still(path, "AVIF", max_pixels) as image:
        if _is_deep(path):
            raise too_deep("AVIF")
        check_coded_size(path.read_bytes(), image.width * image.height)
        picture = picture_of(image, "AVIF", max_pixels)
        picture.lossy = True
        return picture


def _is_deep(path: Path) -> bool:
    """Whether the decoder's settings say that there are more than 8 bits."""
    with path.open("rb") as file:
        head = file.read(SCANNED_BYTES)
    at = head.find(b"av1C")
    return at >= 0 and len(head) > at + 6 and bool(head[at + 6] & 0x40)


def write_avif(file: IO[bytes], picture: Picture, quality: int | None = None) -> None:
    """Write 8 bits without subsampling of the colours."""
    save(file, picture, "AVIF", quality=quality or QUALITY, subsampling="4:4:4", **embedded(picture))


AVIF = Format(
    "AVIF",
    (".avif",),
    starts=re.compile(rb"....ftyp(?:avif|avis|mif1|msf1)", re.DOTALL),
    read=read_avif,
    packet=partial(packet_of, name="AVIF"),
    write=write_avif,
    dtypes=PLAIN_TYPES,
    axes=PLAIN_AXES,
    largest_side=65_536,
    keeps=USUAL,
)
