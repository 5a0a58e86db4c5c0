"""What an image says of itself in the words of OME: pixel size, position, names and colours of its channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .ngff import Look
from .ome_axes import Axes


@dataclass(frozen=True)
class Channel:
    """How a channel is called and shown.

    Attributes
    ----------
    label : str
        Its name; may be empty.
    color : tuple of float, optional
        Red, green and blue of the brightest value, 0 to 1.
    limits : tuple of float, optional
        Values that are drawn darkest and brightest.
    extent : tuple of float, optional
        Least and largest limits that a viewer offers.
    active : bool
        Whether it is shown at first.
    """

    label: str = ""
    color: tuple[float, float, float] | None = None
    limits: tuple[float, float] | None = None
    extent: tuple[float, float] | None = None
    active: bool = True

    def omero(self) -> dict[str, Any]:
        """Return the channel as OME-Zarr has it under ``omero``; what isn't known is left out."""
        found: dict[str, Any] = {"label": self.label, "active": self.active}
        if self.color:
            found["color"] = "".join(f"{round(255 * value):02X}" for value in self.color)
        if self.limits:
            low, high = self.extent or self.limits
            found["window"] = {"start": self.limits[0], "end": self.limits[1], "min": low, "max": high}
        return found


@dataclass(frozen=True)
class OmeNotes:
    """What an image says of itself.

    Attributes
    ----------
    axes : Axes
        One for each axis of the pixels but S, in their order.
    name : str
        Of the image.
    channels : tuple of Channel
        One for each entry of the axis c, or none if nothing is known.
    """

    axes: Axes
    name: str = "image"
    channels: tuple[Channel, ...] = ()

    @property
    def look(self) -> Look | None:
        """How the first channel is shown, for what has one look for all."""
        first = self.channels[0] if self.channels else Channel()
        return Look(first.limits, first.color or (1.0, 1.0, 1.0)) if first.limits else None

    def enlarged(self, sy: float, sx: float, start: tuple[int, int] = (0, 0), sz: float = 1.0) -> OmeNotes:
        """Return the notes of an image that has more pixels by these factors, but covers the same area.

        Parameters
        ----------
        start : tuple of int
            Row and column of the larger image at which the part of it begins that the notes are for.
        sz : float
            How many planes each one has become.
        """
        return replace(self, axes=self.axes.enlarged(sy, sx, sz).moved(*start))
