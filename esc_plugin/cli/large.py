"""Results that are filled block by block, by one process or by many: `esc-sr upscale` with an OME-Zarr target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import EscError, ImageError
from ..texts import counted
from .report import Report
from .terminal import plain, progress_bar

if TYPE_CHECKING:
    from ..batch.batch import Batch
    from ..batch.jobs import Job
    from ..cluster.group import Group
    from ..cluster.large import Large


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
        if self.finish and self.sampled:
            raise EscError("--finish renders nothing that --sampled could be for; leave that out.")
        if self.divided and (other := next((job for job in jobs if not is_store(job.target)), None)):
            raise EscError(
                f"only a store can be filled by several processes; write to a name that ends in .ome.zarr, "
                f"not {str(other.target)!r}."
            )


def upscale_stores(jobs: list[Job], report: Report, batch: Batch, work: Work) -> None:
    """Upscale images into stores, one after the other; one that fails doesn't stop the others."""
    from ..batch.jobs import is_done
    from ..batch.refused import refusals
    from ..cluster.group import joined

    refused = refusals(jobs, batch.overwrite)
    with joined() as group:
        for job in jobs:
            with report.told(job):
                if job in refused:
                    raise ImageError(refused[job])
                if batch.skip_existing and is_done(job.target):
                    report(job, None)
                    continue
                line, large = _upscale_store(job, batch, work, group)
                if group.rank == 0:  # the others have nothing to say, and nothing to count
                    report.did(job, line, large.record, large.notes)


def _upscale_store(job: Job, batch: Batch, work: Work, group: Group) -> tuple[str, Large]:
    """Return what is said of it, and what was made."""
    from ..batch.batch import make_folder
    from ..cluster.fill import finish_large, upscale_large, upscale_together
    from ..cluster.large import Large

    picture, options = batch.opened(job)
    large = Large(
        batch.upscaler,
        picture,
        str(job.target),
        options,
        job.source.name,
        overwrite=batch.overwrite,
        mask=batch.mask,
    )
    make_folder(job.target)
    height, width = large.request.target
    told = f"{plain(job.source)} -> {plain(job.target)}  {width} x {height}"
    with progress_bar(job.source.name) as progress:
        if work.finish:
            finish_large(large, batch.survey, workers=work.workers, scheduler=work.scheduler, progress=progress)
            return told, large
        if group.size > 1:
            if work.divided or batch.survey or work.sampled:
                raise EscError("processes that were started together survey and render in one pass; leave the others out.")
            summary = upscale_together(large, group, progress)
        else:
            summary = upscale_large(
                large,
                batch.survey,
                sampled=work.sampled,
                workers=work.workers,
                scheduler=work.scheduler,
                part=work.part,
                progress=progress,
            )
    if summary.failures:
        raise ImageError(f"{counted(len(summary.failures), 'block')} failed, {summary.failures[0]}")
    kept = f", {summary.kept:,} were there" if summary.kept else ""
    missing = "" if summary.finished else f", {summary.missing:,} missing"
    return f"{told}  {counted(summary.rendered, 'block')}{kept}{missing}", large
