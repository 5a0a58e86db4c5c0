"""Many files, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arrays.framing import Frame, Framing
from ..arrays.layout import layout_of
from ..arrays.levels import measure_levels
from ..arrays.sizes import Size
from ..disk import check_free, identities
from ..errors import Cancelled, EscError, ImageError
from ..files import Picture, check_target, empty_array, read_picture, write_picture
from ..files.address import Url
from ..files.picture import MAX_PIXELS
from ..progress import Progress, part_of, share_of
from .checks import check_place
from .isotropic import cut_into, levels_asked, planes_wanted, with_planes
from .jobs import Job, file_target, is_done
from .mask import Mask
from .record import record_of_result
from .refused import refusals

if TYPE_CHECKING:  # with torch, which the checks before it do without
    import numpy as np

    from ..arrays.levels import Levels
    from ..network.grid import Region
    from ..progress import Cancel
    from ..survey import Survey
    from ..upscaler import RegionSpans, Upscaler

logger = logging.getLogger(__name__)

#: The options of `Upscaler.__call__` that a record names, as they are where nobody asks for anything else.
USUAL: dict[str, Any] = {
    "intensity": "auto",
    "nan": "error",
    "alpha": "network",
    "linear_light": False,
    "consistency": False,
    "shared": None,
    "strength": 1.0,
    "passes": None,
}


@dataclass
class Summary:
    """What became of the files of a batch."""

    done: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, str]] = field(default_factory=list)

    def add(self, job: Job, result: Picture | str | None) -> None:
        """Sort in a job by its result: what was written, an error's text, or ``None`` if it was skipped."""
        if isinstance(result, str):
            self.failed.append((job, result))
        else:
            (self.skipped if result is None else self.done).append(job)


