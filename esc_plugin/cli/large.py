"""Results that are filled block by block, by one process or by many: `esc-sr upscale` with an OME-Zarr target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import EscError, ImageError
from .report import Report
from .terminal import plain, progress_bar

if TYPE_CHECKING:
    from ..batch.jobs import Job, Wish
    from ..cluster.group import Group
    from ..survey import Survey
    from ..upscaler import Upscaler


@dataclass(frozen=True)
class Work:
    """Who does it, and how much of it.

    Attributes
    ----------
    workers : int
        Processes on this machine.
    scheduler : str, optional
        Address of a scheduler of dask.
    part : pair of int, optional
        Only part i of n.
    finish : bool
        Only what remains when all parts are there.
    sampled : int, optional
        Pixels of a plane that the survey is estimated from.
    """

    workers: int = 1
    scheduler: str | None = None
    part: tuple[int, int] | None = None
    finish: bool = False
    sampled: int | None = None

    @property
    def divided(self) -> bool:
        """Whether anything is asked for that only a store can take."""
        return self.workers > 1 or self.scheduler is not None or self.part is not None or self.finish

    def check(self, jobs: list[Job]) -> None:
        """Raise an `EscError` for what contradicts itself, before any work."""
        from ..files.formats import is_store

        if self.scheduler and self.workers > 1:
            raise EscError("ask for either --workers on this machine or a --scheduler, not both.")
        if self.part and (self.scheduler or self.workers > 1 or self.finish):
            raise EscError("--part is for machines that know nothing of each other; leave the others out.")
        if self.divided and (other := next((job for job in jobs if not is_store(job.target)), None)):
            raise EscError(
                f"only a store can be filled by several processes; write to a name that ends in .ome.zarr, "
                f"not {str(other.target)!r}."
            )


def upscale_stores(
    jobs: list[Job],
    report: Report,
    upscaler: Upscaler,
    wish: Wish,
    options: dict[str, Any],
    work: Work,
    survey: Survey | None,
    overwrite: bool,
) -> None:
    """Upscale images into stores, one after the other; one that fails doesn't stop the others."""
    from ..cluster.group import joined

    with joined() as group:
        for job in jobs:
            with report.told(job):
                line = _upscale_store(job, upscaler, wish, dict(options), work, survey, overwrite, group)
                report.did(line if group.rank == 0 else "")


def _upscale_store(
    job: Job,
    upscaler: Upscaler,
    wish: Wish,
    options: dict[str, Any],
    work: Work,
    survey: Survey | None,
    overwrite: bool,
    group: Group,
) -> str:
    """Return what is said of it."""
    from ..arrays.layout import layout_of
    from ..batch.batch import as_surveyed
    from ..batch.jobs import Wish
    from ..cluster.large import Large, finish_large, upscale_large, upscale_together
    from ..files import read_picture

    picture = read_picture(job.source, lazy=True)
    layout = layout_of(picture.pixels, options.pop("axes") or picture.axes)
    size = wish.size(layout.height, layout.width, upscaler.model.scale)
    if survey:
        options, size = as_surveyed(options, survey), survey.request.target if wish == Wish() else size
    options |= {"axes": layout.axes, "size": size}
    large = Large(upscaler, picture, str(job.target), options, job.source.name, overwrite=overwrite)
    told = f"{plain(job.source)} -> {plain(job.target)}  {size[1]} x {size[0]}"
    with progress_bar(job.source.name) as progress:
        if work.finish:
            finish_large(large, survey, progress)
            return told
        if group.size > 1:
            if work.divided or survey or work.sampled:
                raise EscError("processes that were started together survey and render in one pass; leave the others out.")
            summary = upscale_together(large, group, progress)
        else:
            summary = upscale_large(
                large,
                survey,
                sampled=work.sampled,
                workers=work.workers,
                scheduler=work.scheduler,
                part=work.part,
                progress=progress,
            )
    if summary.failures:
        raise ImageError(f"{len(summary.failures)} blocks failed, {summary.failures[0]}")
    kept = f", {summary.kept:,} were there" if summary.kept else ""
    return f"{told}  {summary.rendered:,} blocks{kept}" + ("" if summary.finished else f", {summary.missing:,} missing")
