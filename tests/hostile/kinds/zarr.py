"""Zarr folders: metadata that lies or is missing, damaged chunks, in versions 2 and 3, with OME's words or without."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numcodecs
import numpy as np
import zarr

from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_image import save_image
from esc_plugin.files.ome_notes import Channel

from ..case import Case
from ..mutate import VALUES as STRANGE
from ..mutate import damaged, json_bytes, nudged, twisted
from ..upscaling import upscaled

Files = dict[str, bytes]
#: Versions of Zarr, and how chunks are stored.
FORMS: tuple[tuple[int, dict[str, Any]], ...] = (
    (2, {}),
    (3, {}),
    *((2, {"compressors": codec}) for codec in (numcodecs.Zlib(), numcodecs.BZ2(), numcodecs.LZMA(), numcodecs.LZ4(), None)),
    *((2, {"compressors": numcodecs.Blosc(name, shuffle=2)}) for name in ("lz4", "lz4hc", "blosclz", "zlib", "zstd")),
    (2, {"filters": [numcodecs.Delta("u1", "i4"), numcodecs.Shuffle(4)], "compressors": numcodecs.GZip()}),
    (3, {"compressors": zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")}),
    (3, {"compressors": [zarr.codecs.GzipCodec(), zarr.codecs.Crc32cCodec()]}),
    (3, {"shards": (8, 12), "compressors": zarr.codecs.BloscCodec()}),
)
AXES = Axes("cyx", (1.0, 0.5, 0.25), (0.0, 3.0, 4.0), ("pixel", "micrometer", "micrometer"))
#: What is put in the place of a value: what Zarr knows, and what is a program.
VALUES = (
    *(
        "<u2",
        ">f8",
        "|b1",
        "|O",
        "<M8[s]",
        "uint16",
        "float32",
        "int64",
        "complex64",
        "string",
        "zstd",
        "gzip",
        "pickle",
        "blosc",
    ),
    *({"id": "pickle"}, {"name": "pickle", "configuration": {}}, {"id": "zlib", "level": 99}, {"name": "sharding_indexed"}),
    *(
        [1, 1, 1],
        [0],
        [2**40, 2**40, 3],
        [10**30],
        -1,
        0,
        2**63,
        None,
        "NaN",
        "",
        "../..",
        "/etc",
        "..\\x",
        [],
        {},
        1.5,
        True,
        "x" * 500,
    ),
)


def values(*shape: int) -> np.ndarray:
    """Return numbers that don't compress to nothing."""
    return np.random.default_rng(0).integers(0, 250, shape, np.uint16)


@cache
def good() -> tuple[Files, ...]:
    """Return the files of folders by relative name."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for version in ("0.4", "0.5"):
            place = Path(folder, f"{version}.ome.zarr")
            save_image(
                place, values(2, 10, 12), AXES, channels=[Channel("cells", (0.0, 1.0, 0.0), (0.0, 150.0))], version=version
            )
            found.append(_files(place))
        for form, options in FORMS:
            place = Path(folder, f"{len(found)}.zarr")
            array = zarr.create_array(str(place), shape=(9, 12), dtype="uint8", chunks=(4, 6), zarr_format=form, **options)
            array[...] = values(9, 12)
            found.append(_files(place))
    return tuple(found)


@cache
def bombs() -> tuple[bytes, ...]:
    """Return chunks that become half a gigabyte, one of each compressor."""
    some, many = np.zeros(2**24, np.uint8), np.zeros(2**29, np.uint8)
    streams = [codec.encode(some) * 32 for codec in (numcodecs.GZip(1), numcodecs.BZ2(1), numcodecs.LZMA())]
    return *streams, *(bytes(codec.encode(many)) for codec in (numcodecs.Zstd(), numcodecs.Blosc("zstd")))


def _files(place: Path) -> Files:
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def case(rng: Random) -> Case:
    """Return a folder with something changed."""
    files, what = dict(rng.choice(good())), "several"
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        what = _change(rng, files)
    target = f"out/result{rng.choice(('.tif', '.tif', '.ome.tif', '.png'))}"
    placed = {f"a.zarr/{name}": content for name, content in files.items()}
    return Case(f"zarr, {what}", placed, upscaled("a.zarr", target))


def _change(rng: Random, files: Files) -> str:
    described = [name for name in files if Path(name).name in ("zarr.json", ".zarray", ".zattrs", ".zgroup")]
    chunks = [name for name in files if name not in described]
    kind = rng.randrange(11)
    if kind <= 4 and described:
        name = rng.choice(described)
        try:
            tree = json.loads(files[name])
        except ValueError:
            return "damaged twice"
        kind = rng.random()
        if kind < 0.4:
            files[name] = json.dumps(nudged(rng, tree)).encode()
        else:
            files[name] = json_bytes(rng, twisted(rng, tree, VALUES if kind < 0.85 else STRANGE))
        return f"tree of {name}"
    if kind == 5 and files:
        name = rng.choice(list(files))
        del files[name]
        return f"without {name}"
    if kind == 6 and described:
        name = rng.choice(described)
        files[name] = damaged(rng, files[name])
        return f"bytes of {name}"
    if chunks:
        name = rng.choice(chunks)
        if rng.random() < 0.2:
            files[name] = rng.choice(bombs())
            return "a chunk that becomes large"
        files[name] = damaged(rng, files[name], tuple(files.values()))
    return "a chunk"
