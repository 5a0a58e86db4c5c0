"""Formats that are only read: BMP, GIF and the PPM family."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from PIL import Image

from .format import Format
from .picture import Picture
from .pillow import SCANNED_BYTES, opened_still, packet_of, picture_of, too_deep


def read_still(path: Path, max_pixels: int, name: str) -> Picture:
    """Read a still image of what Pillow calls `name`."""
    with opened_still(path, name, max_pixels) as image:
        return picture_of(image, name, max_pixels)


def read_ppm(path: Path, max_pixels: int) -> Picture:
    """Read PBM, PGM, PPM or PFM."""
    with opened_still(path, "PPM", max_pixels) as image:
        if _is_deep_colour(path, image):
            raise too_deep("PPM")
        return picture_of(image, "PPM", max_pixels)


def _is_deep_colour(path: Path, image: Image.Image) -> bool:
    with path.open("rb") as file:
        head = file.read(SCANNED_BYTES)
    found = re.match(rb"P[36](?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+(\d+)", head)
    return image.mode == "RGB" and found is not None and int(found[1]) > 255


BMP = Format(
    "BMP",
    (".bmp",),
    starts=re.compile(rb"BM"),
    read=partial(read_still, name="BMP"),
    packet=partial(packet_of, name="BMP"),
)
GIF = Format(
    "GIF",
    (".gif",),
    starts=re.compile(rb"GIF8[79]a"),
    read=partial(read_still, name="GIF"),
    packet=partial(packet_of, name="GIF"),
)
PPM = Format(
    "PPM",
    (".ppm", ".pgm", ".pbm", ".pnm"),
    starts=re.compile(rb"P[0-6fy]"),
    read=read_ppm,
    packet=partial(packet_of, name="PPM"),
)
