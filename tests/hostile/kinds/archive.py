"""Zip archives that show each reader another content: what ours takes, Python's and PyTorch's see too, to the byte."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

import torch

from esc_plugin.weights.archive import read_archive

from ..archives import directory, stored
from ..case import Case, check
from ..mutate import NUMBERS, damaged
from ..weights import states, used

SIGNATURES = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\10")
NAMES = (
    "../x",
    "/x",
    "a/data/0",
    "A/data/0",
    "b/x",
    "archive/data.pkl",
    "archive/",
    "archive/\0",
    "archive/é",
    "a" * 300,
    "",
)


@cache
def good() -> tuple[bytes, ...]:
    """Return archives as torch.save and as Python write them."""
    file = io.BytesIO()
    torch.save({"params": states()[0]}, file)
    again = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(again, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    return file.getvalue(), again.getvalue()


def case(rng: Random) -> Case:
    """Return an archive with something changed."""
    data, what = rng.choice(good()), rng.choice(("bytes", "directory", "fields", "fields", "two", "made"))
    if what == "bytes":
        data = damaged(rng, data, good())
    elif what == "directory":
        start = data.find(SIGNATURES[0])
        data = data[:start] + damaged(rng, data[start:])
    elif what == "fields":
        for _ in range(rng.choice((1, 1, 2, 4))):
            data = _field(rng, data)
    elif what == "two":
        data = _two(rng)
    else:
        data = _made(rng)
    return Case(f"archive, {what}", {"a.pth": data}, lambda folder: attempted(folder / "a.pth", data))


def attempted(path: Path, data: bytes) -> list[str]:
    """Compare what all readers see, then use the file."""
    try:
        entries = {name: bytes(content) for name, content in read_archive(data).items()}
    except ValueError:
        pass
    else:
        with suppress(NotImplementedError):  # of a version of the format that Python doesn't know
            compare(data, entries)
        _compare_torch(data, entries)
    used(path)
    return []


def compare(data: bytes, entries: dict[str, bytes]) -> None:
    """Raise a `WrongError` unless Python sees the same entries."""
    with zipfile.ZipFile(io.BytesIO(data)) as python:
        check(python.namelist() == list(entries), f"Python sees {python.namelist()[:3]}, we {list(entries)[:3]}")
        check(all(python.read(name) == content for name, content in entries.items()), "Python reads another content")


def _compare_torch(data: bytes, entries: dict[str, bytes]) -> None:
    try:
        reader = torch._C.PyTorchFileReader(io.BytesIO(data))
        names = reader.get_all_records()
    except RuntimeError:  # which refuses what we take: nothing to compare
        return
    top = next(iter(entries)).partition("/")[0]
    ours = {name.removeprefix(f"{top}/") for name in entries}
    check(set(names) <= ours, f"PyTorch sees {sorted(set(names) - ours)[:3]} besides")
    for name in names:
        content = reader.get_record(name)
        check(content == entries[f"{top}/{name}"], f"PyTorch reads another content of {name!r}")


def _field(rng: Random, data: bytes) -> bytes:
    """Write a number into a header."""
    places, signature = [], rng.choice(SIGNATURES)
    at = data.find(signature)
    while at >= 0:
        places.append(at)
        at = data.find(signature, at + 4)
    if not places:
        return damaged(rng, data)
    at = rng.choice(places) + 4 + 2 * rng.randrange(22)
    form = rng.choice(("<H", "<I"))
    size = struct.calcsize(form)
    value = rng.choice((rng.choice(places), rng.randrange(len(data)), len(data), 8, 0x800, 0x10, *NUMBERS)) % 2 ** (8 * size)
    return data[:at] + struct.pack(form, value) + data[at + size :] if at + size <= len(data) else data


def _two(rng: Random) -> bytes:
    """Return two archives in one file, put together in one of many ways."""
    first, second = (good()[i] for i in rng.sample(range(2), 2))
    if rng.random() < 0.5:
        second = second.replace(b"params", b"paramz")
    start = second.find(SIGNATURES[0])
    cut = rng.choice((0, start, len(second) - 22))
    place = rng.choice((0, first.find(SIGNATURES[0]), len(first) - 22, len(first)))
    return rng.choice(
        (
            first + second,
            first[:place] + second[cut:],
            second[:start] + first + second[start:],
            first[:place] + second + first[place:],
        )
    )


def _made(rng: Random) -> bytes:
    """Return an archive of entries with names, places and a directory that need not belong to each other."""
    with zipfile.ZipFile(io.BytesIO(good()[0])) as packed:
        entries = [(name.encode(), packed.read(name)) for name in packed.namelist()]
    for _ in range(rng.choice((0, 1, 2))):
        entries.insert(rng.randrange(len(entries)), (rng.choice(NAMES).encode(), rng.randbytes(9)))
    raw, placed = rng.choice((b"", b"", b"\0" * 9)), []
    for name, content in entries:
        placed.append((name, content, len(raw)))
        raw += stored(name, content)
        if rng.randrange(40) == 0:
            raw += stored(name, zlib.compress(content))
    if rng.random() < 0.4:
        rng.shuffle(placed)
    if rng.random() < 0.3:
        placed.append(rng.choice(placed))
    at = rng.choice((len(raw), len(raw), 0, len(raw) + 1))
    return raw + directory(placed, at) + rng.choice((b"", b"", b"\0", b"PK\5\6" + bytes(18)))
