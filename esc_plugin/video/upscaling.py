"""A film from a file to a file, in the memory of a few frames, resumed where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays.framing import Frame
from ..batch.batch import USUAL
from ..batch.record import record_of_result
from ..disk import file_sha256, replacing
from ..errors import EscError, ImageError
from ..progress import Cancel, Progress, rising, share_of
from ..version import __version__
from ..workplace import sweep
from .colours import Conversion
from .encoding import blank, encoding_for, whole_size
from .ending import broken_off
from .enlarging import FrameEnlarger, ShotMeans
from .film import Film
from .joining import join
from .library import reading
from .parts import Parts, folder_of, number_of
from .shots import Timeline, look_through

if TYPE_CHECKING:  # with torch, which the checks before it do without
    from PIL.Image import Image

    from ..upscaler import Upscaler

#: Which frames share their means: those of a shot, none, or all.
SHARED = ("shot", "frame", "T")
#: With the bundled models, own means change pixels that stand still by 0.02 levels of 255, and by less than half a level
#: where 40 percent of the picture turn black (benchmarks/flicker.py): less than rounding, and not worth surveys.
USUAL_SHARED = "frame"
#: Progress of a frame is told in so many steps.
STEPS = 1000
#: The tag of a container that holds how a film was made; all containers have it.
TAG = "comment"


@dataclass
class FilmUpscaling:
    """How a film is upscaled; call it.

    Attributes
    ----------
    upscaler : Upscaler
        What upscales.
    film : Film
        The original.
    target : Path
        Where the result goes; its suffix says which container.
    frame : Frame
        The size of the result. Where two pixels share a sample of colour, an odd last row or column is cut off.
    options : dict
        For `Upscaler.__call__`: linear_light, consistency, ...
    shared : {"shot", "frame", "T"}
        Which frames share the means of the dynamic kernels.
    quality, lossless
        See `encoding_for`.
    overwrite : bool
        Whether an unfinished result of other settings may be discarded.
    watch : callable, optional
        ``watch(frame, result)``, (H, W, 3) each, after each frame.
    tell : callable, optional
        ``tell(note)``, a line of what is found out before the frames are upscaled.
    """

    upscaler: Upscaler
    film: Film
    target: Path
    frame: Frame
    options: dict[str, Any] = field(default_factory=dict)
    shared: str = USUAL_SHARED
    quality: int | None = None
    lossless: bool = False
    overwrite: bool = False
    watch: Callable[[np.ndarray, np.ndarray], None] | None = None
    tell: Callable[[str], None] = lambda note: None

    def __post_init__(self) -> None:
        """Raise an `EscError` for what can't be done, as far as that is known without looking at frames."""
        if self.shared not in SHARED:
            raise ImageError(f"shared must be one of {', '.join(SHARED)} for a film, not {self.shared!r}.")
        film, depth = self.film, self.film.depth
        self.written = whole_size(film, self.target, self.frame.size)
        self.encoding = encoding_for(film, self.written, self.target, self.quality, self.lossless)
        self.convert = Conversion(film.colours, depth, self.encoding.pixel_format, film.turns)
        self.enlarge = FrameEnlarger(self.upscaler, film.size, self.frame.enlarged, depth, self.options)

    def job(self) -> dict[str, Any]:
        """Return all that decides what the frames of the result are, for JSON."""
        model, film = self.upscaler.model, self.film
        return {
            "software": __version__,
            "source": file_sha256(Path(film.path)),
            "window": film.window,
            "model": [model.name, model.sha256, model.fingerprint],
            "window_size": model.config.window_size,
            "precision": self.upscaler.precision_for(self.enlarge.like),
            "frame": [self.frame.enlarged, self.frame.crop],
            "options": self.options,
            "shared": self.shared,
            "encoding": self.encoding.content(),
        }

    def __call__(self, progress: Progress | None = None, cancel: Cancel | None = None) -> dict[str, Any]:
        """Make the film, and return the record of how it was made, which it carries.

        Segments that are whole stay beside the target if this is stopped, and the next call goes on behind them.

        Parameters
        ----------
        progress, cancel : callable, optional
            ``progress(done, total)`` in thousandths of a frame, and ``cancel() -> bool``.

        Raises
        ------
        EscError
            If the film can't be read, upscaled or written as asked for; the target is what it was.
        Cancelled
            If `cancel` returned ``True``.
        """
        parts = Parts(self.target, self.job())
        with parts.claimed(self.overwrite):
            if parts.begun:
                self.tell(f"going on with what {str(parts.folder)!r} holds.")
            self._try_container(parts)
            timeline = look_through(self.film, cancel)
            if broken := broken_off(self.film, timeline):
                self.tell(f"the film breaks off {broken}; its file is incomplete, and what is there is upscaled.")
            segments = self._make_segments(parts, timeline, rising(progress), cancel)
            record = self._record(timeline, broken or None) | {"job": number_of(parts.job)}
            with replacing(self.target) as beside:
                join(self.film, segments, timeline, self.target, beside, tags_of(self.film, record))
        return record

    def _try_container(self, parts: Parts) -> None:
        """Write a film of one black frame, so that what the encoder or the container refuses is known before the work."""
        trial, whole = parts.folder / "trial.mkv", parts.folder / f"trial-joined{self.target.suffix}"
        try:
            self.encoding.write(trial, blank(self.convert, self.written))
            join(self.film, [trial], Timeline([0], 1, [0]), self.target, whole, {}, silent=True)
        finally:
            trial.unlink(missing_ok=True)
            whole.unlink(missing_ok=True)

    def _make_segments(
        self, parts: Parts, timeline: Timeline, progress: Progress | None, cancel: Cancel | None
    ) -> list[Path]:
        frames, length, made = self.film.frames(), self.encoding.segment, []
        shots = [] if self.shared == "frame" else timeline.shots(self.shared)
        means = ShotMeans(self.film, self.convert, self.enlarge, shots)
        for index, start in enumerate(range(0, len(timeline), length)):
            numbers = range(start, min(start + length, len(timeline)))
            path = parts.segment(index)
            if path.exists():
                for _ in numbers:
                    next(frames)
            else:
                told = partial(_share_of_frame, progress, len(timeline))
                with parts.writing(path) as beside:
                    self.encoding.write(beside, self._results(numbers, frames, means, told, cancel))
            made.append(path)
            if progress:
                progress(numbers.stop * STEPS, len(timeline) * STEPS)
        return made

    def _results(
        self,
        numbers: range,
        frames: Iterator[Any],
        means: ShotMeans,
        progress: Callable[[int, float, float], Progress | None],
        cancel: Cancel | None,
    ) -> Iterator[Any]:
        """Yield the frames of the result for the encoder, one at a time."""
        (top, _), (left, _) = self.frame.crop or ((0, 0), (0, 0))
        rows, columns = (slice(start, start + n) for start, n in zip((top, left), self.written, strict=True))
        for number in numbers:
            rgb = self.convert.rgb(next(frames))
            known = means.known(number, progress(number, 0, 0), cancel)
            result = self.enlarge(rgb, known, progress(number, 0, 1), cancel)
            if self.watch:
                self.watch(rgb, result)
            yield self.convert.frame(result[rows, columns])

    def _record(self, timeline: Timeline, broken: str | None) -> dict[str, Any]:
        film, encoding = self.film, self.encoding
        unusual = {key: value for key, value in self.options.items() if value != USUAL.get(key)}
        unusual |= {"frames": len(timeline), "shared": self.shared, "shots": len(timeline.starts)}
        unusual |= {"breaks_off": broken}
        unusual |= self.upscaler.steps(self.enlarge.request) | {"region": self.frame.crop}
        unusual |= {"encoder": encoding.codec, "encoder_options": encoding.options}
        name, levels = Path(film.path).name, self.enlarge.levels
        return record_of_result(self.upscaler, self.enlarge.like, self.written, levels, unusual, name)


