"""Changes to bytes, texts and trees of JSON, as damage and attackers make them. Everything is decided by an `rng`."""

from __future__ import annotations

import copy
import json
import struct
from random import Random
from typing import Any

#: Where programs go wrong: ends of ranges, and numbers that are lengths of nothing.
NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)
#: What stands in JSON and YAML where something else was meant.
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        0.5,
        2**31,
        2**53,
        2**63,
        10**30,
        -(10**30),
        1e308,
        -1e-308,
        float("nan"),
        float("inf"),
    ),
    *(
        "",
        " ",
        "0",
        "1e5",
        "nan",
        "x" * 300,
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "\0",
        "\n",
        "\x1b[31m",
        "\ud800",
        "жx☃\u202e",
    ),
    *([], {}, [[]], [0], [1, 2], [None], ["x"], {"a": 1}, {"": None}, [0] * 40, [[[[[[[[0]]]]]]]]),
)
WORDS = (
    "NaN",
    "-1",
    "1e999",
    "9" * 30,
    "0x10",
    "null",
    "{}",
    "[]",
    '"',
    "'",
    "\\",
    "<",
    ">",
    "&",
    "\r\n",
    "\t",
    "\0",
    "é",
    "\u202e",
    "*a",
    "&a ",
    "<<: ",
)


def damaged(rng: Random, data: bytes, others: tuple[bytes, ...] = ()) -> bytes:
    """Return bytes with one change or a few."""
    found = bytearray(data)
    for _ in range(1 + min(int(rng.expovariate(1)), 6)):
        found = _damage(rng, found, others)
    return bytes(found)


def _damage(rng: Random, data: bytearray, others: tuple[bytes, ...]) -> bytearray:
    at = rng.randrange(len(data) + 1)
    kind = rng.randrange(10)
    if kind <= 2 and data:  # a bit, or a byte
        at %= len(data)
        data[at] = data[at] ^ 1 << rng.randrange(8) if kind else rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    elif kind <= 4:  # a number where one may be
        form = rng.choice("BHIQ")
        size = struct.calcsize(form)
        value = rng.choice(NUMBERS) + rng.choice((0, 0, -1, 1))
        data[at : at + size] = struct.pack(rng.choice("<>") + form, value % 2 ** (8 * size))
    elif kind == 5:
        del data[at:]
    elif kind == 6:
        del data[at : at + rng.choice((1, 2, 4, 16, 200))]
    elif kind == 7:
        data[at:at] = rng.choice((rng.randbytes(rng.choice((1, 4, 64))), bytes(rng.choice((1, 8, 1000)))))
    elif kind == 8:  # something twice, or elsewhere
        start = rng.randrange(len(data) + 1)
        data[at:at] = data[start : start + rng.choice((1, 4, 16, 200))]
    elif others:
        other = rng.choice(others)
        return data[:at] + other[rng.randrange(len(other) + 1) :]
    return data


def retyped(rng: Random, text: str) -> str:
    """Return a text with one change or a few, of characters and of words that parsers look for."""
    for _ in range(1 + min(int(rng.expovariate(1)), 5)):
        at = rng.randrange(len(text) + 1)
        stop = min(at + rng.choice((0, 1, 1, 3, 20, 100)), len(text))
        new = rng.choice(
            (rng.choice(WORDS), "", chr(rng.randrange(1, 0x2FFF)), text[stop : stop + 30], str(rng.choice(NUMBERS)))
        )
        text = text[:at] + new + text[stop:]
    return text


def twisted(rng: Random, tree: Any, values: tuple[Any, ...] = VALUES) -> Any:
    """Return a copy of a tree of dicts and lists with one change or a few."""
    tree = copy.deepcopy(tree)
    for _ in range(1 + min(int(rng.expovariate(1.2)), 4)):
        places = list(_places(tree))
        if not places:
            return rng.choice(values)
        holder, key = rng.choice(places)
        _twist(rng, holder, key, places, values)
    return tree if rng.randrange(40) else rng.choice(values)


def nudged(rng: Random, tree: Any) -> Any:
    """Return a copy of a tree with one value or a few in the place of others like them: most first checks are passed."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = [(holder, key) for holder, key in _places(tree)]
        if not places:
            return tree
        holder, key = rng.choice(places)
        value = holder[key]
        if isinstance(value, bool) or value is None:
            holder[key] = not value
        elif isinstance(value, (int, float)):
            holder[key] = type(value)(rng.choice((value + 1, value - 1, value * 2, value // 2, 0, 1, 2, 3, 5, 64, 1000)))
        elif isinstance(value, (list, dict)) and value and rng.random() < 0.5:
            _shortened(rng, value)
        else:
            alike = [h[k] for h, k in places if type(h[k]) is type(value)]
            holder[key] = copy.deepcopy(rng.choice(alike))
    return tree


def _shortened(rng: Random, value: Any) -> None:
    if isinstance(value, dict):
        del value[rng.choice(list(value))]
    elif rng.random() < 0.5:
        del value[rng.randrange(len(value))]
    else:
        value.insert(rng.randrange(len(value) + 1), copy.deepcopy(rng.choice(value)))


def _places(tree: Any) -> Any:
    if isinstance(tree, (dict, list)):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])


def _twist(rng: Random, holder: Any, key: Any, places: Any, values: tuple[Any, ...]) -> None:
    kind, value = rng.randrange(10), holder[key]
    if kind <= 3:
        holder[key] = copy.deepcopy(rng.choice(values))
    elif kind == 4 and isinstance(value, str):
        holder[key] = retyped(rng, value)
    elif kind <= 5 and isinstance(value, (int, float)) and not isinstance(value, bool):
        holder[key] = rng.choice((value + 1, -value, value * 1000, value / 3, str(value), [value], float(value), *NUMBERS))
    elif kind == 6:
        del holder[key]
    elif kind == 7:
        other, there = rng.choice(places)
        if there in other if isinstance(other, dict) else there < len(other):
            holder[key] = copy.deepcopy(other[there])
    elif kind == 8 and isinstance(holder, dict):
        holder[retyped(rng, str(key))] = holder.pop(key)
    elif isinstance(holder, list):
        holder.insert(key, copy.deepcopy(value))
    else:
        holder[key] = [value]


def json_bytes(rng: Random, tree: Any) -> bytes:
    """Return a tree as the JSON of a file, now and then broken as a text."""
    text = json.dumps(tree, ensure_ascii=rng.random() < 0.5)
    if rng.randrange(12) == 0:
        text = retyped(rng, text)
    data = text.encode("utf-8", "surrogatepass")
    return damaged(rng, data) if rng.randrange(20) == 0 else data
