"""What an image file is, in facts for people and programs."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

from PIL import ImageCms

from ..texts import counted
from .format import carried
from .ome_axes import LENGTHS, TIMES
from .picture import Picture

#: What the samples of a pixel are, by their number.
SAMPLES = {1: "gray", 2: "gray and transparency", 3: "RGB", 4: "RGB and transparency"}


def facts_about(picture: Picture) -> dict[str, Any]:
    """Return what is known of a picture.

    Returns
    -------
    dict
        ``"format"``, ``"lossy"``; ``"size"``, height and width in pixels; ``"axes"`` and ``"shape"``; ``"type"`` of a
        value, a name of NumPy's, and ``"bits"`` of it; ``"samples"`` of a pixel in words; ``"channels"``, their names;
        ``"profile"``, the name of the colour profile; ``"dpi"``; ``"pixel_size"`` by axis, a number and a unit;
        ``"carries"``, what else is in the file; ``"made_by"``, the record of this program. What isn't there is ``None`` or
        empty.
    """
    shape, dtype = tuple(map(int, picture.pixels.shape)), picture.pixels.dtype
    ome = picture.ome
    return {
        "format": picture.format,
        "lossy": picture.lossy,
        "size": list(map(int, picture.size)),
        "axes": picture.axes,
        "shape": list(shape),
        "type": dtype.name,
        "bits": 1 if dtype.kind == "b" else 8 * dtype.itemsize,
        "samples": SAMPLES.get(shape[picture.axes.index("S")] if "S" in picture.axes else 1, ""),
        "channels": [channel.name for channel in ome.channels] if ome else [],
        "profile": profile_name(picture.icc),
        "dpi": list(picture.dpi) if picture.dpi else None,
        "pixel_size": _pixel_size(picture),
        "carries": carried(picture),
        "made_by": picture.provenance or None,
    }


def profile_name(icc: bytes | None) -> str | None:
    """Return what a colour profile calls itself; None where there is none."""
    if not icc:
        return None
    with suppress(ImageCms.PyCMSError, OSError):
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip() or "without a name"
    return "damaged"


def _pixel_size(picture: Picture) -> dict[str, list[Any]]:
    """Return by axis how large a pixel is, and in which unit, where that is known."""
    if not picture.ome:
        return {}
    axes = picture.ome.axes
    known = zip(axes.letters, axes.scale, axes.units, strict=True)
    return {letter: [size, (LENGTHS | TIMES)[unit]] for letter, size, unit in known if unit in LENGTHS | TIMES}


def words_about(facts: dict[str, Any]) -> dict[str, str]:
    """Return the facts of `facts_about` as a table for people, without what isn't there."""
    (height, width), made = facts["size"], facts["made_by"] or {}
    pixel = [f"{letter} {size:.6g} {unit}" for letter, (size, unit) in facts["pixel_size"].items()]
    found = {
        "format": facts["format"] + (", lossy" if facts["lossy"] else ""),
        "size": f"{width} x {height} pixels (width x height)",
        "values": f"{counted(facts['bits'], 'bit')} ({facts['type']}), {facts['samples']}",
        "stack": f"axes {facts['axes']}, shape {' x '.join(map(str, facts['shape']))}"
        if set(facts["axes"]) - set("YXS")
        else "",
        "channels": ", ".join(filter(None, facts["channels"])),
        "pixel size": ", ".join(pixel),
        "resolution": " x ".join(f"{value:.6g}" for value in dict.fromkeys(facts["dpi"] or ())),
        "profile": facts["profile"] or "none",
        "carries": ", ".join(facts["carries"]),
        "made by": ", ".join(str(made[key]) for key in ("software", "command", "model", "image") if made.get(key)),
    }
    found["resolution"] += " dpi" if found["resolution"] else ""
    return {name: value for name, value in found.items() if value}
