"""The metadata of one image of an OME-Zarr: what it claims is looked at before it is believed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ImageError
from ..texts import quoted
from .ome_axes import LETTERS, LONG_NAMES, Axes
from .ome_notes import Channel, OmeNotes

#: Versions of OME-Zarr that place an image by scale and translation.
KNOWN_VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")
COLOR = re.compile(r"#?[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?")


@dataclass(frozen=True)
class Multiscale:
    """One image in levels of resolution.

    Attributes
    ----------
    about : mapping
        An entry of ``multiscales``.
    omero : any
        What stands beside it about channels.
    version
        Of OME-Zarr, as the image says it.

    Raises
    ------
    ImageError
        If the version isn't known.
    """

    about: Mapping[str, Any]
    omero: Any = None
    version: Any = None

    def __post_init__(self) -> None:
        """Refuse versions that may mean something else."""
        if self.version is not None and not str(self.version).startswith(KNOWN_VERSIONS):
            raise ImageError(
                f"its OME-Zarr version {quoted(self.version)} isn't known; it can be {', '.join(KNOWN_VERSIONS)}."
            )

    @property
    def finest(self) -> Mapping[str, Any]:
        """What is said of the finest level, which is the first."""
        return next(iter(objects(self.about.get("datasets"), "datasets")), {})

    @property
    def path(self) -> str:
        """Where the array of the finest level is inside the image."""
        path = self.finest.get("path")
        parts = path.split("/") if isinstance(path, str) else []
        if not parts or any(part in ("", ".", "..") for part in parts):
            raise damaged("the path of the finest level must be a name in the image", path)
        return "/".join(parts)

    def notes(self, ndim: int, name: str) -> OmeNotes:
        """Return what is said of an array of `ndim` axes.

        Parameters
        ----------
        name : str
            Of the image, where it says none.
        """
        letters, units = self._axes(ndim)
        scale, translate = self._placed(ndim)
        own = self.about.get("name")
        name = own if isinstance(own, str) and own else name
        return OmeNotes(Axes(letters, scale, translate, units), name, channels_of(self.omero))

    def _axes(self, ndim: int) -> tuple[str, tuple[str, ...]]:
        found = self.about.get("axes", list(LETTERS))  # which older versions didn't say
        if isinstance(found, list):  # of names, in version 0.3
            found = [{"name": entry} if isinstance(entry, str) else entry for entry in found]
        axes = objects(found, "axes")
        if len(axes) != ndim:
            raise damaged(f"an array of {ndim} axes needs as many in 'axes'", [axis.get("name") for axis in axes])
        letters = list(map(_letter, axes))
        if len(set(letters)) < ndim or not {"y", "x"} <= set(letters) <= set(LETTERS):
            raise damaged("axes must be different ones of t, c, z, y, x, with y and x", [axis.get("name") for axis in axes])
        return "".join(letters), tuple(str(axis.get("unit") or "pixel") for axis in axes)

    def _placed(self, ndim: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the size of a pixel and where the first one is, by all transformations, one after the other."""
        scale, translate = [1.0] * ndim, [0.0] * ndim
        for about in (self.finest, self.about):
            for entry in objects(about.get("coordinateTransformations") or [], "coordinateTransformations"):
                if entry.get("type") == "scale":
                    by = _numbers(entry.get("scale"), ndim)
                    scale = [a * b for a, b in zip(scale, by, strict=True)]
                    translate = [a * b for a, b in zip(translate, by, strict=True)]
                elif entry.get("type") == "translation":
                    by = _numbers(entry.get("translation"), ndim)
                    translate = [a + b for a, b in zip(translate, by, strict=True)]
                elif entry.get("type") != "identity":
                    raise damaged("a transformation must be a scale or a translation", entry.get("type"))
        if not all(scale):
            raise damaged("the size of a pixel can't be 0", scale)
        return tuple(scale), tuple(translate)


def _letter(axis: Mapping[str, Any]) -> str:
    name = str(axis.get("name")).lower()
    letter = LONG_NAMES.get(name, name)
    # An axis of another kind, such as of phases, stands where channels do.
    return letter if letter in set(LETTERS) or axis.get("type") in ("space", "time") else "c"


def _numbers(values: Any, count: int) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise damaged(f"a transformation must have {count} numbers", values)
    return numbers


def channels_of(omero: Any) -> tuple[Channel, ...]:
    """Return the channels that ``omero`` names. They are decoration: of what is damaged nothing is taken."""
    entries = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(entries, list):
        return ()
    return tuple(_channel(entry) if isinstance(entry, Mapping) else Channel() for entry in entries)


def _channel(entry: Mapping[str, Any]) -> Channel:
    name, color, window = entry.get("label"), str(entry.get("color", "")), entry.get("window")
    window = window if isinstance(window, Mapping) else {}
    return Channel(
        name if isinstance(name, str) else "",
        _color(color) if COLOR.fullmatch(color) else None,
        _pair(window, "start", "end"),
        _pair(window, "min", "max"),
        entry.get("active") is not False,
    )


def _color(text: str) -> tuple[float, float, float]:
    red, green, blue = (int(text.lstrip("#")[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue


def _pair(window: Mapping[str, Any], low: str, high: str) -> tuple[float, float] | None:
    try:
        pair = float(window[low]), float(window[high])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return pair if all(map(math.isfinite, pair)) else None


def objects(value: Any, name: str) -> list[Mapping[str, Any]]:
    """Return a list of objects, or raise the `ImageError` that it is none."""
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise damaged(f"{name!r} must be a list of objects", value)
    return value


def damaged(rule: str, value: Any) -> ImageError:
    """Return the error for metadata that breaks a rule."""
    return ImageError(f"its metadata is damaged: {rule}, not {quoted(value)}.")
