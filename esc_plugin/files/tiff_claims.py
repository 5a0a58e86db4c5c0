"""What a TIFF says of itself in words, held against what it holds.

Of whatever such words claim, lists are made before a page is looked at: a few hundred bytes could ask for gigabytes.
"""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import tifffile

from ..errors import ImageError
from ..texts import quoted

#: Entries of all lists together; more than any file has pages, and some tens of megabytes.
MOST_LISTED = 5_000_000
#: An array that the words of a ScanImage file hold, as MATLAB writes it.
MATLAB_ARRAY = re.compile(r"(?:zeros|ones)\(([\d,_+\s]*)")
#: Entries of a list that take as much as one value of such an array does while it is read.
MATLAB_VALUE = 25


def check_claims(tif: tifffile.TiffFile, pages: int, smallest: int, subifds: int, most_pages: int) -> None:
    """Raise an `ImageError` if the words of a file claim more than the file, or its set, can hold, or name files elsewhere.

    Parameters
    ----------
    pages, smallest, subifds : int
        How many pages there are, pixels of the smallest one, and how many pages one of them has inside.
    most_pages : int
        Of a set of files.
    """
    claimed = [
        _by_ome(tif, pages, smallest, subifds, most_pages) if tif.is_ome else 0,
        _by_scn(tif) if tif.is_scn else 0,
        _by_micro_manager(tif) if tif.is_mmstack else 0,
        _by_ndtiff(tif) if tif.is_ndtiff else 0,
        _by_scanimage(tif) if tif.is_scanimage else 0,
    ]
    if max(claimed) > MOST_LISTED:
        raise ImageError(f"its metadata claim {max(claimed):,} planes or values, which no file of its kind has.")


def _by_ome(tif: tifffile.TiffFile, pages: int, smallest: int, subifds: int, most_pages: int) -> int:
    try:
        root = ET.fromstring((tif.ome_metadata or "").encode())  # expat expands no external entities
    except ET.ParseError:
        return 0  # which is said where the rest of it is read
    images = list(_named(root, "Pixels"))
    if len(images) > 1:
        raise ImageError(f"its OME-XML holds {len(images)} images; only files with one can be upscaled.")
    own, named = root.get("UUID"), [(element.get("FileName"), element.text) for element in _named(root, "UUID")]
    files = {(name, uuid) for name, uuid in named if name}
    for name, uuid in files:
        if own is None or uuid != own:  # itself is open already, wherever it lay when that was written
            _check_beside(name)
    claimed = prod(prod(sizes) for sizes, _, _ in map(_sizes, images))
    # A page may hold several channels, as samples. Of a set of files, each names the others.
    held = most_pages if files else pages * tif.pages.first.samplesperpixel
    if images and claimed > held:
        raise ImageError(f"its OME-XML claims {claimed:,} planes, but there are {held:,} at most.")
    planes = max((width * height * prod(sizes) // smallest for sizes, width, height in map(_sizes, images)), default=0)
    counts = [_plane_count(element, pages) for element in _named(root, "TiffData")]
    return max(planes * max(subifds, 1), sum(counts), *map(_modulo, root.iter()), 0)


def _named(root: ET.Element, name: str) -> Iterator[ET.Element]:
    return (element for element in root.iter() if element.tag.endswith(name))


def _sizes(pixels: ET.Element) -> tuple[list[int], int, int]:
    """Return the lengths of the axes of an image without width and height, of each as often as it is named, and these."""
    sizes = [_whole(pixels.get(f"Size{axis}"), 1) for axis in pixels.get("DimensionOrder", "XYZCT")]
    width, height = [*sizes, 1, 1][:2]
    return sizes[2:], width, height


def _plane_count(element: ET.Element, pages: int) -> int:
    """Return how many pages an entry says that it is about; all of them if it says nothing."""
    own = _whole(element.get("NumPlanes"), 1 if "IFD" in element.attrib else 0)
    return _whole(element.get("PlaneCount"), own) or pages


def _modulo(along: ET.Element) -> int:
    """Return how many steps a part of an axis has by an annotation."""
    if "Along" not in along.tag or "Start" not in along.attrib:
        return 0
    try:
        start, end, step = (float(along.get(name, 1)) for name in ("Start", "End", "Step"))
        return int(abs((end - start) / step)) + 2
    except (ValueError, ZeroDivisionError, OverflowError):
        return 0


def _by_scn(tif: tifffile.TiffFile) -> int:
    count = 0
    for pixels in _named(ET.fromstring(tif.pages.first.description), "pixels"):
        most: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for element in _named(pixels, "dimension"):
            channel, plane, level = (_whole(element.get(name), 0) for name in "czr")
            most[level] = [max(most[level][0], channel), max(most[level][1], plane)]
        count += sum((channels + 1) * (planes + 1) for channels, planes in most.values())
    return count


def _by_micro_manager(tif: tifffile.TiffFile) -> int:
    found = tif.micromanager_metadata or {}
    summary, index = found.get("Summary"), found.get("IndexMap")
    if not isinstance(summary, dict) or index is None or not len(index):
        return 0
    places = index[:, :4].astype(object)
    if "_MMStack" not in tif.filename:  # not of a set: only what there is counts, since many recordings end early
        return prod((places.max(axis=0) - places.min(axis=0) + 1).tolist())
    stated = [_whole(summary.get(name), 1) for name in ("Channels", "Slices", "Frames", "Positions")]
    return prod(map(max, (places.max(axis=0) + 1).tolist(), stated))


def _by_ndtiff(tif: tifffile.TiffFile) -> int:
    """Read the index beside a file, which names the others of its set."""
    places: dict[str, set[int]] = defaultdict(set)
    for axes, name, *_ in tifffile.read_ndtiff_index(Path(tif.filehandle.dirname, "NDTiff.index")):
        _check_beside(name)
        for axis, place in axes.items():
            if isinstance(place, int):
                places[axis].add(place)
    return prod(max(found) - min(found) + 1 for found in places.values())


def _by_scanimage(tif: tifffile.TiffFile) -> int:
    file = tif.filehandle
    file.seek(0)
    head = file.read(32).ljust(32, b"\0")
    text = file.read(min(struct.unpack("<I", head[24:28])[0], file.size)).decode("utf-8", "replace")
    return MATLAB_VALUE * sum(prod(_whole(n, 1) for n in sizes.split(",")) for sizes in MATLAB_ARRAY.findall(text))


def _whole(text: Any, default: int) -> int:
    """Return a number as tifffile reads it; what is none ends its reading before anything is listed."""
    try:
        return default if text is None else int(text)
    except (ValueError, TypeError, OverflowError):
        return default


def _check_beside(name: str) -> None:
    """Raise an `ImageError` unless a name of a file leads to where the file that names it lies, or below."""
    paths = PurePosixPath(name), PureWindowsPath(name)  # whichever may read it
    if "\0" in name or any(path.drive or path.root or ".." in path.parts for path in paths):
        raise ImageError(f"its metadata name a file elsewhere, {quoted(name)}, which is not read.")
