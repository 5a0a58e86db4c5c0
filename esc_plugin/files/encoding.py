"""A picture as a file's bytes, and what of it a format refuses: tried on a few pixels before the work."""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection
from dataclasses import replace
from typing import IO, Any

import numpy as np

from .format import Format
from .picture import Picture
from .tiff_notes import Piece

#: Pixels a side of what is tried.
TRIAL_SIDE = 16
#: What an image can do without: the fields of a picture; those of its TIFF are named by `TiffNotes.pieces`.
DECORATION = ("icc", "xmp", "provenance", "exif", "iptc", "dpi", "comment", "chunks", "ome")


def encode(file: IO[bytes], picture: Picture, form: Format, quality: int | None = None) -> None:
    """Write a picture to a file that is open for reading too, in a format that is written."""
    assert form.write is not None
    form.write(file, picture, quality)


def refusal(picture: Picture, form: Format) -> str:
    """Return why such a picture can't be written, or nothing if it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            encode(io.BytesIO(), _tiny(picture), form)
    except Exception as error:  # encoders raise almost anything
        return " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return ""


def fitted(picture: Picture, form: Format) -> Picture:
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
        picture.notes.append(f"{form.name} can't hold its {', '.join(str(name) for _, name in dropped)}, which is left out")
    return without(picture, dropped)


def pieces(picture: Picture) -> list[Piece]:
    """Return what an image can do without, by where it is and its name."""
    found: list[Piece] = [("picture", name) for name in DECORATION if getattr(picture, name)]
    return found + (picture.tiff.pieces() if picture.tiff else [])


def without(picture: Picture, dropped: Collection[Piece]) -> Picture:
    """Return a picture without some of its `pieces`; its notes stay the same list."""
    empty: dict[str, Any] = {"chunks": [], "provenance": {}}
    fields: dict[str, Any] = {name: empty.get(name) for where, name in dropped if where == "picture"}
    return replace(picture, tiff=picture.tiff and picture.tiff.without(dropped), **fields)


def _tiny(picture: Picture) -> Picture:
    sides = {"Y": TRIAL_SIDE, "X": TRIAL_SIDE}
    lengths = zip(picture.axes, picture.pixels.shape, strict=True)
    shape = [length if axis == "S" else sides.get(axis, 1) for axis, length in lengths]
    return replace(picture, pixels=np.zeros(shape, picture.pixels.dtype), notes=[])
