"""The same settings over many image files: what is found, what speaks against it, and the work."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..arrays.framing import Framing
from ..arrays.passes import cleaning_passes
from ..batch.batch import USUAL, Batch, Summary
from ..batch.checks import check_exact
from ..batch.choice import Group, groups_of
from ..batch.find import find_images
from ..batch.jobs import Job, plan_jobs
from ..batch.refused import sift, split_results
from ..catalog.lookup import look_up
from ..errors import ImageError
from ..files import Picture
from ..files.formats import is_store
from ..progress import Cancel, Progress, share_of, stop_if_asked
from .task import Settings

if TYPE_CHECKING:
    from ..upscaler import Upscaler


@dataclass(frozen=True)
class FolderOrder:
    """What is to be done with which files.

    Attributes
    ----------
    images : tuple of str
        Files, folders and patterns, see `find_images`.
    settings : Settings
        Of all of them; the same factor down and across, and levels of intensity that each image has of its own. Without a
        model, each image has the one for its kind, see `esc_plugin.batch.choice.groups_of`.
    output, suffix : str, optional
        Where results go, and in which format, see `plan_jobs`.
    skip, replace : bool
        What to do about a result that is there; by default it is an error.
    recursive : bool
        Whether to look into folders inside folders.
    how : str
        What the user must do to replace what is there, for the error.
    purpose : str
        What the images are, where no model is named.
    """

    images: tuple[str, ...]
    settings: Settings
    output: str | None = None
    suffix: str | None = None
    skip: bool = False
    replace: bool = False
    recursive: bool = False
    how: str = "replace=True"
    purpose: str = ""

    @property
    def framing(self) -> Framing:
        """The size of the results."""
        return Framing(self.settings.factor[0])

    def jobs(self) -> list[Job]:
        """Return all images, and where their results go, see `groups`."""
        return [job for _, jobs in self.groups() for job in jobs]

    def groups(self) -> list[tuple[Group, list[Job]]]:
        """Return the images of each model, and where their results go.

        Raises
        ------
        EscError
            If there are no images, or something that is asked for can't be.
        """
        model = self.settings.model
        named = not model or look_up(model).name  # an error of it comes before a search
        if not named and "{model}" in (self.output or ""):
            raise ImageError(f"the name of {model!r} isn't known yet; leave {{model}} out of the output.")
        found = find_images(self.images, self.recursive)
        planned = [(group, self._planned(group)) for group in groups_of(found, model, self.framing, self.purpose)]
        if self.settings.consistency:
            check_exact([job for _, jobs in planned for job in jobs])
        return planned

    def _planned(self, group: Group) -> list[Job]:
        label = self.framing.label(group.scale or 1)
        return plan_jobs(group.images, self.output, group.name or "model", label, self.suffix)


@dataclass
class FolderWork:
    """An order as it is carried out. It changes in the thread that works, and may be read in others meanwhile.

    Attributes
    ----------
    order : FolderOrder
        What is wanted.
    ready, results : list of Job
        What there is to do, and the results of earlier runs that were found among the images, which are left out.
    summary : Summary
        What became of the files so far.
    worked : int
        How many of those that were ready are over.
    groups : list of (Group, list of Job)
        The images of each model.
    """

    order: FolderOrder
    ready: list[Job] = field(default_factory=list)
    results: list[Job] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)
    worked: int = 0
    groups: list[tuple[Group, list[Job]]] = field(default_factory=list)

    def look(self, progress: Progress | None = None, cancel: Cancel | None = None) -> FolderWork:
        """Find the images, and sort out what can't or needn't be done. No image is decoded, and nothing is written.

        Raises
        ------
        EscError
            See `FolderOrder.jobs`.
        """
        self.groups = self.order.groups()
        jobs, self.results = split_results([job for _, own in self.groups for job in own])
        stop_if_asked(cancel)
        order = self.order
        ready = sift(jobs, self.summary.add, overwrite=order.replace, skip_existing=order.skip, how=order.how)
        self.ready = [job for job in ready if self._is_file(job)]
        return self

    def _is_file(self, job: Job) -> bool:
        """Tell whether a result goes to a file; if it doesn't, the job is over."""
        stores = is_store(job.target)
        if stores:
            self.summary.add(job, f"{str(job.source)!r}: its result would be OME-Zarr, which takes a run of its own.")
        return not stores

    def run(self, progress: Progress | None = None, cancel: Cancel | None = None) -> FolderWork:
        """Look, and then upscale one file after the other; one that fails doesn't stop the others.

        Raises
        ------
        Cancelled
            If `cancel` returned ``True``. Results that were finished stay, each of them whole.
        EscError
            If nothing can be done, as without the model.
        """
        self.look(cancel=cancel)
        done, count, ready = 0, len(self.ready), set(self.ready)
        for group, jobs in self.groups:
            own = [job for job in jobs if job in ready]
            if own:
                self._run(group, own, share_of(progress, done / count, (done + len(own)) / count), cancel)
            done += len(own)
        return self

    def _run(self, group: Group, jobs: list[Job], progress: Progress | None, cancel: Cancel | None) -> None:
        from .loaded import ready  # torch comes with it

        with ready(replace(self.order.settings, model=group.source), progress=progress, cancel=cancel) as model:
            self._batch(model.upscaler.chosen_because(group.reason)).run(jobs, progress, cancel, self._add)

    def _add(self, job: Job, result: Picture | str | None) -> None:
        self.summary.add(job, result)
        self.worked += 1

    def _batch(self, upscaler: Upscaler) -> Batch:
        settings = self.order.settings
        options = USUAL | {"intensity": settings.intensity, "consistency": settings.consistency}
        options |= {"strength": settings.strength, "passes": cleaning_passes((1, 1), settings.factor)}
        return Batch(upscaler, self.order.framing, options, overwrite=self.order.replace, skip_existing=self.order.skip)
