"""What Zstandard becomes, told by its heads (RFC 8878) without decompressing it."""

from __future__ import annotations

import struct

from ..errors import ImageError

MAGIC = 0xFD2FB528
#: Bytes of a field that a head may have, by the two bits that tell it: of a dictionary's number, and of the size.
DICTIONARY, CONTENT = (0, 1, 2, 4), (0, 2, 4, 8)
#: Bytes that a compressed block becomes at most.
LARGEST_BLOCK = 2**17
RAW, RUN, COMPRESSED = range(3)
#: Bytes that blocks may become beyond what is allowed: a small one counts as a large one.
UNTOLD = 2**26


def claimed_size(data: memoryview) -> int:
    """Return the bytes that it becomes by its head; where that doesn't say, the most by its blocks, less `UNTOLD`.

    Raises
    ------
    ImageError
        If it isn't Zstandard, or cut off.
    """
    told = told_size(data)
    return max(largest_size(data) - UNTOLD, 0) if told is None else told


def told_size(data: memoryview) -> int | None:
    """Return the bytes that the first frame becomes, or ``None`` if its head doesn't say.

    Raises
    ------
    ImageError
        If it isn't Zstandard, or cut off.
    """
    try:
        return _head(data, 0)[0]
    except struct.error:
        raise ImageError("it is cut off.") from None


def largest_size(data: memoryview) -> int:
    """Return the bytes that all frames, whose heads don't say, become at most, by their blocks.

    Raises
    ------
    ImageError
        If it isn't Zstandard, or cut off.
    """
    at = most = 0
    try:
        while at < len(data):
            _, at, checksum = _head(data, at)
            last = False
            while not last:
                low, high = struct.unpack_from("<HB", data, at)
                block = low | high << 16
                last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
                most += LARGEST_BLOCK if kind == COMPRESSED else size
                at += 3 + (1 if kind == RUN else size)
            at += checksum
    except struct.error:
        raise ImageError("it is cut off.") from None
    return most


def _head(data: memoryview, at: int) -> tuple[int | None, int, int]:
    """Return the size that the head of a frame says, where its blocks begin, and the bytes of the checksum behind them."""
    magic, about = struct.unpack_from("<IB", data, at)
    if magic != MAGIC:
        raise ImageError("it isn't Zstandard.")
    single, field = about >> 5 & 1, CONTENT[about >> 6]
    if single and not field:
        field = 1
    begin = at + 5 + (not single) + DICTIONARY[about & 3]
    told = struct.unpack_from(f"<{field}s", data, begin)[0]
    size = int.from_bytes(told, "little") + (256 if field == 2 else 0) if field else None
    return size, begin + field, 4 * (about >> 2 & 1)
