"""What a TIFF of OME or ImageJ says of its axes and channels, in the words that OME-Zarr has for it."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from ..errors import ImageError
from .ome_axes import LENGTHS, TIMES, Axes, letters_of
from .ome_notes import Channel, OmeNotes
from .tiff_notes import TiffNotes

WORDS = {symbol: word for word, symbol in (LENGTHS | TIMES).items()}
#: As ImageJ writes them besides; the first is its own escape for the micro sign.
WORDS |= dict.fromkeys(("\\u00B5m", "um", "\u03bcm", "micron", "microns"), "micrometer") | {"inch": "inch", "sec": "second"}


def ome_of_tiff(tiff: TiffNotes, axes: str, name: str) -> OmeNotes | None:
    """Return what is known, or ``None`` if that is nothing, or OME has no words for the axes.

    Parameters
    ----------
    axes : str
        Of the pixels.
    name : str
        Of the image, where it says none.
    """
    try:
        letters = letters_of([axis for axis in axes if axis != "S"], len(axes.replace("S", "")))
    except ImageError:
        return None
    if tiff.kind == "ome":
        return _of_ome(tiff.metadata, letters, name)
    return _of_imagej(tiff, letters, name) if tiff.kind == "imagej" else None


def _of_ome(text: str, letters: str, name: str) -> OmeNotes | None:
    root = ET.fromstring(text.encode())  # it was looked at before
    image = root.find("{*}Image")
    pixels = None if image is None else image.find("{*}Pixels")
    if image is None or pixels is None:
        return None
    about = pixels.attrib
    sizes = {letter: _number(about.get(f"PhysicalSize{letter.upper()}")) for letter in "zyx"}
    units = {letter: WORDS.get(about.get(f"PhysicalSize{letter.upper()}Unit", "µm")) for letter in "zyx"}
    sizes |= {"t": _number(about.get("TimeIncrement"))}
    units |= {"t": WORDS.get(about.get("TimeIncrementUnit", "s"))}
    planes = pixels.findall("{*}Plane")
    plane = next((entry for entry in planes if entry.get("TheZ", "0") == "0"), None)
    starts = {} if plane is None else {letter: _position(plane.attrib, letter, units[letter]) for letter in "zyx"}
    channels = tuple(Channel(e.get("Name", ""), _color(e.get("Color"))) for e in pixels.findall("{*}Channel"))
    return OmeNotes(_axes(letters, sizes, units, starts), image.get("Name") or name, channels if "c" in letters else ())


def _of_imagej(tiff: TiffNotes, letters: str, name: str) -> OmeNotes:
    about = tiff.metadata if isinstance(tiff.metadata, Mapping) else {}
    across, down, _ = tiff.resolution or (0.0, 0.0, 1)
    unit = WORDS.get(str(about.get("unit")))
    sizes = {"x": 1 / across if across else None, "y": 1 / down if down else None, "z": _number(about.get("spacing"))}
    sizes |= {"t": _number(about.get("finterval"))}
    units = {"x": unit, "y": unit, "z": unit, "t": WORDS.get(str(about.get("tunit", "s")))}
    return OmeNotes(_axes(letters, sizes, units, {}), name)


def _axes(
    letters: str, sizes: Mapping[str, float | None], units: Mapping[str, str | None], starts: Mapping[str, float]
) -> Axes:
    known = {letter: unit for letter, unit in units.items() if unit is not None and sizes.get(letter) is not None}
    return Axes(
        letters,
        tuple(sizes.get(letter) or 1.0 for letter in letters),
        tuple(starts.get(letter, 0.0) for letter in letters),
        tuple(known.get(letter, "pixel") for letter in letters),
    )


def _number(value: Any) -> float | None:
    """Return a size, or ``None`` if it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _position(about: Mapping[str, str], letter: str, unit: str | None) -> float:
    """Return where a plane is, if that is said in the unit of the pixels; both may be unknown."""
    name = f"Position{letter.upper()}"
    try:
        number = float(about[name])
    except (KeyError, ValueError):
        return 0.0
    its = about.get(f"{name}Unit", "reference frame")
    fits = its == "reference frame" if unit is None else WORDS.get(its) == unit
    return number if fits and math.isfinite(number) else 0.0


def _color(text: str | None) -> tuple[float, float, float] | None:
    try:
        red, green, blue, _ = (int(text or "") & 0xFFFFFFFF).to_bytes(4, "big")
    except ValueError:
        return None
    return red / 255, green / 255, blue / 255
