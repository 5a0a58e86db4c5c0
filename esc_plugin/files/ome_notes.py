"""What an image says of itself in the words of OME: pixel size, position, names and colours of its channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .ome_axes import Axes


@dataclass(frozen=True)
class Channel:
    """How a channel is called and shown.

    Attributes
    ----------
    name : str
        May be empty.
    color : tuple of float, optional
        Red, green and blue of the brightest value, 0 to 1.
    limits : tuple of float, optional
        Values that are drawn darkest and brightest.
    extent : tuple of float, optional
        Least and largest limits that a viewer offers.
    active : bool
        Whether it is shown at first.
    """

    name: str = ""
    color: tuple[float, float, float] | None = None
    limits: tuple[float, float] | None = None
    extent: tuple[float, float] | None = None
    active: bool = True


#: Samples of a pixel, where they become channels.
SAMPLES = (
    Channel("red", (1.0, 0.0, 0.0)),
    Channel("green", (0.0, 1.0, 0.0)),
    Channel("blue", (0.0, 0.0, 1.0)),
    Channel("alpha", (1.0, 1.0, 1.0), active=False),
)


def one_for_each(channels: Sequence[Channel], count: int, samples: bool = False) -> tuple[Channel, ...]:
    """Return as many channels as there are, none if that many aren't known.

    Parameters
    ----------
    channels : sequence of Channel
        What is known: of each, or one that holds for all of them.
    count : int
        How many there are.
    samples : bool
        Whether they are the samples of a pixel, which have colours of their own.
    """
    if len(channels) != 1 or count == 1:
        return tuple(channels) if len(channels) == count else ()
    (every,) = channels
    if samples and count in (3, 4):
        return tuple(replace(sample, limits=every.limits, extent=every.extent) for sample in SAMPLES[:count])
    return tuple(replace(every, name=f"{every.name} {i + 1}".strip()) for i in range(count))


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
