"""Writing TIFF the way its predecessor was written."""

from __future__ import annotations

import io
import json
import re
import struct
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import tifffile

from ..errors import ImageError
from . import exif
from .ome_xml import described_again, resized_ome
from .picture import Picture
from .tiff_notes import TiffNotes
from .tiff_read import DESCRIPTION_TAG, ICC_TAG, XMP_TAG

#: A TIFF that isn't a BigTIFF ends before 4 GiB; a part of that is for what isn't pixels.
CLASSIC_LIMIT = 2**32 - 2**25
#: From this edge on an image has tiles, so that a part of it can be read without the rest; ImageJ knows none.
LARGEST_STRIPS, TILE = 8192, (512, 512)
#: Values that are written at once.
AT_ONCE = 2**22
#: ImageJ's entries that have a place of their own, outside of its description, and are UTF-16 there.
IMAGEJ_UNICODE = ("Info", "Labels", "Properties")


def write_tiff(file: IO[bytes], picture: Picture, quality: int | None = None) -> None:
    """Write a picture as the kind of TIFF that it was, or as a plain one, to a file that is open for reading too.

    Nothing is lossy here, so no quality is asked for.
    """
    pixels, axes = picture.pixels, picture.axes
    notes = picture.tiff or _plain_notes(picture)
    options = dict(notes.options)
    options["bigtiff"] = options.get("bigtiff") or pixels.nbytes > CLASSIC_LIMIT
    if max(picture.size) > LARGEST_STRIPS and notes.kind != "imagej":
        options["tile"] = options.get("tile") or TILE
    options |= _colours(pixels, axes) | _description(picture, notes)
    extra = options.pop("extratags", None) or []
    for code, kind, value in ((XMP_TAG, 1, picture.packet), (ICC_TAG, 7, picture.icc)):
        extra = [*extra, (code, kind, len(value), value, True)] if value else extra
    if notes.resolution:
        options |= {"resolution": notes.resolution[:2], "resolutionunit": notes.resolution[2]}
    elif picture.dpi:
        options |= {"resolution": picture.dpi, "resolutionunit": 2}
    data = exif.resized_exif(picture.exif, *picture.size) if notes.kind != "imagej" and not options["bigtiff"] else None
    if picture.exif and data is None:
        picture.notes.append("this kind of TIFF has no place for its EXIF")
    added = list(exif.directories(data, options["byteorder"])) if data else []
    # Where they are is known only after the pixels, and tifffile refuses their tags; their neighbours' keep the place.
    extra = [*extra, *((code - 1, 4, 1, 0, True) for code, _ in added)]
    options["software"] = _text(options.get("software"))
    extra = [(code, kind, count, _text(value), once) for code, kind, count, value, once in extra]
    options |= {"shape": pixels.shape, "dtype": pixels.dtype}
    contiguous = not (options.get("compression") or options.get("tile") or pixels.dtype == bool)  # which is packed
    heard: Any = _Heard(file)
    tifffile.imwrite(heard, _in_parts(pixels) if contiguous else pixels, extratags=extra, **options)
    _append(file, added)


class _Heard:
    """A file that has no number: to one, NumPy writes past Python, and doesn't hear that a full disk took only a part."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def fileno(self) -> int:
        raise io.UnsupportedOperation("pixels are written by Python")


def _in_parts(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield values in their order, so few at once that it doesn't matter that they are copied on the way to the file."""
    values = np.ascontiguousarray(pixels).reshape(-1)
    for start in range(0, values.size, AT_ONCE):
        yield values[start : start + AT_ONCE]


def _text(value: Any) -> Any:
    """Return text as UTF-8, which readers expect where a tag isn't ASCII; tifffile refuses it as a string."""
    return value.encode() if isinstance(value, str) and not value.isascii() else value


def _escaped(value: Any) -> Any:
    """Return text as ImageJ itself writes what isn't ASCII into its description."""
    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], value) if isinstance(value, str) else value


