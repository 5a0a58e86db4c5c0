"""Zarr as a format: images in folders and behind addresses."""

from __future__ import annotations

import re
from pathlib import Path

from .address import Url
from .format import Format
from .picture import Picture


def _read(place: Path | Url, max_pixels: int) -> Picture:
    """Read it with what imports zarr, which takes longer than all other formats together."""
    from .zarr_read import read_zarr

    return read_zarr(place)


#: It is read lazily whatever is asked for, so that no size is too large.
ZARR = Format(
    "OME-Zarr",
    (".zarr",),
    starts=re.compile(rb"(?!)"),
    read=_read,
    packet=lambda path: None,
    exact=True,
    keeps=frozenset({"pixel size"}),
    inner_suffix=".ome",
    store=True,
)
