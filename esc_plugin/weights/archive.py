"""The zip archive that torch.save writes, read so that there is only one way to read it.

Programs find the entries of a zip file from its end, from its front or by stated offsets, and one file may show each of them
another content. Here every byte must belong to what torch.save writes: the entries one after the other from the first byte
on, their directory, and the end record. Then all readers see the same.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import PurePosixPath
from typing import NamedTuple

#: A training state of the largest published network has 2900 entries.
MAX_ENTRIES = 20_000

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR64 = struct.Struct("<4sIQI")
DESCRIPTOR = struct.Struct("<4s3I")

#: Flags: the checksum and the sizes stand after the content, and the name is UTF-8.
SIZES_AFTER, UTF8 = 0x8, 0x800
#: PyTorch's reader takes an entry with this DOS attribute for a folder, whose content is zeros.
FOLDER = 0x10

OTHER = "not what torch.save writes"


class _Entry(NamedTuple):
    """What the directory says of an entry."""

    name: bytes
    flags: int
    sizes: tuple[int, int, int]  # checksum, stored, unfolded
    offset: int


def read_archive(raw: bytes) -> dict[str, memoryview]:
    """Return the content of each entry by name, in the order of the file.

    Raises
    ------
    ValueError
        If it isn't a zip file as torch.save writes it, or a checksum is wrong; the text is a clause about the file.
    """
    try:
        start, stop, count = _directory(raw)
        if not 0 < count <= MAX_ENTRIES:
            raise ValueError(f"it is a zip archive of {count} entries, {OTHER}")
        entries, here, at = {}, 0, start
        for _ in range(count):
            entry, at = _central(raw, at)
            entries[_name(entry.name)], here = _content(raw, here, entry)
    except struct.error:
        raise ValueError("it is a zip archive that is cut short") from None
    if (here, at) != (start, stop):
        raise ValueError(f"it is a zip archive with {start - here + stop - at} bytes that belong to no entry, {OTHER}")
    _check_names(list(entries), count)
    return entries


def _directory(raw: bytes) -> tuple[int, int, int]:
    """Return where the directory starts and stops, and how many entries it has."""
    end = len(raw) - END.size
    signature, disk, first_disk, here, count, size, start, comment = END.unpack_from(raw, max(end, 0))
    if signature != b"PK\5\6" or comment or disk or first_disk or here != count:
        raise ValueError(f"it is a zip archive that does not end with its end record, {OTHER}")
    stop = end
    if raw[max(end - LOCATOR64.size, 0) :].startswith(b"PK\6\7"):  # as readers look for it
        stop -= LOCATOR64.size + END64.size
        expected = END64.pack(b"PK\6\6", END64.size - 12, 0, 0, 0, 0, count, count, size, start)
        found = bytearray(raw[stop : stop + END64.size])
        found[12:16] = bytes(4)  # versions of the writer
        if found != expected or LOCATOR64.unpack_from(raw, end - LOCATOR64.size) != (b"PK\6\7", 0, stop, 1):
            raise ValueError(f"it is a zip archive with two end records that differ, {OTHER}")
    if start + size != stop:
        raise ValueError(f"it is a zip archive whose directory is not where its end record says, {OTHER}")
    return start, stop, count


def _central(raw: bytes, at: int) -> tuple[_Entry, int]:
    """Read an entry of the directory; return it and where the next one starts."""
    signature, _, _, flags, method, _, _, *sizes, name, extra, comment, disk, _, attributes, offset = CENTRAL.unpack_from(
        raw, at
    )
    start = at + CENTRAL.size
    if signature != b"PK\1\2" or extra or comment or disk:
        raise ValueError(f"it is a zip archive with an unusual directory, {OTHER}")
    entry = _Entry(raw[start : start + name], flags, tuple(sizes), offset)
    if attributes & FOLDER or entry.name.endswith(b"/"):
        raise ValueError(f"it is a zip archive with a folder {_name(entry.name)[:80]!r}, {OTHER}")
    if method or flags & ~(SIZES_AFTER | UTF8):
        raise ValueError(f"it is a zip archive with compressed entries, {OTHER}")
    if sizes[1] != sizes[2]:
        raise ValueError(f"it is a zip archive whose entry {_name(entry.name)[:80]!r} claims to unfold, {OTHER}")
    return entry, start + name


def _content(raw: bytes, at: int, entry: _Entry) -> tuple[memoryview, int]:
    """Return the content of the entry that starts at `at`, and where the next one starts."""
    signature, _, flags, method, _, _, *sizes, name, extra = LOCAL.unpack_from(raw, at)
    start = at + LOCAL.size + name + extra
    after = entry.flags & SIZES_AFTER
    same = (signature, flags, method, raw[at + LOCAL.size :][:name]) == (b"PK\3\4", entry.flags, 0, entry.name)
    if entry.offset != at or not same or (tuple(sizes) != entry.sizes and (any(sizes) or not after)):
        raise ValueError(f"it is a zip archive whose entry {_name(entry.name)[:80]!r} and its directory differ, {OTHER}")
    stop = start + entry.sizes[1]
    content = memoryview(raw)[start:stop]
    if after:
        if DESCRIPTOR.unpack_from(raw, stop) != (b"PK\7\10", *entry.sizes):
            raise ValueError(f"it is a zip archive whose entry {_name(entry.name)[:80]!r} contradicts itself, {OTHER}")
        stop += DESCRIPTOR.size
    if zlib.crc32(content) != entry.sizes[0]:
        raise ValueError(f"the checksum of its entry {_name(entry.name)[:80]!r} is wrong, the file is damaged")
    return content, stop


def _name(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise ValueError(f"it is a zip archive with an entry {name[:80]!r}, {OTHER}") from None


def _check_names(names: list[str], count: int) -> None:
    """Everything must lie in one folder, under names that no reader takes for another."""
    if len({name.lower() for name in names}) != count:
        raise ValueError(f"it is a zip archive with two entries of one name, {OTHER}")
    unsafe = [name for name in names if set(name) & set("\\:") or not name.isprintable() or not _inside(name)]
    if unsafe or len({name.partition("/")[0] for name in names}) > 1:
        raise ValueError(f"it is a zip archive with an entry {min(unsafe or names)[:80]!r}, {OTHER}")


def _inside(name: str) -> bool:
    return "/" in name and not name.startswith("/") and ".." not in PurePosixPath(name).parts
