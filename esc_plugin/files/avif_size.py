"""How large the pictures inside an AVIF are by their own words, which need not be what the file around them says.

The decoder makes room for what the coded picture says: 1,800 bytes that claim 16x16 pixels around one of 16384x16384 take
hundreds of megabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..errors import ImageError

#: Boxes with boxes inside that lead to pictures; the first has four bytes before them.
INSIDE = (b"meta", b"moov", b"trak", b"mdia", b"minf", b"stbl")
#: Units of a picture; a picture has a handful.
MOST_UNITS = 1000
SEQUENCE_HEADER = 1
#: How many times the pixels of the file a coded picture may have, and how many more, since blocks are whole.
SLACK, SPARE = 4, 2**20


def check_coded_size(data: bytes, pixels: int) -> None:
    """Raise an `ImageError` if a coded picture has far more pixels than the file says."""
    for start, length in _places(data, 0, len(data)):
        for coded in _coded(data[start : start + length]):
            if coded > SLACK * pixels + SPARE:
                raise ImageError(f"it claims to have {pixels:,} pixels, and what is coded in it {coded:,}.")


def _places(data: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield where pictures begin, and how many bytes they may have."""
    boxes = list(_boxes(data, start, stop))
    idat = next((a for name, a, _ in boxes if name == b"idat"), 0)
    for name, a, b in boxes:
        if name in INSIDE:
            yield from _places(data, a + 4 * (name == b"meta"), b)
        elif name == b"iloc":
            yield from _extents(_Numbers(data[a:b]), idat)
        elif name in (b"stco", b"co64"):
            numbers = _Numbers(data[a + 4 : b])
            for _ in range(min(numbers.take(4), MOST_UNITS)):
                yield numbers.take(4 if name == b"stco" else 8), len(data)


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, begin and end of what is in each box."""
    while start + 8 <= stop:
        size, name = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= stop:
            head, (size,) = 16, struct.unpack_from(">Q", data, start + 8)
        size = size or stop - start
        if size < head:
            return
        yield name, start + head, min(start + size, stop)
        start += size


class _Numbers:
    """Reads numbers from bytes, one after the other; behind the end there are zeros."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> int:
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big")


class _Bits:
    """Reads bits from bytes; behind the end there are zeros."""

    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data[:64].ljust(64, b"\0"), "big"), 512

    def take(self, count: int) -> int:
        self.left -= count
        return self.value >> self.left & (1 << count) - 1 if self.left >= 0 else 0


def _extents(numbers: _Numbers, idat: int) -> Iterator[tuple[int, int]]:
    """Yield place and length of each item, by the box that locates them."""
    version = numbers.take(4) >> 24
    sizes = numbers.take(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(min(numbers.take(2 if version < 2 else 4), MOST_UNITS)):
        numbers.take(2 if version < 2 else 4)
        inner = idat if version and numbers.take(2) & 15 == 1 else 0
        numbers.take(2)
        base = numbers.take(base_size) + inner
        for _ in range(min(numbers.take(2), MOST_UNITS)):
            numbers.take(index_size if version else 0)
            offset = numbers.take(offset_size)
            yield base + offset, numbers.take(length_size) or 2**62


def _coded(data: bytes) -> Iterator[int]:
    """Yield the pixels of each sequence that begins in coded bytes."""
    at = 0
    for _ in range(MOST_UNITS):
        if at >= len(data):
            return
        head = data[at]
        at += 2 if head & 4 else 1
        size, shift = (0, 0) if head & 2 else (len(data) - at, 0)
        while head & 2 and at < len(data) and shift < 56:
            size |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 128:
                break
        if head >> 3 & 15 == SEQUENCE_HEADER:
            yield _largest_frame(_Bits(data[at : at + size]))
        at += size


def _largest_frame(bits: _Bits) -> int:
    """Return the pixels of the largest frame that a sequence header allows, as AV1's specification lays it out (5.5.1)."""
    bits.take(4)
    if bits.take(1):  # of a still picture
        bits.take(5)
    else:
        model = delay = 0
        if bits.take(1):
            bits.take(64)
            if bits.take(1):
                zeros = 0
                while bits.left > 0 and not bits.take(1):
                    zeros += 1
                bits.take(zeros)
            if model := bits.take(1):
                delay = 1 + bits.take(5)
                bits.take(42)
        display = bits.take(1)
        for _ in range(1 + bits.take(5)):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if model and bits.take(1):
                bits.take(2 * delay + 1)
            if display and bits.take(1):
                bits.take(4)
    across, down = 1 + bits.take(4), 1 + bits.take(4)
    return (1 + bits.take(across)) * (1 + bits.take(down))
