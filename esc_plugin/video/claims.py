"""What an MP4 or MOV claims to hold, looked at before FFmpeg makes room for it: some bytes can ask for gigabytes."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from ..errors import ImageError

#: Boxes that hold boxes which matter here, and where those begin in them.
HOLDERS = {**dict.fromkeys((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"), 0), b"meta": 4}
#: Where a box says how many samples there are.
COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
#: No film has more boxes; each fragment of one that is streamed has about ten.
MOST_BOXES = 1_000_000
#: FFmpeg looks no deeper into boxes of boxes.
DEEPEST = 10


def check_claims(path: str) -> None:
    """Raise an `ImageError` for a file that claims more samples than it has bytes. Of other containers nothing is found.

    For each of them FFmpeg takes some dozen bytes of memory as soon as it opens the file.
    """
    with suppress(OSError), open(path, "rb") as file:  # whoever opens it next will say why it can't be
        size = os.fstat(file.fileno()).st_size
        for number, (name, body, _) in enumerate(_boxes(file, 0, size)):
            if number > MOST_BOXES:
                raise ImageError(f"{path!r} is made of more than {MOST_BOXES:,} boxes; no film is.")
            if name in COUNTS and (count := _number(file, body + COUNTS[name])) > size:
                raise ImageError(f"{path!r} claims {count:,} samples of film or sound, but has only {size:,} bytes.")


def _boxes(file: IO[bytes], start: int, stop: int, depth: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, begin of the content and end of each box, those inside of others too."""
    while start + 8 <= stop:
        file.seek(start)
        head = file.read(16).ljust(16, b"\0")
        size, name, large = struct.unpack(">I4sQ", head)
        body = start + (16 if size == 1 else 8)
        end = start + large if size == 1 else start + size if size else stop
        if end < body:
            return
        yield name, body, min(end, stop)
        if name in HOLDERS and depth < DEEPEST:
            yield from _boxes(file, body + HOLDERS[name], min(end, stop), depth + 1)
        start = end


def _number(file: IO[bytes], at: int) -> int:
    file.seek(at)
    return int.from_bytes(file.read(4), "big")
