"""Opening a TIFF whose directories may be damaged or meant to harm."""

from __future__ import annotations

import io
import struct
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf, prod
from pathlib import Path
from typing import Any

import tifffile

from ..errors import ImageError

#: Of one file; the longest recordings have some hundred thousand.
MAX_PAGES = 2_000_000
#: Of this thread on a processor, for all that is read before the pixels. Waiting for a slow disk doesn't count.
MAX_SECONDS = 60.0


class Watched(io.BufferedReader):
    """A file that can't be read any more once that has taken too long: no walk through a file goes without reading."""

    limit = inf

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes, all that are left if it is negative.

        Raises
        ------
        ImageError
            If the time is up.
        """
        if time.thread_time() > self.limit:
            raise ImageError(f"its directories take more than {MAX_SECONDS:g} seconds to read.")
        return super().read(size)


@contextmanager
def open_tiff(path: Path) -> Iterator[tuple[tifffile.TiffFile, Watched]]:
    """Open a TIFF, with all its pages counted; set the `limit` of the file to infinity before pixels are read.

    Raises
    ------
    ImageError
        If its pages go round in a circle, overlap, or are too many, or its OME-XML claims planes that it hasn't got.
    """
    with Watched(io.FileIO(path)) as file:
        file.limit = time.thread_time() + MAX_SECONDS
        with tifffile.TiffFile(file) as tif:
            check_claim(tif, check_chain(tif))
            yield tif, file


def check_chain(tif: tifffile.TiffFile) -> int:
    """Return how many pages there are.

    Raises
    ------
    ImageError
        If their chain doesn't end, or its directories don't lie beside each other: what has to be read must be less than
        the file, and not the file again for each of its bytes.
    """
    file, room, seen = tif.filehandle, tif.filehandle.size, set()
    offset = tif.pages.first.offset if tif.pages else 0
    while offset:
        seen.add(offset)
        size, offset = _directory(file, tif.tiff, offset)
        room -= size
        if offset in seen:
            raise ImageError(f"its pages are circular: after page {len(seen)} comes an earlier one.")
        if len(seen) > MAX_PAGES or room < 0:
            raise ImageError(f"it has more than {len(seen) - 1:,} pages, which is more than it can hold.")
    return len(seen)


def check_claim(tif: tifffile.TiffFile, pages: int) -> None:
    """Raise an `ImageError` if OME-XML claims several images, or more planes than the file, or the set, can hold.

    A list of all of them is made before the first is looked at.
    """
    if not tif.is_ome:
        return
    text = tif.ome_metadata or ""
    images = list(_claims(text))
    if len(images) > 1:
        raise ImageError(f"its OME-XML holds {len(images)} images; only files with one can be upscaled.")
    claimed = sum(prod(int(size) for size in sizes) for sizes in images)
    # A page may hold several channels, as samples. Of a set of files, each names the others.
    held = MAX_PAGES if "FileName" in text else pages * tif.pages.first.samplesperpixel
    if claimed > held:
        raise ImageError(f"its OME-XML claims {claimed:,} planes, but there are {held:,} at most.")


def _claims(text: str) -> Iterator[list[str]]:
    """Yield how many slices, channels and times each image of an OME-XML says it has."""
    try:
        for element in ET.fromstring(text.encode()).iter():  # expat expands no external entities
            if element.tag.rpartition("}")[2] == "Pixels":
                yield [size for name in ("SizeZ", "SizeC", "SizeT") if (size := element.get(name, "1")).isdecimal()]
    except ET.ParseError:
        return  # which is said where the rest of it is read


def _directory(file: Any, form: Any, offset: int) -> tuple[int, int]:
    """Return the bytes of a directory, and where the next one is: 0 at the end, or where the file is damaged."""
    try:
        file.seek(offset)
        (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        after = file.seek(offset + form.tagnosize + count * form.tagsize)
        (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
    except (struct.error, OSError, ValueError, OverflowError):
        return 0, 0
    return after + form.offsetsize - offset, following if following < file.size else 0
