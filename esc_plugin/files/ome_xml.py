"""OME-XML: of a new image, and of one that has grown."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from ..errors import ImageError
from ..provenance import SYNTHETIC, facts_of, words_of
from .ome_axes import LENGTHS, TIMES, Axes
from .ome_notes import Channel, OmeNotes, one_for_each
from .xmp import NAMESPACE

#: Characters that XML 1.0 can't hold.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def described(
    axes: Axes,
    rgb: bool,
    shape: Sequence[int],
    name: str,
    channels: Sequence[Channel] = (),
    record: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what a new image says of itself, as tifffile takes it to write OME-XML.

    Parameters
    ----------
    axes : Axes
        Of the image, without the samples of a pixel.
    rgb : bool
        Whether `shape` ends with samples: (..., Y, X, S).
    shape : sequence of int
        Of the image.
    name : str
        Of the image.
    channels : sequence of Channel
        How they are called and shown; one will do if it holds for all.
    record : dict, optional
        How it was made, see `esc_plugin.provenance`; it is said in words.
    """
    found: dict[str, Any] = {"axes": axes.letters.upper() + "S" * rgb, "Name": plain(name)}
    positions: dict[str, Any] = {}
    planes = list(np.ndindex(*shape[: len(axes.letters) - 2]))
    about = zip(axes.letters.upper(), axes.scale, axes.translate, axes.units, strict=True)
    for axis, (letter, size, start, unit) in enumerate(about):
        if letter == "T" and unit in TIMES:
            found |= {"TimeIncrement": abs(size), "TimeIncrementUnit": TIMES[unit]}
        elif letter in "ZYX" and (unit in LENGTHS or size != 1 or start != 0):
            symbol = LENGTHS.get(unit, "pixel")
            found |= {f"PhysicalSize{letter}": abs(size), f"PhysicalSize{letter}Unit": symbol}
            places = [start + size * place[axis] for place in planes] if letter == "Z" else [start] * len(planes)
            stage = symbol if symbol != "pixel" else "reference frame"
            positions |= {f"Position{letter}": places, f"Position{letter}Unit": [stage] * len(planes)}
    found |= {"Plane": positions} if positions else {}
    if not rgb:
        count = shape[axes.letters.index("c")] if "c" in axes.letters else 1
        found |= _described_channels(one_for_each(channels or [Channel()] * (count == 1), count), name)
    return found | (_described_record(record) if record else {})


def _described_channels(channels: Sequence[Channel], name: str) -> dict[str, Any]:
    """Return channels as tifffile takes them; if one has a colour, all others are white."""
    if not channels:
        return {}
    found: dict[str, Any] = {"Name": [plain(channel.name or name) for channel in channels]}
    if any(channel.color for channel in channels):
        found["Color"] = [_rgba(channel.color or (1.0, 1.0, 1.0)) for channel in channels]
    return {"Channel": found}


def _described_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return in words how an image was made: as its description, and as a table."""
    table = {plain(key): plain(value) for key, value in facts_of(record).items()}
    return {"Description": plain(words_of(record)), "MapAnnotation": {"Namespace": NAMESPACE, "Value": table}}


def described_again(
    notes: OmeNotes, letters: str, shape: Sequence[int], record: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return what an image says of itself that was read from an OME-Zarr, as tifffile takes it.

    Parameters
    ----------
    letters : str
        Of the axes of `shape`, such as ``"CYX"``; ``"SYX"`` if channels are the colours of one picture.
    record : dict, optional
        How it was made, see `esc_plugin.provenance`.
    """
    colours = "S" in letters
    axes = notes.axes.without_channel() if colours else notes.axes
    lengths = [length for length, letter in zip(shape, letters, strict=True) if letter != "S"]
    return described(axes, False, lengths, notes.name, () if colours else notes.channels, record) | {"axes": letters}


def plain(text: Any) -> str:
    """Return text without what XML has no place for."""
    return NOT_XML.sub("\ufffd", str(text))


def _rgba(color: tuple[float, float, float]) -> int:
    """Return a colour as OME-XML has it: 32 bits with a sign."""
    return int.from_bytes(bytes(round(255 * value) for value in (*color, 1)), "big", signed=True)


