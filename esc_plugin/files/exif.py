"""EXIF and XMP: the orientation is applied to the pixels once, then it must say so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, TiffImagePlugin

ORIENTATION = int(ExifTags.Base.Orientation)
EXIF_IFD, GPS_IFD = int(ExifTags.IFD.Exif), int(ExifTags.IFD.GPSInfo)
#: Text in the main directory: description, make, model, software, date, artist, copyright.
TEXT_TAGS = (270, 271, 272, 305, 306, 315, 33432)
#: Tags that state the size of the image: in the main directory, in EXIF's.
SIZE_TAGS = (int(ExifTags.Base.ImageWidth), int(ExifTags.Base.ImageLength))
EXIF_SIZE_TAGS = (int(ExifTags.Base.ExifImageWidth), int(ExifTags.Base.ExifImageHeight))
HEADER = b"Exif\0\0"


def orientation_of(exif: Image.Exif, xmp: bytes | None) -> int:
    """Return the stated orientation, 1 to 8; EXIF's comes before XMP's."""
    value: Any = exif.get(ORIENTATION)
    if value is None and xmp and (found := _XMP_ORIENTATION.search(xmp)):
        value = int(found[2])
    return int(value) if value in range(1, 9) else 1


def upright(exif: Image.Exif) -> bytes | None:
    """Return EXIF as bytes, with the orientation of an upright image; ``None`` if there is nothing in it."""
    if not exif:
        return None
    if ORIENTATION in exif:
        exif[ORIENTATION] = 1
    return exif.tobytes().removeprefix(HEADER)


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """Do the same to XMP."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1\g<3>", xmp) if xmp else xmp


def resized_exif(data: bytes | None, height: int, width: int) -> bytes | None:
    """Write the size of the image where EXIF states one, and leave out the thumbnail of the old one."""
    if data is None:
        return None
    exif = Image.Exif()
    exif.load(HEADER + data)
    for tag, value in zip(SIZE_TAGS, (width, height), strict=True):
        if tag in exif:
            exif[tag] = value
    inner = exif.get_ifd(EXIF_IFD)
    for tag, value in zip(EXIF_SIZE_TAGS, (width, height), strict=True):
        if tag in inner:
            inner[tag] = value
    return exif.tobytes().removeprefix(HEADER)


_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>\s*))([1-8])(\s*[\"'<])")


def exif_of_tiff(path: Path, text: bool) -> bytes | None:
    """Return the EXIF of a TIFF, with or without the text in its main directory; ``None`` if it has none."""
    whole, kept = Image.Exif(), Image.Exif()
    with path.open("rb") as file:
        whole.load_from_fp(file)
        for code in (EXIF_IFD, GPS_IFD):
            if values := whole.get_ifd(code):
                kept.get_ifd(code).update(values)
    for tag in TEXT_TAGS:
        if text and tag in whole:
            kept[tag] = whole[tag]
    return kept.tobytes().removeprefix(HEADER) if kept or kept.get_ifd(EXIF_IFD) or kept.get_ifd(GPS_IFD) else None


def text_tags(data: bytes) -> dict[int, str]:
    """Return the text of the main directory that belongs into a TIFF's."""
    exif = Image.Exif()
    exif.load(HEADER + data)
    return {tag: value for tag in TEXT_TAGS if isinstance(value := exif.get(tag), str)}


def directories(data: bytes, byteorder: str) -> Iterator[tuple[int, TiffImagePlugin.ImageFileDirectory_v2]]:
    """Yield EXIF's and GPS's own directories, to be appended to a TIFF that refers to them by their number."""
    exif = Image.Exif()
    exif.load(HEADER + data)
    for code in (EXIF_IFD, GPS_IFD):
        directory = TiffImagePlugin.ImageFileDirectory_v2(
            b"II*\0" + bytes(4) if byteorder == "<" else b"MM\0*" + bytes(4), group=code
        )
        for tag, value in exif.get_ifd(code).items():
            directory[tag] = value
        if len(directory):
            yield code, directory
