"""The frames of a film upscaled, each by itself or all of a shot with the same means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays.layout import Layout
from ..arrays.shared import share_means
from ..arrays.sizes import Size
from ..arrays.surveyed import PlaneSurvey
from ..progress import Cancel, Progress, part_of
from .colours import Conversion
from .film import Film
from .shots import spread

if TYPE_CHECKING:  # with torch, which the checks before it do without
    from ..upscaler import Upscaler


class FrameEnlarger:
    """Upscales frames of one size, with all that is the same for them worked out once.

    Parameters
    ----------
    upscaler : Upscaler
        What upscales.
    size, target : tuple of int
        Height and width of a frame, and of its upscaled version.
    depth : int
        Bits of a value: 8 or 16.
    options : dict
        For `Upscaler.__call__`: linear_light, consistency, ...
    """

    def __init__(self, upscaler: Upscaler, size: Size, target: Size, depth: int, options: dict[str, Any]) -> None:
        like = np.zeros((*size, 3), np.uint8 if depth == 8 else np.uint16)
        # Levels that were measured would change from frame to frame.
        given = dict(options) | {"axes": "YXS", "size": target, "intensity": "range"}
        self.request = upscaler.request(like, **given)
        self.levels = upscaler.levels(like, axes="YXS", intensity="range")
        stack = upscaler.stack(self.request, self.levels)
        self.stack = stack if self.request.strength else stack.without_network
        self.like = like[:1, :1]

    def survey(self, rgb: np.ndarray, progress: Progress | None = None, cancel: Cancel | None = None) -> PlaneSurvey:
        """Return what is known of a frame, (H, W, 3)."""
        return self.stack.run(rgb, None, progress, cancel)[0]

    def __call__(
        self,
        rgb: np.ndarray,
        known: Sequence[PlaneSurvey] = (),
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> np.ndarray:
        """Return a frame, (H, W, 3), upscaled."""
        out = np.empty(self.stack.shape, rgb.dtype)
        self.stack.run(rgb, out, progress, cancel, known)
        return out


class ShotMeans:
    """The means of each shot, from a handful of its frames that are spread over it; ask for frames in rising order.

    Parameters
    ----------
    film : Film
        It is decoded a second time for them, one shot ahead.
    convert, enlarge
        What makes frames RGB, and what surveys them.
    shots : list of range
        All frames of the film; none for no shared means.
    """

    def __init__(self, film: Film, convert: Conversion, enlarge: FrameEnlarger, shots: Sequence[range]) -> None:
        self.convert, self.enlarge = convert, enlarge
        self._frames, self._next = enumerate(film.frames()), iter(shots)
        self._shot, self._known = range(0), ()  # type: tuple[range, Sequence[PlaneSurvey]]
        self._shared = bool(shots)

    def known(self, number: int, progress: Progress | None, cancel: Cancel | None) -> Sequence[PlaneSurvey]:
        """Return what is known of the shot of a frame; nothing if no means are shared."""
        if self._shared and number not in self._shot:
            self._shot = next(shot for shot in self._next if number in shot)
            self._known = self._surveyed(self._shot, progress, cancel)
        return self._known

    def _surveyed(self, shot: range, progress: Progress | None, cancel: Cancel | None) -> Sequence[PlaneSurvey]:
        numbers = spread(shot)
        found = [
            self.enlarge.survey(self.convert.rgb(frame), part_of(progress, i, len(numbers)), cancel)
            for i, frame in enumerate(self._at(numbers))
        ]
        shape, axes = self.enlarge.stack.layout.shape, self.enlarge.stack.layout.axes
        return share_means(found, Layout((len(found), *shape), f"T{axes}"), "T")[:1]

    def _at(self, numbers: Sequence[int]) -> Iterator[Any]:
        for wanted in numbers:
            yield next(frame for number, frame in self._frames if number == wanted)
