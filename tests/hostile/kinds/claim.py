"""What a store that was begun says of the work: whoever goes on with it trusts none of it."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.zarr_store import ShardedImage

from ..case import Case, check
from ..mutate import damaged, json_bytes, twisted
from .zarr import Files, _files

AXES = Axes("cyx", (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), ("pixel",) * 3)
JOB = {"model": "toy", "options": {"strength": 1.0, "size": [20, 30]}, "survey": None}
SHAPE, STORE = (2, 20, 30), "a.ome.zarr"
PIXELS = np.random.default_rng(0).integers(0, 250, SHAPE, np.uint16)


@cache
def begun() -> Files:
    """Return the files of a store of which one block is done."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, STORE)
        image = _created(place)
        image.write(block := image.blocks(0)[0], PIXELS[block.plane][block.slices])
        return _files(place)


def _created(place: Path) -> ShardedImage:
    return ShardedImage.create(place, SHAPE, np.uint16, AXES, job=JOB, shard=16, chunk=8)


def case(rng: Random) -> Case:
    """Return a store with something changed in what it says."""
    files = dict(begun())
    texts = [name for name, content in files.items() if content[:1] in (b"{", b"[")]
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(files) if rng.random() < 0.3 else texts)
        try:
            files[name] = json_bytes(rng, twisted(rng, json.loads(files[name])))
        except (KeyError, ValueError):
            files[name] = damaged(rng, files.get(name, b""))
        if rng.randrange(15) == 0:
            del files[name]
    placed = {f"{STORE}/{name}": content for name, content in files.items()}
    return Case(f"claim, {name}", placed, attempted, kept=(STORE,))


def attempted(folder: Path) -> list[str]:
    """Go on with the store as its job would, to the end of the finest level."""
    image = _created(folder / STORE)
    for block in image.missing(0):
        image.write(block, PIXELS[block.plane][block.slices])
    check(not image.missing(0), "blocks that were written are missing")
    return []
