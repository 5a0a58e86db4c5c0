"""The index of a PyTorch file: its opcodes changed, with programs, bombs and lies put between them."""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import torch

from ..archives import archive, tensor, text
from ..case import Case
from ..mutate import NUMBERS, damaged, retyped
from ..weights import states, used

Part = bytes
#: What no network contains: programs, sizes that lie, things in themselves, keys that take for ever.
ODD: tuple[Part, ...] = (
    *(
        b"cos\nsystem\nX\x02\x00\x00\x00id\x85R",
        b"cbuiltins\neval\nX\x01\x00\x00\x001\x85R",
        b"cposix\nmkdir\nX\x01\x00\x00\x00x\x85R",
    ),
    *(
        b"cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R",
        b"ctorch\nFloatStorage\nJ\x00\x00\x00\x7f\x85R",
        b"r\xff\xff\xff\xff",
    ),
    *(
        b"\x96" + struct.pack("<Q", 2**36),
        b"X\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\x7f",
        b")" + b"2\x86" * 60,
        b"N",
        b"}",
        b"]",
    ),
    *(
        b"(",
        b"0",
        b"1",
        b"2",
        b"a",
        b"e",
        b"s",
        b"u",
        b"b",
        b"R",
        b"\x81",
        b"\x93",
        b"t",
        b"\x85",
        b"\x86",
        b"\x87",
        b"Q",
        b"\x8f",
    ),
    *(
        b"\x95" + struct.pack("<Q", 2**40),
        b"h\0",
        b"h\xff",
        b"q\0",
        b"\x94",
        b"K\xff",
        b"M\xff\xff",
        b"J\xff\xff\xff\xff",
        b"G" + b"\xff" * 8,
    ),
    *(
        b"\x8a\x08" + b"\xff" * 8,
        b"X\x01\x00\x00\x00a",
        b"ctorch\nSize\n",
        b"ccollections\nOrderedDict\n)R",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
    ),
    *(
        b"ctorch\ndevice\n",
        b"ctorch._tensor\n_rebuild_from_type_v2\n",
        b"ctorch\nload\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"}q\0h\0h\0s",
    ),
    *(
        b"P0\n",
        b"F1e999\n",
        b"I99999999999999999999\n",
        b"L1L\n",
        b"S'a'\n",
        b"V\\ud800\n",
        b"g0\n",
        b"p0\n",
        b"i__main__\nx\n",
        b"\x82\x01",
    ),
)


#: What may stand beside tensors: numbers, words, and things in themselves.
BESIDE: tuple[Part, ...] = (
    b"K\x05",
    b"N",
    text("words"),
    b"]",
    b"}",
    b"\x88",
    b"G" + bytes(8),
    b"(K\x01K\x02t",
    b"]q\0h\0a",
    b"c__main__\nx\n",
)
STORAGES = tuple(
    f"{name}Storage".encode()
    for name in ("Half", "Double", "BFloat16", "Int", "Long", "Bool", "Byte", "ComplexFloat", "QInt8")
)


@cache
def index() -> tuple[list[Part], list[tuple[str, bytes]]]:
    """Return the opcodes of a good index, and the other entries of its archive."""
    file = io.BytesIO()
    torch.save({"params": states()[0], "iter": 3}, file)
    with zipfile.ZipFile(file) as packed:
        entries = {name: packed.read(name) for name in packed.namelist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    top, data = name.partition("/")[0], entries.pop(name)
    places = [at for _, _, at in pickletools.genops(data)] + [len(data)]
    parts = [data[a:b] for a, b in pairwise(places)]
    return parts[1:], [
        (name.replace(f"{top}/", "archive/"), content) for name, content in entries.items() if not name.endswith("/version")
    ]


def case(rng: Random) -> Case:
    """Return an archive that is sound, of an index that isn't."""
    parts, rest = list(index()[0]), index()[1]
    what = rng.choice(("opcodes", "opcodes", "bytes", "tensor", "sound", "sound", "sound"))
    if what == "sound":
        data = archive(io.BytesIO(), _sound(rng), rest).getvalue()
        return Case(f"pickle, {what}", {"a.pth": data}, lambda folder: attempted(folder / "a.pth"))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(parts))
        kind = rng.randrange(5)
        if what == "bytes":
            parts[at] = damaged(rng, parts[at])
        elif what == "tensor":
            numbers = [rng.choice((1, 2, 3, *NUMBERS)) % 2**60 - (rng.randrange(9) == 0) for _ in range(6)]
            parts[at:at] = [tensor(numbers[:2], numbers[2:4], numbers[4], numbers[5])]
        elif kind == 0:
            del parts[at : at + rng.choice((1, 1, 2, 20))]
        elif kind == 1:
            parts[at:at] = parts[(start := rng.randrange(len(parts))) : start + rng.choice((1, 2, 10))]
        elif kind == 2:
            other = rng.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        else:
            parts[at:at] = [rng.choice(ODD) * rng.choice((1, 1, 1, 2, 3000))]
        parts = parts or [b"."]
    data = archive(io.BytesIO(), b"".join(parts), rest).getvalue()
    return Case(f"pickle, {what}", {"a.pth": data}, lambda folder: attempted(folder / "a.pth"))


def _sound(rng: Random) -> bytes:
    """Return the opcodes of an index as torch.save writes them, but for a tensor or two, or what stands beside them."""
    state = states()[0]
    entries = []
    for number, (name, value) in enumerate(state.items()):
        entries.append([name, list(value.shape), list(value.stride()), value.numel(), 0, b"FloatStorage", str(number)])
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        _lie(rng, rng.choice(entries), len(entries))
    body = b"".join(text(name) + tensor(*about) for name, *about in entries)  # type: ignore[arg-type]
    for _ in range(rng.choice((0, 0, 1, 2))):
        body += text(rng.choice(("iter", "epoch", "x.weight", "", "params"))) + rng.choice(BESIDE)
    index = b"}(" + body + b"u"
    return (
        b"}" + text(rng.choice(("params", "params_ema", "state_dict", "x"))) + index + b"s" if rng.random() < 0.5 else index
    ) + b"."


def _lie(rng: Random, entry: list[Any], count: int) -> None:
    """Change what an entry says: name, shape, stride, elements of its storage, place in it, its type, or which one it is."""
    place = rng.randrange(7)
    if place == 0:
        entry[0] = rng.choice((retyped(rng, entry[0]), entry[0] + ".0", "module." + entry[0]))
    elif place in (1, 2):
        numbers = entry[place]
        kind = rng.randrange(5)
        if kind == 0:
            numbers.reverse()
        elif kind == 1:
            numbers.append(rng.choice((0, 1, 2)))
        elif numbers:
            numbers[rng.randrange(len(numbers))] = rng.choice((0, 1, 2, -1, 7, *NUMBERS)) % 2**62
    elif place in (3, 4):
        entry[place] = rng.choice(
            (0, 1, entry[3] - 1, entry[3] + 1, entry[3] // 2, 2 * entry[3], rng.choice(NUMBERS) % 2**62)
        )
    elif place == 5:
        entry[5] = rng.choice(STORAGES)
    else:
        entry[6] = rng.choice((str(rng.randrange(count + 1)), "", "../0", "0\0", "00", "data.pkl"))


def attempted(path: Path) -> list[str]:
    """Use a file; that nothing ran, and how much it took, is seen from outside."""
    used(path)
    return []
