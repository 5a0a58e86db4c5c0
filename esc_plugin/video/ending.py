"""Whether a film goes on to where its file says that it ends."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from typing import Any

from ..texts import counted
from .film import Film, moving
from .library import reading
from .shots import Timeline

#: Containers whose header says how long they are. The length of others is that of what is there, or a guess.
STATING = {"matroska", "mov", "avi"}
#: What the file says may be off by so many of the film's longest frames: rates vary, and times are rounded.
SPARED = 2


def broken_off(film: Film, timeline: Timeline) -> str:
    """Say after how many of its frames a film breaks off; nothing if it doesn't, or its file doesn't say how long it is.

    Raises
    ------
    ImageError
        If the file can't be read.
    """
    times = [*timeline.times, timeline.end]
    longest = max(after - before for before, after in pairwise(times)) * film.time_base
    end, length = (timeline.end + film.first_tick) * film.time_base, (times[-1] - times[0]) * film.time_base
    missing = _missing(film, end)
    if missing <= SPARED * longest:
        return f"after {counted(len(timeline), 'frame')}" if timeline.damaged else ""
    return f"after {len(timeline):,} of about {round(len(timeline) * (1 + missing / length)):,} frames"


def _missing(film: Film, end: Fraction) -> Fraction:
    """Return how many seconds should have come after a time."""
    start, duration = film.window
    with reading(film.path, film.max_pixels) as container:
        if not STATING & set(container.format.name.split(",")):
            return Fraction(0)
        stated, reached = _end_of(moving(container)), end
        if stated is None:
            # Of all streams together only the longest says how long the film is.
            stated, reached = Fraction(container.duration or 0, 1_000_000), max(end, _last_time(container))
    return (min(stated, Fraction(start + duration)) if duration else stated) - reached


def _end_of(stream: Any) -> Fraction | None:
    """Return when a stream ends by what the file says of it; None for nothing."""
    said = {key.lower(): value for key, value in stream.metadata.items()}.get("duration", "")  # in Matroska
    with suppress(ValueError):
        hours, minutes, seconds = map(Fraction, said.split(":"))
        return hours * 3600 + minutes * 60 + seconds
    return Fraction((stream.start_time or 0) + stream.duration) * stream.time_base if stream.duration else None


def _last_time(container: Any) -> Fraction:
    """Return when the last packet of all streams is over."""
    packets = (packet for packet in container.demux() if packet.pts is not None)
    return max(((packet.pts + (packet.duration or 0)) * packet.time_base for packet in packets), default=Fraction(0))
