"""Opening a TIFF whose directories may be damaged or meant to harm."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import tifffile

from ..errors import ImageError
from .tiff_claims import check_claims

#: Of one file; the longest recordings have some hundred thousand.
MAX_PAGES = 2_000_000
#: Of this thread on a processor, for all that is read before the pixels. Waiting for a slow disk doesn't count.
MAX_SECONDS = 60.0
#: A directory with the tags that an image needs; many have more.
LEAST_DIRECTORY = 100
WIDTH_TAG, LENGTH_TAG, SUBIFDS_TAG = 256, 257, 330
#: How a width or a length is written, by its type.
SIZES = {1: "B", 3: "H", 4: "I", 16: "Q"}


class Chain(NamedTuple):
    """What the directories of a file say, without the values that lie elsewhere.

    Attributes
    ----------
    pages : int
        How many there are.
    smallest : int
        Pixels of the smallest page, at least 1.
    subifds : int
        Pages that a page has inside, at most.
    """

    pages: int
    smallest: int
    subifds: int


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
        If its pages go round in a circle, overlap, or are too many, or its metadata claim planes that it hasn't got.
    """
    with Watched(io.FileIO(path)) as file:
        file.limit = time.thread_time() + MAX_SECONDS
        with tifffile.TiffFile(file) as tif:
            check_claims(tif, *check_chain(tif), MAX_PAGES)
            yield tif, file


def check_chain(tif: tifffile.TiffFile) -> Chain:
    """Return what the directories say.

    Raises
    ------
    ImageError
        If their chain doesn't end, or its directories don't lie beside each other: what has to be read must be less than
        the file, and not the file again for each of its bytes.
    """
    file, room, seen = tif.filehandle, tif.filehandle.size, set()
    offset, areas, subifds = tif.pages.first.offset if tif.pages else 0, [], 0
    while offset:
        seen.add(offset)
        size, offset, found = _directory(file, tif.tiff, offset)
        if size:
            areas.append(found.get(WIDTH_TAG, 0) * found.get(LENGTH_TAG, 0))
        subifds = max(subifds, inside := found.get(SUBIFDS_TAG, 0))
        room -= size + LEAST_DIRECTORY * inside
        if offset in seen:
            raise ImageError(f"its pages are circular: after page {len(seen)} comes an earlier one.")
        if len(seen) > MAX_PAGES or room < 0:
            raise ImageError(f"it has more than {max(len(seen) - 1, inside):,} pages, which is more than it can hold.")
    return Chain(len(seen), max(min(areas, default=1), 1), subifds)


def _directory(file: Any, form: Any, offset: int) -> tuple[int, int, dict[int, int]]:
    """Return the bytes of a directory, where the next one is (0: nowhere, or the file is damaged), and its numbers."""
    try:
        file.seek(offset)
        (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        entries = file.read(min(count * form.tagsize, file.size))
        (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
        found: dict[int, int] = {}
        for code, number in _numbers(form, entries):  # of several, the one that asks for more
            found[code] = (max if code == SUBIFDS_TAG else min)(number, found.get(code, number))
    except (struct.error, OSError, ValueError, OverflowError):
        return 0, 0, {}
    size = form.tagnosize + len(entries) + form.offsetsize
    return size, following if following < file.size else 0, found


def _numbers(form: Any, entries: bytes) -> Iterator[tuple[int, int]]:
    """Yield the width and the length of a page, and how many pages it has inside, by tag."""
    for code, kind, count, value in struct.iter_unpack(form.tagformat1 + form.tagformat2[1:], entries):
        if code == SUBIFDS_TAG:
            yield code, count
        elif code in (WIDTH_TAG, LENGTH_TAG) and kind in SIZES:
            yield code, struct.unpack_from(form.byteorder + SIZES[kind], value)[0]
