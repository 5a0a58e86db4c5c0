"""Safetensors: headers that lie about types, shapes and places; what is taken has the values that the header names."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from esc_plugin.weights.card import from_metadata, read_metadata

from ..archives import header
from ..case import Case, check
from ..mutate import NUMBERS, damaged, json_bytes, nudged, twisted
from ..weights import files, used

VALUES = (
    *("F32", "F16", "BF16", "F64", "U8", "I64", "BOOL", "C64", "F8_E4M3", "F4", "f32", ""),
    *([0, 4], [4, 0], [0, 0], [2**63, 2**64], [0, 10**15], [], [1], [1, 2, 3], [0, "4"], [-1, 4], [0.0, 4.0], [8, 3, 3]),
    *(0, -1, 2**32, 2**63, 1.5, None, True, {}, "x" * 500, [2**32, 2**32], [1] * 500, "\u202e", "[" * 2000),
)
#: As NumPy reads little-endian values.
KINDS = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "U8": "u1"}


def case(rng: Random) -> Case:
    """Return a file with something changed, mostly in its header."""
    data = rng.choice(files())
    length = int.from_bytes(data[:8], "little")
    what = rng.choice(("bytes", "tree", "tree", "metadata", "length"))
    if what == "bytes":
        data = damaged(rng, data[: 8 + length]) + data[8 + length :]
    elif what == "length":
        value = rng.choice((length + 1, length - 1, len(data), rng.choice(NUMBERS)))
        data = struct.pack("<Q", value % 2**64) + data[8:]
    else:
        tree = json.loads(data[8 : 8 + length])
        if what == "metadata":
            tree["__metadata__"] = twisted(rng, METADATA)
        else:
            tree = twisted(rng, tree, VALUES) if rng.random() < 0.6 else nudged(rng, tree)
        data = header(json_bytes(rng, tree), data[8 + length :])
    return Case(f"safetensors, {what}", {"a.safetensors": data}, lambda folder: attempted(folder / "a.safetensors", data))


METADATA = {
    "format": "pt",
    "esc_config": json.dumps({"window_size": 4, "scale": 2, "dim": 8, "head": "classic"}),
    "gains": json.dumps([{"kind": "photo", "psnr": 1.0}]),
    "license": "MIT",
    "family": "ESC",
}


def attempted(path: Path, data: bytes) -> list[str]:
    """Use a file; its values are those that an independent reader finds."""
    from_metadata(read_metadata(path))
    model = used(path)
    length = int.from_bytes(data[:8], "little")
    named: dict[str, Any] = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    stated = sorted(_values(body, about) for name, about in named.items() if name != "__metadata__")
    own = sorted(_plain(value.numpy()) for value in model.network.state_dict().values())
    check(own == stated, "the network has other values than the file names")
    return []


def _values(body: bytes, about: dict[str, Any]) -> tuple[tuple[int, ...], bytes]:
    start, stop = about["data_offsets"]
    if about["dtype"] == "BF16":
        wide = np.frombuffer(body[start:stop], "<u2").astype("<u4") << 16
        values = wide.view("<f4")
    else:
        values = np.frombuffer(body[start:stop], KINDS[about["dtype"]])
    return _plain(values.reshape(about["shape"]))


def _plain(values: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return values.shape, (values.astype("<f4") if values.dtype.kind == "f" else values).tobytes()
