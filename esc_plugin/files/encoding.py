"""A picture as a file's bytes, and what of it a format refuses: tried on a few pixels before the work."""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection
from dataclasses import replace
from typing import IO, Any

import numpy as np

from .photo import write_photo
from .picture import Picture
from .tiff_write import write_tiff

#: Pixels a side of what is tried.
TRIAL_SIDE = 16
#: What an image is without: the fields of a picture, then those of its TIFF.
DECORATION = ("icc", "xmp", "provenance", "exif", "iptc", "dpi", "comment", "chunks")
#: These decide how the pixels are stored; a TIFF without them is another kind of file.
NEEDED_OPTIONS = ("bigtiff", "byteorder")

Piece = tuple[str, Any]


def encode(file: IO[bytes], picture: Picture, form: str, quality: int | None = None) -> None:
    """Write a picture to an open file."""
    if form == "TIFF":
        write_tiff(file, picture)
    else:
        write_photo(file, picture, form, quality)


def refusal(picture: Picture, form: str) -> str:
    """Return why such a picture can't be written, or nothing if it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            encode(io.BytesIO(), _tiny(picture), form)
    except Exception as error:  # encoders raise almost anything
        return " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return ""


def fitted(picture: Picture, form: str) -> Picture:
    """Return the picture without the decoration that its format refuses, named in its notes.

    One thing after the other is added to the bare pixels, as long as they can be written together.
    """
    if not refusal(picture, form):
        return picture
    dropped = pieces(picture)
    for piece in list(dropped):
        rest = [other for other in dropped if other != piece]
        if not refusal(without(picture, rest), form):
            dropped = rest
    if dropped:
        picture.notes.append(f"{form} can't hold its {', '.join(str(name) for _, name in dropped)}, which is left out")
    return without(picture, dropped)


def pieces(picture: Picture) -> list[Piece]:
    """Return what an image can do without, by where it is and its name."""
    found: list[Piece] = [("picture", name) for name in DECORATION if getattr(picture, name)]
    if picture.tiff is None:
        return found
    tiff = picture.tiff
    found += [("tiff", "resolution")] if tiff.resolution else []
    found += [("option", name) for name, value in tiff.options.items() if value is not None and name not in NEEDED_OPTIONS]
    if isinstance(tiff.metadata, dict):
        return found + [("metadata", name) for name in tiff.metadata]
    return found + ([("tiff", "metadata")] if tiff.metadata else [])


def without(picture: Picture, dropped: Collection[Piece]) -> Picture:
    """Return a picture without some of its `pieces`; its notes stay the same list."""
    empty: dict[str, Any] = {"chunks": [], "provenance": {}}
    fields: dict[str, Any] = {name: empty.get(name) for where, name in dropped if where == "picture"}
    return replace(picture, tiff=picture.tiff and _without(picture.tiff, dropped), **fields)


def _without(tiff: Any, dropped: Collection[Piece]) -> Any:
    options = {name: value for name, value in tiff.options.items() if ("option", name) not in dropped}
    if ("option", "compression") in dropped:
        options["compression"] = "zlib"  # which every tifffile can write
    changes: dict[str, Any] = {"options": options}
    if isinstance(tiff.metadata, dict):
        changes["metadata"] = {k: v for k, v in tiff.metadata.items() if ("metadata", k) not in dropped}
    elif ("tiff", "metadata") in dropped:
        # tifffile's own kind says at least which axes there are.
        changes |= {"metadata": {}, "kind": "shaped"} if tiff.kind == "ome" else {"metadata": None}
    if ("tiff", "resolution") in dropped:
        changes["resolution"] = None
    return replace(tiff, **changes)


def _tiny(picture: Picture) -> Picture:
    sides = {"Y": TRIAL_SIDE, "X": TRIAL_SIDE}
    lengths = zip(picture.axes, picture.pixels.shape, strict=True)
    shape = [length if axis == "S" else sides.get(axis, 1) for axis, length in lengths]
    return replace(picture, pixels=np.zeros(shape, picture.pixels.dtype), notes=[])
