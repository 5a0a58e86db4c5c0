"""Weights files as bytes: archives, pickles and headers that claim whatever they are told to."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any


class Evil:
    """Calls a function where it is unpickled by whoever trusts the file."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def archive(
    path: Any,
    index: bytes,
    extra: Iterable[tuple[str, bytes]] = (),
    compression: int = zipfile.ZIP_STORED,
    top: str = "archive",
) -> Any:
    """Write an archive as torch.save does, to a path or a file, and return that."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr(f"{top}/data.pkl", b"\x80\x02" + index)
        file.writestr(f"{top}/version", b"3\n")
        for name, content in extra:
            file.writestr(name, content)
    return path


def tensor(
    shape: Sequence[int],
    stride: Sequence[int],
    elements: int,
    offset: int = 0,
    kind: bytes = b"FloatStorage",
    key: str = "0",
) -> bytes:
    """Return the opcodes of one tensor, with whatever it claims."""

    def ints(values: Sequence[int]) -> bytes:
        return b"(" + b"".join(b"\x8a\x09" + v.to_bytes(9, "little", signed=True) for v in values) + b"t"

    pid = b"(X\x07\x00\x00\x00storagectorch\n" + kind + b"\n" + text(key) + b"X\x03\x00\x00\x00cpu"
    pid += b"\x8a\x09" + elements.to_bytes(9, "little", signed=True) + b"tQ"
    head = b"ctorch._utils\n_rebuild_tensor_v2\n("
    return head + pid + b"\x8a\x09" + offset.to_bytes(9, "little", signed=True) + ints(shape) + ints(stride) + b"\x89NtR"


def text(value: str) -> bytes:
    """Return the opcode of a text."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def directory(entries: Sequence[tuple[bytes, bytes, int]], at: int, start: int = 0) -> bytes:
    """Return a central directory of stored (name, content, offset), and its end record."""
    listed = b"".join(
        struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, zlib.crc32(c), len(c), len(c), len(n), 0, 0, 0, 0, 0, o)
        + n
        for n, c, o in entries
    )
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(entries), len(entries), len(listed), at - start, 0)
    return listed + end


def stored(name: bytes, content: bytes) -> bytes:
    """Return an entry of an archive."""
    sizes = (zlib.crc32(content), len(content), len(content))
    return struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, *sizes, len(name), 0) + name + content


def header(said: Any, data: bytes = b"", claimed: int | None = None) -> bytes:
    """Return a safetensors file of a header, as text or as what JSON shall say, and of data."""
    words = said if isinstance(said, bytes) else json.dumps(said).encode()
    return struct.pack("<Q", len(words) if claimed is None else claimed) + words + data