def thumbnail(rgb: np.ndarray, edge: int = 512) -> Image:
    """Make a small picture of a frame, (H, W, 3) uint8 or uint16, for a quick look: every n-th pixel."""
    from PIL import Image

    step = -(-max(rgb.shape[:2]) // edge)
    part = rgb[::step, ::step]
    return Image.fromarray(np.ascontiguousarray(part if part.dtype == np.uint8 else (part >> 8).astype(np.uint8)))


def _share_of_frame(progress: Progress | None, count: int, number: int, start: float, stop: float) -> Progress | None:
    """Return a callback for a share of one frame's work, of `count` frames; a film's progress is told by frames."""
    return share_of(progress, (number + start) / count, (number + stop) / count, count * STEPS)


def tags_of(film: Film, record: dict[str, Any]) -> dict[str, str]:
    """Return the tags that a result has beside those of its original: its record, below what was there."""
    own = next((value for key, value in film.metadata.items() if key.lower() == TAG), "")
    return {TAG: "\n".join(filter(None, (own, json.dumps(record))))}


def record_in(film: Film) -> dict[str, Any]:
    """Return the record that a film carries, of this or another program's making; empty for none."""
    return _record_among(film.metadata)


def clear_finished(target: Path) -> None:
    """Remove what is beside a result that is whole, if the program that made it was killed before it could."""
    sweep(target.parent)
    if folder_of(target).is_dir():
        made: dict[str, Any] = {}
        with suppress(EscError), reading(str(target)) as container:
            made = _record_among(container.metadata)
        Parts(target, {}).clear_finished(str(made.get("job")))


def _record_among(tags: Mapping[str, str]) -> dict[str, Any]:
    said = next((value for key, value in tags.items() if key.lower() == TAG), "")
    try:
        found = json.loads(said.splitlines()[-1])
    except (ValueError, IndexError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
