"""OME-XML of an image that has grown."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ..errors import ImageError


def resized_ome(text: str, height: int, width: int, sy: float, sx: float) -> tuple[bytes, list[str]]:
    """Return OME-XML for an image of `height` x `width` that is `sy` and `sx` times as large, and what had to be left out.

    Everything else stays: channels, instruments, times, annotations. The new text is ASCII, as TIFF wants it.

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
    for name in ("UUID",):
        root.attrib.pop(name, None)
    if _remove_regions(root, prefix):
        notes.append("OME regions of interest are in pixels of the old size and are left out")
    ET.register_namespace("", namespace)
    return ET.tostring(root, encoding="us-ascii", xml_declaration=True), notes


def _replace_tiff_data(pixels: ET.Element, prefix: str) -> None:
    """State that all planes are in this file, in the order of the dimensions."""
    storage = [f"{prefix}{name}" for name in ("TiffData", "BinData", "MetadataOnly")]
    for element in [e for e in pixels if e.tag in storage]:
        pixels.remove(element)
    # The schema wants channels, then the data, then planes.
    place = sum(1 for e in pixels if e.tag == f"{prefix}Channel")
    pixels.insert(place, ET.Element(f"{prefix}TiffData"))
    pixels.set("BigEndian", "false")


def _remove_regions(root: ET.Element, prefix: str) -> int:
    count = 0
    for parent in list(root.iter()):
        for name in ("ROI", "ROIRef"):
            for element in parent.findall(f"{prefix}{name}"):
                parent.remove(element)
                count += 1
    return count
