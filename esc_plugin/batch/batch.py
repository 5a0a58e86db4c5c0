"""Many files, one after the other."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arrays.layout import layout_of
from ..arrays.levels import measure_levels
from ..disk import check_free, identities
from ..errors import Cancelled, EscError, ImageError
from ..files import Picture, check_target, empty_array, read_picture, write_picture
from ..files.picture import MAX_PIXELS
from ..provenance import provenance_of
from .jobs import Job, Wish
from .refused import refusals

if TYPE_CHECKING:  # with torch, which the checks before it do without
    from ..progress import Cancel, Progress
    from ..upscaler import Upscaler

logger = logging.getLogger(__name__)


@dataclass
class Summary:
    """What became of the files of a batch."""

    done: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, str]] = field(default_factory=list)


@dataclass
class Batch:
    """How files are upscaled; call `run`.

    Attributes
    ----------
    upscaler : Upscaler
        What upscales.
    wish : Wish
        How large.
    options : dict
        Passed to `Upscaler.__call__`: intensity, alpha, axes, ...
    quality, max_pixels
        See `write_picture` and `read_picture`.
    overwrite, skip_existing : bool
        What to do about a target that exists; by default it is an error. What a run reads is never replaced by it.
    """

    upscaler: Upscaler
    wish: Wish = field(default_factory=Wish)
    options: dict[str, Any] = field(default_factory=dict)
    quality: int | None = None
    max_pixels: int = MAX_PIXELS
    overwrite: bool = False
    skip_existing: bool = False

    def run(
        self,
        jobs: Sequence[Job],
        progress: Callable[[int, float], None] | None = None,
        cancel: Cancel | None = None,
        report: Callable[[Job, Picture | str | None], None] | None = None,
    ) -> Summary:
        """Upscale files; one that fails doesn't stop the others, whatever the reason.

        Parameters
        ----------
        progress : callable, optional
            ``progress(i, share)``: how much of job `i` is done, 0..1.
        cancel : callable, optional
            See `Upscaler.stream`.
        report : callable, optional
            ``report(job, result)`` after each: what was written, an error's text, or ``None`` if it was skipped.

        Raises
        ------
        Cancelled
            If `cancel` returned ``True``. What was finished stays.
        """
        summary, report = Summary(), report or (lambda *_: None)
        refused = refusals(jobs, self.overwrite)
        for i, job in enumerate(jobs):
            if self.skip_existing and job.target.exists():
                summary.skipped.append(job)
                report(job, None)
                continue
            share: Progress | None = None
            if progress:
                share = lambda done, total, i=i: progress(i, done / max(total, 1))  # noqa: E731
            result = refused.get(job) or self._result(job, share, cancel)
            if isinstance(result, str):
                summary.failed.append((job, result))
            else:
                summary.done.append(job)
            report(job, result)
            if progress:
                progress(i, 1.0)  # whatever it came to
        return summary

    def _result(self, job: Job, progress: Progress | None, cancel: Cancel | None) -> Picture | str:
        """Return what was written, or one line that says why nothing was."""
        try:
            return self.upscale_file(job, progress, cancel)
        except Cancelled:
            raise
        except EscError as error:
            return str(error)
        except Exception as error:  # a batch of a night must not end with its third file
            logger.debug("%s failed", job.source, exc_info=True)
            return f"{str(job.source)!r} failed: {' '.join(str(error).split()) or type(error).__name__}."

    def upscale_file(self, job: Job, progress: Progress | None = None, cancel: Cancel | None = None) -> Picture:
        """Upscale one file, and return what was written.

        Raises
        ------
        EscError
            If it can't be read, upscaled or written; then nothing is written.
        """
        check_free(job.target, inputs=identities(job.source), overwrite=self.overwrite)
        picture = read_picture(job.source, self.max_pixels)
        options, pixels = dict(self.options), picture.pixels
        try:
            layout = layout_of(pixels, options.pop("axes", None) or picture.axes)
            picture.axes = layout.axes
            size = self.wish.size(layout.height, layout.width, self.upscaler.model.scale)
            shape = layout.resized(*size)
            check_target(job.target, picture, shape)
            _make_folder(job.target.parent)
            limit = self.upscaler.memory_limit if self.upscaler.device.type == "cpu" else None
            out = empty_array(shape, pixels.dtype.newbyteorder("="), limit)
            wanted, nan = options.pop("intensity", "auto"), options.get("nan", "error")
            levels = measure_levels(pixels, layout, wanted, nan, cancel)
            self.upscaler(
                pixels, axes=layout.axes, size=size, intensity=levels, out=out, progress=progress, cancel=cancel, **options
            )
        except ImageError as error:
            raise ImageError(f"{str(job.source)!r}: {error}") from None
        except MemoryError:
            raise ImageError(f"{str(job.source)!r}: there is no memory for it.") from None
        result = picture.enlarged(out)
        result.provenance = provenance_of(self.upscaler, pixels, size, levels, options)
        write_picture(job.target, result, self.quality)
        return result


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"can't make the folder {str(folder)!r}: {error.strerror}.") from None
    if not os.access(folder, os.W_OK):
        raise ImageError(f"may not write into the folder {str(folder)!r}.")