def _plain_notes(picture: Picture) -> TiffNotes:
    """Return how an image that was no TIFF is written as one."""
    text = exif.text_tags(picture.exif) if picture.exif else {}
    options = {
        "compression": "zlib",
        "byteorder": "<",
        "software": text.pop(305, None),
        "datetime": text.pop(306, None),
        "extratags": [(code, 2, None, value, True) for code, value in text.items() if code != DESCRIPTION_TAG],
    }
    return TiffNotes(metadata=text.get(DESCRIPTION_TAG), options=options)


def _append(file: IO[bytes], directories: list[tuple[int, Any]]) -> None:
    """Put directories behind the pixels, and their tags into the entries that were kept free for them."""
    if not directories:
        return
    file.seek(0)
    tif = tifffile.TiffFile(file)
    entries = {code: tif.pages.first.tags[code - 1] for code, _ in directories}
    for code, directory in directories:
        end = file.seek(0, 2)
        place = end + file.write(bytes(end % 2))
        file.write(directory.tobytes(place))
        file.seek(entries[code].offset)
        file.write(struct.pack(f"{tif.byteorder}H", code))
        file.seek(entries[code].valueoffset)
        file.write(struct.pack(f"{tif.byteorder}I", place))


def _colours(pixels: np.ndarray, axes: str) -> dict[str, Any]:
    if "S" not in axes:
        return {"photometric": "minisblack"}
    count = pixels.shape[axes.index("S")]
    return {
        "photometric": "rgb" if count >= 3 else "minisblack",
        "planarconfig": "contig" if axes.endswith("S") else "separate",
        "extrasamples": ["unassalpha"] if count in (2, 4) else None,
    }


def _description(picture: Picture, notes: TiffNotes) -> dict[str, Any]:
    if picture.tiff is None and picture.ome is not None:
        return {
            "ome": True,
            "metadata": described_again(picture.ome, picture.axes, picture.pixels.shape, picture.provenance),
        }
    if notes.kind == "imagej":
        # ImageJ reads big-endian files only, which tifffile takes care of.
        entries = {k: v if k in IMAGEJ_UNICODE else _escaped(v) for k, v in _entries(picture, notes).items()}
        return {"imagej": True, "metadata": {**entries, "axes": picture.axes}, "byteorder": None, "software": None}
    if notes.kind == "ome":
        planes = picture.planes if notes.deeper != 1 else None
        text, left_out = resized_ome(notes.metadata, *picture.size, *notes.scale, notes.start, picture.provenance, planes)
        picture.notes.extend(left_out)
        return {"description": text, "metadata": None, "byteorder": "<"}
    if notes.kind == "shaped":
        return {"metadata": {**notes.metadata, "axes": picture.axes}}
    return {"description": _text(notes.metadata), "metadata": None}


def _entries(picture: Picture, notes: TiffNotes) -> dict[str, Any]:
    """Return ImageJ's entries, of a stack that has been cut along z as it is now."""
    entries = dict(notes.metadata)
    if notes.deeper != 1 and entries.pop("Labels", None):
        picture.notes.append("labels of ImageJ's planes are left out, as there are other planes now")
    if notes.deeper != 1 and "spacing" in entries:
        entries["spacing"] = entries["spacing"] / notes.deeper
    return entries


def check_tiff(picture: Picture, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise an `ImageError` for an image that its kind of TIFF can't hold."""
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if picture.tiff and picture.tiff.kind == "imagej" and size > CLASSIC_LIMIT:
        raise ImageError(f"ImageJ's TIFF can't hold {size / 2**30:.1f} GiB; save the input as OME-TIFF first.")
    if dtype.kind == "b" and picture.axes.endswith("S"):
        raise ImageError("TIFF can't hold colours or transparency of one bit; convert the image to 8 bits first.")
    if any(length >= 2**31 for length in shape):
        raise ImageError(f"TIFF can't hold {shape} values.")
