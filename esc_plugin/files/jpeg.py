"""JPEG: what it carries in segments, each of which has an end."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import IO

from PIL import Image

from . import exif
from .format import USUAL, Format
from .picture import Picture
from .pillow import PLAIN_AXES, PLAIN_TYPES, QUALITY, as_bytes, embedded, opened, packet_of, picture_of, save

#: What fits into one segment, its head aside.
SEGMENT_BYTES = 65_500


def read_jpeg(path: Path, max_pixels: int) -> Picture:
    """Read a JPEG, and of an MPO the first picture."""
    with opened(path, "JPEG", max_pixels) as image:
        picture = picture_of(image, "JPEG", max_pixels)
        if image.format == "MPO":
            picture.notes.append("further pictures behind the first (MPO) are left out")
        picture.lossy, picture.iptc, picture.comment = True, _iptc(image), as_bytes(image.info.get("comment"))
        return picture


def _iptc(image: Image.Image) -> bytes | None:
    """Return the whole APP13 segment, which holds IPTC."""
    parts = [data for name, data in getattr(image, "applist", ()) if name == "APP13"]
    return b"".join(b"\xff\xed" + (len(data) + 2).to_bytes(2, "big") + data for data in parts) or None


def write_jpeg(file: IO[bytes], picture: Picture, quality: int | None = None) -> None:
    """Write 8 bits without subsampling of the colours. What is too long for its segment is named in the notes."""
    found = embedded(picture)
    if "exif" in found:
        found["exif"] = exif.HEADER + found["exif"]
    if picture.xmp and len(found["xmp"]) > SEGMENT_BYTES:
        found["xmp"] = picture.xmp  # without the record, rather than nothing
    for name in ("exif", "xmp"):
        if len(found.get(name, b"")) > SEGMENT_BYTES:
            del found[name]
            picture.notes.append(f"JPEG has no place for so much {name.upper()}")
    options = {"dpi": picture.dpi} if picture.dpi else {}
    comment, iptc = picture.comment or b"", picture.iptc or b""
    save(file, picture, "JPEG", quality=quality or QUALITY, subsampling=0, comment=comment, extra=iptc, **options, **found)


JPEG = Format(
    "JPEG",
    (".jpg", ".jpeg"),
    starts=re.compile(rb"\xff\xd8\xff"),
    read=read_jpeg,
    packet=partial(packet_of, name="JPEG"),
    write=write_jpeg,
    dtypes=PLAIN_TYPES,
    axes=PLAIN_AXES,
    alpha=False,
    largest_side=65_535,
    keeps=USUAL | {"comment", "IPTC", "resolution"},
)