@dataclass
class Batch:
    """How files are upscaled; call `run`.

    Attributes
    ----------
    upscaler : Upscaler
        What upscales.
    framing : Framing
        How large the results shall be.
    options : dict
        Passed to `Upscaler.__call__`: intensity, alpha, axes, ...
    quality : int, optional
        Of JPEG, WebP and AVIF, from 1 to 100.
    max_pixels : int
        A file that claims to have more is refused.
    overwrite, skip_existing : bool
        What to do about a target that exists; by default it is an error. What a run reads is never replaced by it.
    region, survey, sampled : optional
        The part of each result that is wanted, what is known of the whole image, and from how many pixels of a plane to
        estimate that, see `Upscaler`. What isn't asked for with a survey is as it was when the survey was made.
    isotropic : bool
        Whether a stack shall have so many planes that its voxels are as deep as they are wide. If no size is asked for, its
        rows and columns stay what they are.
    mask : Mask, optional
        Where the network counts, in each of the images.
    """

    upscaler: Upscaler
    framing: Framing = field(default_factory=Framing)
    options: dict[str, Any] = field(default_factory=dict)
    quality: int | None = None
    max_pixels: int = MAX_PIXELS
    overwrite: bool = False
    skip_existing: bool = False
    region: RegionSpans | None = None
    survey: Survey | None = None
    sampled: int | None = None
    isotropic: bool = False
    mask: Mask | None = None

    def __post_init__(self) -> None:
        """Raise an `ImageError` for a contradiction."""
        if self.region and self.framing.mode == "fill":
            raise ImageError("ask for either a region of the result or one that fills a box, not both.")
        if self.isotropic and (self.region or self.survey or self.sampled or self.mask):
            raise ImageError(
                "isotropic voxels can be had of whole stacks only, without a region, a survey, samples or a mask."
            )

    def run(
        self,
        jobs: Sequence[Job],
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        report: Callable[[Job, Picture | str | None], None] | None = None,
    ) -> Summary:
        """Upscale files; one that fails doesn't stop the others, whatever the reason.

        Parameters
        ----------
        progress, cancel : callable, optional
            ``progress(done, total)`` of the whole batch, and ``cancel() -> bool``.
        report : callable, optional
            ``report(job, result)`` after each: what was written, an error's text, or ``None`` if it was skipped.

        Raises
        ------
        Cancelled
            If `cancel` returned ``True``. What was finished stays.
        """
        summary, refused = Summary(), refusals(jobs, self.overwrite)
        for i, job in enumerate(jobs):
            own, result = part_of(progress, i, len(jobs)), None
            if not (self.skip_existing and is_done(job.target)):
                result = refused.get(job) or self._result(job, own, cancel)
            summary.add(job, result)
            if report:
                report(job, result)
            if own:
                own(1, 1)  # whatever it came to
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
        target = file_target(job)
        check_free(target, inputs=identities(job.source, *self._mask_file), overwrite=self.overwrite)
        picture = read_picture(job.source, self.max_pixels, lazy=self.region is not None)
        try:
            result = self._upscaled(picture, job, progress, cancel)
        except Cancelled:
            raise
        except EscError as error:
            raise ImageError(f"{str(job.source)!r}: {error}") from None
        except MemoryError:
            raise ImageError(f"{str(job.source)!r}: there is no memory for it.") from None
        write_picture(target, result, self.quality)
        return result

    def opened(self, job: Job) -> tuple[Picture, dict[str, Any]]:
        """Return an image whose pixels are read by index, and what of it is asked for, see `given`."""
        if self.isotropic:
            raise ImageError("isotropic voxels go to a file, such as stack.ome.tif; a store is filled plane by plane.")
        picture = read_picture(job.source, self.max_pixels, lazy=True)
        return picture, self.given(picture)[0]

    def given(self, picture: Picture) -> tuple[dict[str, Any], Frame]:
        """Return the options of the call of `Upscaler` for a picture, axes, size and all others, and the result's size."""
        options = dict(self.options)
        layout = layout_of(picture.pixels, options.pop("axes", None) or picture.axes)
        frame = self.framing.frame(layout.height, layout.width, 1 if self.isotropic else self.upscaler.model.scale)
        if self.survey:
            options = as_surveyed(options, self.survey)
            frame = Frame(self.survey.request.target) if self.framing == Framing() else frame
        return options | {"axes": layout.axes, "size": frame.enlarged}, frame

    def _upscaled(self, picture: Picture, job: Job, progress: Progress | None, cancel: Cancel | None) -> Picture:
        """Return the larger picture, with a record of how it was made.

        Its pixels have the axes of the picture, (TZCYX) for example, and another Y and X. What the target can't hold is an
        error before the work.
        """
        from ..upscaler import checked_region

        asked, frame = self.given(picture)
        picture.axes, size = asked["axes"], asked["size"]
        request = self.upscaler.request(picture.pixels, **asked)
        mask = self.upscaler.mask(self.mask.values if self.mask else None, request)
        part, crop = checked_region(self.region, size), checked_region(frame.crop, size)
        planes = planes_wanted(picture, size) if self.isotropic else picture.planes
        made = with_planes(layout_of(picture.pixels, picture.axes), planes)
        check_target(file_target(job), picture, made.resized(*size_of(part or crop, size)))
        make_folder(file_target(job))
        told: dict[str, Any] = {}
        enough = False
        if self.isotropic:
            first, progress, limit = share_of(progress, 0, 0.5), share_of(progress, 0.5, 1), self._host_limit()
            picture, asked["intensity"] = cut_into(picture, planes, self.upscaler, asked, limit, first, cancel)
            told, enough = {"planes": planes}, size == picture.size and not request.passes
        if enough:  # planes were all that was missing
            out, levels, survey = picture.pixels, asked["intensity"], None
        else:
            out, levels, survey = self._enlarged(picture, part, asked, mask, progress, cancel)
        if crop:
            out = out[tuple({"Y": crop.slices[0], "X": crop.slices[1]}.get(axis, slice(None)) for axis in made.axes)]
        place = part or crop
        result = picture.enlarged(out, size, (place.top, place.left) if place else (0, 0))
        told |= self.upscaler.steps(request) | {"region": self.region or frame.crop}
        told = {name: value for name, value in asked.items() if name not in ("axes", "size", "intensity")} | told
        if survey:
            told |= {"survey": survey.digest, "survey_method": survey.method}
        if self.mask:
            told["mask"] = self.mask.path.name
        result.provenance = record_of_result(self.upscaler, picture.pixels, size, levels, told, job.source.name, survey)
        return result

    def _enlarged(
        self,
        picture: Picture,
        part: Region | None,
        asked: dict[str, Any],
        mask: np.ndarray | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> tuple[np.ndarray, list[Levels], Survey | None]:
        """Return the pixels of a result, or a part of it, with the levels and the survey that they were made with."""
        pixels, survey = picture.pixels, self.survey
        layout = layout_of(pixels, picture.axes)
        shape = layout.resized(*size_of(part, asked["size"]))
        out = empty_array(shape, pixels.dtype.newbyteorder("="), self._host_limit())
        if not survey and (part or self.sampled or asked.get("shared")):
            first, progress = share_of(progress, 0, 0.5), share_of(progress, 0.5, 1)
            survey = self.upscaler.survey(pixels, pixels=self.sampled, progress=first, cancel=cancel, **asked)
        if survey:
            levels = survey.levels_of(out.dtype)
        else:
            levels = measure_levels(pixels, layout, *levels_asked(asked), cancel)
            asked = asked | {"intensity": levels}
        asked = asked | {"region": self.region, "survey": survey, "mask": mask}
        self.upscaler(pixels, out=out, progress=progress, cancel=cancel, **asked)
        return out, levels, survey

    @property
    def _mask_file(self) -> list[Path]:
        return [self.mask.path] if self.mask else []

    def _host_limit(self) -> int | None:
        """Return the bytes that results in host memory must leave room in, or None for all that is free."""
        return self.upscaler.memory_limit if self.upscaler.device.type == "cpu" else None


def size_of(part: Region | None, whole: Size) -> Size:
    """Return height and width of a part, or of the whole if there is none."""
    return (part.height, part.width) if part else whole


def as_surveyed(options: dict[str, Any], survey: Survey) -> dict[str, Any]:
    """Return options, those that weren't given as they were when the survey was made."""
    asked = {name: value for name, value in options.items() if value != USUAL.get(name)}
    return {name: getattr(survey.request, name) for name in USUAL} | asked


def make_folder(target: Path | Url) -> None:
    """Make the folder of a result, or raise an `ImageError`. What is behind an address has none."""
    if isinstance(target, Url):
        return
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"can't write {str(target)!r}: {str(folder)!r} can't be made: {error.strerror}.") from None
    check_place(target)