def resized_ome(
    text: str,
    height: int,
    width: int,
    sy: float,
    sx: float,
    start: tuple[int, int] = (0, 0),
    record: dict[str, Any] | None = None,
    planes: int | None = None,
) -> tuple[bytes, list[str]]:
    """Return OME-XML for an image of `height` x `width` that is `sy` and `sx` times as large, and what had to be left out.

    Everything else stays: channels, instruments, times, annotations. The new text is ASCII, as TIFF wants it. Of a part of
    the larger image, which begins at the row and column `start`, planes lie where that part lies. How it was made, of which
    there is a `record`, is said in words. Of a stack that has been cut along z, `planes` is how many it has now.

    Raises
    ------
    ImageError
        If it is no OME-XML with one image.
    """
    try:
        root = ET.fromstring(text.encode())  # expat expands no external entities
    except ET.ParseError as error:
        raise ImageError(f"its OME-XML is damaged ({error}).") from None
    namespace = root.tag.partition("}")[0].lstrip("{") if root.tag.startswith("{") else ""
    prefix = f"{{{namespace}}}" if namespace else ""
    found = root.findall(f"{prefix}Image/{prefix}Pixels")
    if len(found) != 1:
        raise ImageError(f"its OME-XML holds {len(found)} images; only files with one can be upscaled.")
    pixels, notes = found[0], []
    pixels.set("SizeX", str(width))
    pixels.set("SizeY", str(height))
    for name, scale in (("PhysicalSizeX", sx), ("PhysicalSizeY", sy)):
        if name in pixels.attrib:
            pixels.set(name, repr(float(pixels.attrib[name]) / scale))
    _replace_tiff_data(pixels, prefix)
    if planes is not None:
        _cut_planes(pixels, prefix, planes)
    if start != (0, 0):
        _move_planes(pixels, prefix, start)
    root.attrib.pop("UUID", None)
    if record:
        _annotate(root, prefix, record)
    if _remove_regions(root, prefix):
        notes.append("OME regions of interest are in pixels of the old size and are left out")
    if _remove_foreign_names(root):
        notes.append("parts of its OME-XML whose names aren't ASCII, as OME's are, are left out")
    ET.register_namespace("", namespace)
    return ET.tostring(root, encoding="us-ascii", xml_declaration=True), notes


def _remove_foreign_names(root: ET.Element) -> int:
    """Remove what ASCII can't name, of which a reader would find damaged XML; return how much that was."""
    removed = 0
    for element in list(root.iter()):
        foreign = [name for name in element.attrib if not name.isascii()]
        children = [child for child in element if isinstance(child.tag, str) and not child.tag.isascii()]
        for name in foreign:
            del element.attrib[name]
        for child in children:
            element.remove(child)
        removed += len(foreign) + len(children)
    return removed


def _replace_tiff_data(pixels: ET.Element, prefix: str) -> None:
    """State that all planes are in this file, in the order of the dimensions."""
    storage = [f"{prefix}{name}" for name in ("TiffData", "BinData", "MetadataOnly")]
    for element in [e for e in pixels if e.tag in storage]:
        pixels.remove(element)
    # The schema wants channels, then the data, then planes.
    place = sum(1 for e in pixels if e.tag == f"{prefix}Channel")
    pixels.insert(place, ET.Element(f"{prefix}TiffData"))
    pixels.set("BigEndian", "false")


