"""A picture in a store that a server has is upscaled."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from ..job import Job
from .download import server
from .download import serving as behaving

NAME = "in.zarr"


@cache
def store() -> Mapping[str, bytes]:
    """Return the files of a store by name: an array of 8 bits (96, 120, 3), in six chunks."""
    import zarr

    blocks = np.random.default_rng(0).integers(0, 256, (12, 15, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / NAME
        zarr.create_array(place, data=blocks, chunks=(48, 40, 3), dimension_names=("y", "x", "s"))
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@contextmanager
def serving() -> Iterator[Mapping[str, str]]:
    """Let the server have the store."""
    with behaving() as environment:
        server().release |= store()
        yield environment


def job() -> Job:
    """Return the job."""
    arguments = ("upscale", f"{server().url}/release/{NAME}", "-o", "a_x2.tif", "--model", "esc-nano-x2", "--overwrite")
    return Job((*arguments, "--device", "cpu"), {}, service=serving, packages=("zarr", "fsspec", "aiohttp"))
