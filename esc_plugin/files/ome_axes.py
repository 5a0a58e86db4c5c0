"""What the axes of an image are called and measured in, in the words of OME."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ImageError

#: In the order that OME-Zarr asks for.
LETTERS = "tczyx"
LONG_NAMES = {"time": "t", "channel": "c", "channels": "c", "depth": "z", "plane": "z", "row": "y", "column": "x"}
#: By the number of axes, where they have no names. Viewers show channels as layers, so a fourth axis is time.
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
#: Those in which only a microscope's pixels are measured.
MICROSCOPIC = frozenset({"micrometer", "nanometer", "picometer", "angstrom"})
TIMES = {"hour": "h", "minute": "min", "second": "s", "millisecond": "ms", "microsecond": "µs", "nanosecond": "ns"}


@dataclass(frozen=True)
class Axes:
    """The axes of an image, without that of RGB samples.

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
    def of(cls, attributes: Mapping[str, Any], ndim: int) -> Axes:
        """Read the axes of an image with `ndim` of them from what a viewer knows.

        Parameters
        ----------
        attributes : mapping
            ``axis_labels``, ``scale``, ``translate`` and ``units``, each an entry per axis; what is missing is the usual.
        """
        return cls(
            letters_of(attributes.get("axis_labels") or (), ndim),
            tuple(float(v) for v in attributes.get("scale", (1.0,) * ndim)),
            tuple(float(v) for v in attributes.get("translate", (0.0,) * ndim)),
            tuple(str(unit) for unit in attributes.get("units") or ("pixel",) * ndim),
        )

    def with_channel(self, place: int | None = None) -> Axes:
        """Return the axes with channels at a place, or behind them, which is what OME-Zarr makes of RGB samples."""
        place = len(self.letters) if place is None else place
        entries = list(zip(self.letters, self.scale, self.translate, self.units, strict=True))
        entries.insert(place, ("c", 1.0, 0.0, "pixel"))
        letters, scale, translate, units = zip(*entries, strict=True)
        return Axes("".join(letters), scale, translate, units)

    def without_channel(self) -> Axes:
        """Return the axes but that of channels."""
        return self.in_order([axis for axis, letter in enumerate(self.letters) if letter != "c"])

    def enlarged(self, sy: float, sx: float, sz: float = 1.0) -> Axes:
        """Return the axes of an image with more rows, columns and planes by these factors, which covers the same space."""
        factors = [{"z": sz, "y": sy, "x": sx}.get(letter, 1.0) for letter in self.letters]
        scale = tuple(size / factor for size, factor in zip(self.scale, factors, strict=True))
        # Pixels are centred where the axes say; those that one falls into lie around its centre.
        about = zip(self.translate, self.scale, scale, strict=True)
        return Axes(self.letters, scale, tuple(at + (new - old) / 2 for at, old, new in about), self.units)

    @property
    def voxel(self) -> tuple[float, float, float] | None:
        """Size along z, y and x; ``None`` if they aren't all there and in one unit."""
        about = dict(zip(self.letters, zip(self.scale, self.units, strict=True), strict=True))
        if not {"z", "y", "x"} <= set(about) or len({about[letter][1] for letter in "zyx"}) > 1:
            return None
        z, y, x = (abs(about[letter][0]) for letter in "zyx")
        return z, y, x

    def moved(self, rows: int, columns: int) -> Axes:
        """Return the axes of what lies so many rows and columns further in the image."""
        steps = [{"y": rows, "x": columns}.get(letter, 0) for letter in self.letters]
        about = zip(self.translate, self.scale, steps, strict=True)
        return Axes(self.letters, self.scale, tuple(at + size * step for at, size, step in about), self.units)

    def in_order(self, order: Sequence[int]) -> Axes:
        """Return the axes transposed, as `numpy.transpose` does it."""
        return Axes(
            "".join(self.letters[i] for i in order),
            tuple(self.scale[i] for i in order),
            tuple(self.translate[i] for i in order),
            tuple(self.units[i] for i in order),
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