def _cut_planes(pixels: ET.Element, prefix: str, count: int) -> None:
    """Describe a stack of `count` planes between the same outer edges; each says what the one does that it was cut from."""
    old = int(pixels.get("SizeZ", 1))
    pixels.set("SizeZ", str(count))
    if "PhysicalSizeZ" in pixels.attrib:
        pixels.set("PhysicalSizeZ", repr(float(pixels.attrib["PhysicalSizeZ"]) * old / count))
    known = {tuple(int(plane.get(f"The{axis}", 0)) for axis in "CTZ"): plane for plane in pixels.findall(f"{prefix}Plane")}
    for plane in known.values():
        pixels.remove(plane)
    at = max(i for i, element in enumerate(pixels) if element.tag == f"{prefix}TiffData") + 1
    cut = []
    for c, t in sorted({place[:2] for place in known}):
        ends = known.get((c, t, 0)), known.get((c, t, old - 1))
        for z in range(count):
            if (source := known.get((c, t, (2 * z + 1) * old // (2 * count)))) is not None:
                cut.append(plane := copy.deepcopy(source))
                plane.set("TheZ", str(z))
                _place_between(plane, ends, ((2 * z + 1) * old / (2 * count) - 0.5) / max(old - 1, 1))
    pixels[at:at] = cut


def _place_between(plane: ET.Element, ends: tuple[ET.Element | None, ET.Element | None], share: float) -> None:
    """Say where a plane lies on the way from the first plane to the last, if they say where they lie."""
    try:
        first, last = (float(end.attrib["PositionZ"]) for end in ends if end is not None)
        plane.set("PositionZ", repr(first + share * (last - first)))
    except (KeyError, ValueError):
        plane.attrib.pop("PositionZ", None)
        plane.attrib.pop("PositionZUnit", None)


def _move_planes(pixels: ET.Element, prefix: str, start: tuple[int, int]) -> None:
    """Move the positions of all planes by so many rows and columns, in the unit of the pixels; each plane has one then."""
    known = {tuple(int(plane.get(f"The{axis}", 0)) for axis in "CZT"): plane for plane in pixels.findall(f"{prefix}Plane")}
    channels = sum(int(e.get("SamplesPerPixel", 1)) for e in pixels.findall(f"{prefix}Channel"))
    samples = channels // max(len(pixels.findall(f"{prefix}Channel")), 1) or 1
    counts = [int(pixels.get(f"Size{axis}", 1)) for axis in "CZT"]
    for place in product(range(max(counts[0] // samples, 1)), range(counts[1]), range(counts[2])):
        plane = known.get(place)
        if plane is None:
            plane = ET.Element(f"{prefix}Plane", {f"The{axis}": str(i) for axis, i in zip("CZT", place, strict=True)})
            at = max(i for i, e in enumerate(pixels) if e.tag in (f"{prefix}TiffData", f"{prefix}Plane")) + 1
            pixels.insert(at, plane)
        for axis, steps in zip("YX", start, strict=True):
            _move_plane(plane, pixels, axis, steps)


def _move_plane(plane: ET.Element, pixels: ET.Element, axis: str, steps: int) -> None:
    size, unit = pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")
    at, its = plane.get(f"Position{axis}"), plane.get(f"Position{axis}Unit", "reference frame")
    if size is None or (at is not None and its != unit):  # nobody knows how far apart pixels are there
        plane.attrib.pop(f"Position{axis}", None)
        plane.attrib.pop(f"Position{axis}Unit", None)
        return
    plane.set(f"Position{axis}", repr(float(at or 0) + steps * float(size)))
    plane.set(f"Position{axis}Unit", unit)


def _annotate(root: ET.Element, prefix: str, record: dict[str, Any]) -> None:
    """Say in words how the image was made, instead of what an earlier one said."""
    image = next(root.iter(f"{prefix}Image"))
    description = image.find(f"{prefix}Description")
    if description is None:
        description = ET.Element(f"{prefix}Description")
        before = (f"{prefix}AcquisitionDate", f"{prefix}ExperimenterRef", f"{prefix}Experimenter")
        image.insert(sum(1 for e in image if e.tag in before), description)
    own = (description.text or "").partition(SYNTHETIC)[0].rstrip()
    description.text = plain("\n\n".join(filter(None, (own, words_of(record)))))
    if "2016-06" not in prefix:  # before, annotations had other places
        return
    _remove_annotations(root, image, prefix)
    tables = root.find(f"{prefix}StructuredAnnotations")
    if tables is None:
        tables = ET.Element(f"{prefix}StructuredAnnotations")
        root.insert(max(i for i, e in enumerate(root) if e.tag == image.tag) + 1, tables)
    table = ET.SubElement(tables, f"{prefix}MapAnnotation", {"ID": "Annotation:esc-plugin", "Namespace": NAMESPACE})
    value = ET.SubElement(table, f"{prefix}Value")
    for key, text in facts_of(record).items():
        ET.SubElement(value, f"{prefix}M", {"K": plain(key)}).text = plain(text)
    ET.SubElement(image, f"{prefix}AnnotationRef", {"ID": "Annotation:esc-plugin"})


def _remove_annotations(root: ET.Element, image: ET.Element, prefix: str) -> None:
    """Remove what an earlier image says of how it was made."""
    for tables in root.findall(f"{prefix}StructuredAnnotations"):
        for table in [e for e in tables if e.get("Namespace") == NAMESPACE]:
            tables.remove(table)
            for ref in [e for e in image.findall(f"{prefix}AnnotationRef") if e.get("ID") == table.get("ID")]:
                image.remove(ref)


def _remove_regions(root: ET.Element, prefix: str) -> int:
    count = 0
    for parent in list(root.iter()):
        for name in ("ROI", "ROIRef"):
            for element in parent.findall(f"{prefix}{name}"):
                parent.remove(element)
                count += 1
    return count
