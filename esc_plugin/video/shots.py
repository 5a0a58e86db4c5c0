"""Where a film is cut, and which frames are looked at to know a shot."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..errors import ImageError
from ..progress import Cancel, stop_if_asked
from .film import Film
from .library import COARSEST, FINEST, LONGEST, pyav

#: Luma differs on average by so many of 256 levels from one frame to the next, and by so many more than it did before:
#: the default of FFmpeg's filter `scdet`, 10 percent. The second condition lets a quick pan pass.
CUT = 25.6
#: Width and height of the small frames that are compared.
SMALL = (64, 36)
#: Frames of a shot that are surveyed. From each, its means are found at the cost of an upscaled frame.
SURVEYED = 5


@dataclass(frozen=True)
class Timeline:
    """When each frame is seen, and which of them begin a shot.

    Attributes
    ----------
    times : list of int
        Ticks of `Film.time_base` from the beginning of the result, rising.
    end : int
        When the last frame is over.
    starts : list of int
        Numbers of frames; the first is 0.
    damaged : bool
        Whether frames at the end can't be decoded.
    """

    times: list[int]
    end: int
    starts: list[int]
    damaged: bool = False

    def __len__(self) -> int:
        return len(self.times)

    def shots(self, shared: str) -> list[range]:
        """Return the frames that share their means: those of a ``"shot"``, or all (``"T"``)."""
        starts = self.starts if shared == "shot" else [0]
        return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(self)], strict=True)]


def look_through(film: Film, cancel: Cancel | None = None) -> Timeline:
    """Decode a film once, small, to know when its frames are seen and where it is cut.

    Raises
    ------
    ImageError, Cancelled
        If a frame can't be decoded, or there is none; if `cancel` returned ``True``.
    """
    times: list[int] = []
    lengths: list[int] = []
    cuts, small = CutFinder(), pyav().video.reformatter.VideoReformatter()
    starts: list[int] = []
    problems: list[Exception] = []
    for frame in film.frames(problems.append):
        stop_if_asked(cancel)
        luma = small.reformat(frame, *SMALL, format="gray", interpolation="AREA").to_ndarray()
        if cuts(luma):
            starts.append(len(times))
        usual = max(round(1 / film.rate / film.time_base), 1)
        time = frame.pts if frame.pts is not None else times[-1] + lengths[-1] if times else 0
        # Two frames at one time, as damaged files have them, would be an error of the container.
        times.append(max(time, times[-1] + 1) if times else time)
        lengths.append(getattr(frame, "duration", None) or usual)
    if not times:
        raise ImageError(f"there is no frame in {film.path!r} between the times that were asked for.")
    _check_gaps(film, [*times, times[-1] + lengths[-1]])
    first = film.first_tick
    return Timeline([time - first for time in times], times[-1] + lengths[-1] - first, starts, bool(problems))


def _check_gaps(film: Film, times: list[int]) -> None:
    """Raise an `ImageError` if a frame is shown for longer than every container can say: times after it would be wrong."""
    tick = max(film.time_base, FINEST)
    while tick > COARSEST:
        tick /= 2
    for number, (time, following) in enumerate(pairwise(times)):
        shown = (following - time) * film.time_base
        if shown / tick > LONGEST:
            raise ImageError(
                f"frame {number} of {film.path!r} is shown for {float(shown) / 3600:,.1f} hours, "
                f"and a film can say {float(LONGEST * tick) / 3600:,.1f} at most; cut it there."
            )


class CutFinder:
    """Tells which frames begin a shot; call it with each, (h, w) uint8."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._difference = 0.0

    def __call__(self, luma: np.ndarray) -> bool:
        """Return whether this frame, the first one or a later one, begins a shot."""
        before, self._before = self._before, luma.astype(np.int16)
        if before is None:
            return True
        difference = float(np.abs(self._before - before).mean())
        earlier, self._difference = self._difference, difference
        return min(difference, abs(difference - earlier)) >= CUT


def spread(shot: range, count: int = SURVEYED) -> list[int]:
    """Return up to `count` frames of a shot, each in the middle of its share."""
    count = min(count, len(shot))
    return [shot[(2 * i + 1) * len(shot) // (2 * count)] for i in range(count)]
