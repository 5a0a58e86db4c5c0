"""Look through a PyTorch file before PyTorch does, and refuse what no saved network contains.

`torch.load(weights_only=True)` executes nothing, but it believes what a file says about sizes. Here the pickle is read once
with stand-ins for everything it may name: no tensor is made, and each claim is compared with what the archive really holds.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

from .archive import read_archive

#: The largest published network with its average and the state of its optimiser has an index of 0.4 MiB.
MAX_PICKLE_BYTES = 2**20

#: Bytes per element of the storages that a network can be made of.
STORAGES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
}


def check_pytorch_file(raw: bytes) -> None:
    """Raise a `ValueError` with the reason unless a file's bytes are a plain archive of tensors whose sizes are true."""
    entries = read_archive(raw)
    top = next(iter(entries)).partition("/")[0]
    index = entries.get(f"{top}/data.pkl")
    if index is None:
        raise ValueError("it is a zip archive without 'data.pkl', so not what torch.save writes")
    if len(index) > MAX_PICKLE_BYTES:
        raise ValueError(f"its index has {len(index)} bytes, a network needs far fewer")
    _Reader(bytes(index), f"{top}/data/", {name: len(content) for name, content in entries.items()}).load()


class _Storage(NamedTuple):
    elements: int


class _Dict(dict[Any, Any]):
    """Stands for a dictionary that takes its items only one by one, so that their keys are checked."""

    def __init__(self) -> None:
        super().__init__()


class _Reader(pickle._Unpickler):
    """Reads a pickle with stand-ins. The pure Python unpickler: the other allocates whatever a memo index claims."""

    stack: list[Any]

    def __init__(self, index: bytes, folder: str, sizes: dict[str, int]) -> None:
        super().__init__(io.BytesIO(index))
        self.folder = folder
        self.sizes = sizes

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in; nothing that a file names is ever imported."""
        if module == "torch" and name in STORAGES:
            return name
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): _Dict,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): self._parameter,
            ("torch", "Size"): tuple,
        }
        if (module, name) not in known:
            what = f"{module}.{name}"[:80]
            raise ValueError(f"it names {what!r}, which is no part of a network, and nothing in a file is executed")
        return known[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """Check that a storage has as many bytes as it claims."""
        kind, storage, key, _, elements = pid
        if kind != "storage" or not isinstance(key, str) or not isinstance(elements, int):
            raise ValueError("it refers to something that is no storage")
        held = self.sizes.get(self.folder + key)
        if held is None or elements < 0 or STORAGES[storage] * elements != held:
            raise ValueError(f"one of its storages claims a size that is not that of its entry ({held} bytes)")
        return _Storage(elements)

    @staticmethod
    def _tensor(storage: _Storage, offset: int, size: tuple[Any, ...], stride: tuple[Any, ...], *_: Any) -> str:
        whole = (offset, *size, *stride)
        if not isinstance(storage, _Storage) or len(size) != len(stride) or len(size) > 8:
            raise ValueError("one of its tensors is malformed")
        if not all(isinstance(v, int) and 0 <= v < 2**48 for v in whole):
            raise ValueError("one of its tensors has an impossible shape")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if prod(size) > storage.elements or (prod(size) and last >= storage.elements):
            raise ValueError("one of its tensors claims more elements than the file holds")
        return "a tensor"

    @staticmethod
    def _parameter(data: Any, *_: Any) -> Any:
        return data

    def _set_item(self) -> None:
        self._check_keys(self.stack[-2:-1])
        _PLAIN[pickle.SETITEM[0]](self)

    def _set_items(self) -> None:
        self._check_keys(self.stack[::2])
        _PLAIN[pickle.SETITEMS[0]](self)

    @staticmethod
    def _check_keys(keys: list[Any]) -> None:
        # Hashing nested tuples that share their parts can take for ever.
        if not all(isinstance(key, str) or (isinstance(key, int) and key < 2**63) for key in keys):
            raise ValueError("one of its dictionaries has keys that are neither text nor numbers")

    def _build(self) -> None:
        # The state of a stand-in is of no interest; for a real dictionary it is only `_metadata`.
        self.stack.pop()
        if not isinstance(self.stack[-1], _Dict):
            raise ValueError("it sets the state of something that is no dictionary")  # noqa: TRY004  # about the file


_PLAIN: dict[int, Callable[[Any], None]] = pickle._Unpickler.dispatch
#: What torch.save writes, and torch.load reads, with weights_only.
_OPCODES = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.REDUCE, pickle.NEWOBJ, pickle.BINPERSID),
    *(pickle.BINGET, pickle.LONG_BINGET, pickle.BINPUT, pickle.LONG_BINPUT),
    *(
        pickle.NONE,
        pickle.NEWFALSE,
        pickle.NEWTRUE,
        pickle.BININT,
        pickle.BININT1,
        pickle.BININT2,
        pickle.LONG1,
        pickle.BINFLOAT,
    ),
    *(
        pickle.BINUNICODE,
        pickle.SHORT_BINSTRING,
        pickle.EMPTY_TUPLE,
        pickle.TUPLE,
        pickle.TUPLE1,
        pickle.TUPLE2,
        pickle.TUPLE3,
    ),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT),
)
_Reader.dispatch = {op[0]: _PLAIN[op[0]] for op in _OPCODES} | {
    pickle.SETITEM[0]: _Reader._set_item,
    pickle.SETITEMS[0]: _Reader._set_items,
    pickle.BUILD[0]: _Reader._build,
}
