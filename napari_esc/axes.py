"""What the axes of a layer are called and measured in, in the words of OME."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from esc_plugin import ImageError

#: In the order that OME-Zarr asks for.
LETTERS = "tczyx"
LONG_NAMES = {"time": "t", "channel": "c", "channels": "c", "depth": "z", "plane": "z", "row": "y", "column": "x"}
#: By the number of axes, for layers whose axes have no names. Napari shows channels as layers, so a fourth axis is time.
USUAL = {2: "yx", 3: "zyx", 4: "tzyx", 5: "tczyx"}
#: Words of pint, and the symbols of OME-TIFF. OME-Zarr takes the words.
LENGTHS = {
    "meter": "m",
    "centimeter": "cm",
    "millimeter": "mm",
    "micrometer": "µm",
    "nanometer": "nm",
    "picometer": "pm",
    "angstrom": "Å",
    "inch": "in",
}
TIMES = {"hour": "h", "minute": "min", "second": "s", "millisecond": "ms", "microsecond": "µs", "nanosecond": "ns"}


@dataclass(frozen=True)
class Axes:
    """The axes of an image layer, without that of RGB samples.

    Attributes
    ----------
    letters : str
        One of t, c, z, y, x per axis.
    scale, translate : tuple of float
        Size of a pixel and position of the centre of the first one, per axis.
    units : tuple of str
        Words such as ``"micrometer"``; ``"pixel"`` where nothing is known.
    """

    letters: str
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[str, ...]

    @classmethod
    def of(cls, attributes: dict[str, Any], ndim: int) -> Axes:
        """Read them from the attributes that a layer gives to a writer."""
        return cls(
            letters_of(attributes.get("axis_labels") or (), ndim),
            tuple(float(v) for v in attributes.get("scale", (1.0,) * ndim)),
            tuple(float(v) for v in attributes.get("translate", (0.0,) * ndim)),
            tuple(str(unit) for unit in attributes.get("units") or ("pixel",) * ndim),
        )


def letters_of(labels: Sequence[str], ndim: int) -> str:
    """Return a letter for each axis: from its label if all labels are known, else what is usual for that many axes.

    Raises
    ------
    ImageError
        If there are more axes than OME knows.
    """
    if ndim not in USUAL:
        raise ImageError(f"OME files have 2 to 5 axes (t, c, z, y, x), this image has {ndim}.")
    found = "".join(LONG_NAMES.get(str(label).lower(), str(label).lower()) for label in labels)
    fits = len(found) == ndim == len(set(found)) and set(found) <= set(LETTERS) and found.endswith("yx")
    return found if fits else USUAL[ndim]
