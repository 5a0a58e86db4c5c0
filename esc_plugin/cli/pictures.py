"""``esc-sr upscale`` with pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EscError, ImageError
from ..texts import suffix_of
from .large import Work, upscale_stores
from .load import Where, load_mixture, own_device
from .parse import parse_intensity, parse_part, parse_region
from .plan import show_plans
from .report import Report
from .terminal import complain, progress_bar

if TYPE_CHECKING:  # torch takes a second to import; commands that need it import what they use
    from ..arrays.framing import Framing
    from ..batch.batch import Batch
    from ..batch.choice import Group
    from ..batch.jobs import Job
    from ..cluster.launch import Launch
    from ..survey import Survey

#: Options of `Upscaler.__call__` that are handed on as they are.
PASSED_ON = ("nan", "alpha", "axes", "linear_light", "consistency", "shared", "strength", "passes")


def upscale_pictures(given: Any, framing: Framing) -> int:
    """Upscale the pictures that a command names, and return its exit code.

    Parameters
    ----------
    given
        All options of the command, by their names.
    framing : Framing
        How large the results shall be.

    Raises
    ------
    EscError
        If the command contradicts itself, or a model can't be had.
    """
    asked = Asked(given, framing)
    report = Report(given.verbose, given.as_json)
    sources = {job.source for job in asked.ready(report)}
    launch = _launched() if sources else None
    for group in asked.groups:
        group.images = [image for image in group.images if image.path in sources]
        if group.images:
            _upscale_group(asked, group, report, launch)
    return report.finish()


class Asked:
    """What a command asks for, checked as far as that can be without torch: it takes longer to start than to say so.

    Raises
    ------
    EscError
        If the command contradicts itself.
    """

    def __init__(self, given: Any, framing: Framing) -> None:
        from ..batch.checks import check_intensity
        from ..batch.choice import groups_of
        from ..batch.find import find_images
        from ..batch.mask import read_mask
        from ..catalog.lookup import look_up

        self.given, self.framing = given, framing
        self.levels = parse_intensity(given.intensity)
        check_intensity(self.levels)
        self.region = parse_region(given.region) if given.region else None
        self.survey = read_survey(given.survey, given.sampled, given.precision)
        part = parse_part(given.share) if given.share else None
        self.work = Work(given.workers, given.scheduler, part, given.finish, given.sampled)
        self.pixels = round(given.megapixels * 1e6)
        source, found = given.model or surveyed_model(self.survey, given.blend), find_images(given.images, given.recursive)
        self.groups = groups_of(found, source, framing, given.purpose or "", self.pixels)
        if given.blend:
            look_up(given.blend)
        if self.survey and len(found) > 1:
            raise ImageError(f"a survey serves one image; {len(found)} are named.")
        self.mask = read_mask(given.mask, self.pixels) if given.mask else None

    def jobs(self, group: Group, name: str, scale: int) -> list[Job]:
        """Return where the results of a group go, with a model of this name and scale."""
        from ..batch.jobs import label_of, plan_jobs

        given = self.given
        label = label_of(self.framing, scale, given.isotropic)
        return plan_jobs(group.images, given.output, name, label, suffix_of(given.form) if given.form else None)

    def ready(self, report: Report) -> list[Job]:
        """Return the jobs that nothing speaks against so far, and report the others."""
        from ..batch.refused import sift, split_results

        given = self.given
        jobs = [job for group in self.groups for job in self.jobs(group, self._name(group) or "model", group.scale or 1)]
        self._check(jobs)
        named = self._are_names_known()
        if not given.include_results:
            jobs = leave_out_results(*split_results(jobs))
        targets = named and not given.plan
        return sift(jobs, report, targets=targets, overwrite=given.overwrite, skip_existing=given.skip_existing)

    def batch(self, group: Group, launch: Launch | None) -> Batch:
        """Load the model of a group, and return what upscales its pictures."""
        from ..batch.batch import Batch

        given = self.given
        where = Where(own_device(given.device, launch), given.precision, given.memory, given.threads)
        return Batch(
            load_mixture(group.source, given.blend, given.blend_share, given.window_size, where, group.reason),
            framing=self.framing,
            options={"intensity": self.levels} | {name: getattr(given, name) for name in PASSED_ON},
            quality=given.quality,
            max_pixels=self.pixels,
            overwrite=given.overwrite,
            skip_existing=given.skip_existing,
            region=self.region,
            survey=self.survey,
            sampled=given.sampled,
            isotropic=given.isotropic,
            mask=self.mask,
        )

    def _check(self, jobs: list[Job]) -> None:
        from ..batch.checks import check_exact
        from ..files.formats import is_store

        self.work.check(jobs)
        if (self.region or self.framing.mode == "fill") and any(is_store(job.target) for job in jobs):
            raise EscError("a part of a result goes to a file, such as part.tif; a store holds the whole result.")
        if self.given.consistency:
            check_exact(jobs)

    def _name(self, group: Group) -> str:
        """Return the name of a group's model; that of a mixture is known when both are loaded."""
        return "" if self.given.blend else group.name

    def _are_names_known(self) -> bool:
        """Whether it is known before a model is loaded where results go: of a file, its scale and name may not be."""
        from ..arrays.framing import Framing

        sized = all(group.scale for group in self.groups) or self.framing != Framing() or self.given.isotropic
        return sized and (all(map(self._name, self.groups)) or "{model}" not in str(self.given.output))


def _launched() -> Launch | None:
    from ..cluster.launch import launched

    if launch := launched():
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # torch would print a stack when another process is gone
    return launch


def _upscale_group(asked: Asked, group: Group, report: Report, launch: Launch | None) -> None:
    from ..files.formats import is_store

    if group.note and not (launch and launch.rank):  # once, however many processes there are
        complain("note", group.note)
    batch = asked.batch(group, launch)
    jobs = asked.jobs(group, batch.upscaler.model.name, batch.upscaler.model.scale)
    if asked.given.plan:
        show_plans(batch, jobs, report)
        return
    stores, files = [job for job in jobs if is_store(job.target)], [job for job in jobs if not is_store(job.target)]
    if launch:  # of many files, each process takes its share; of one store, all do
        files = files[launch.rank :: launch.size]
    if files:
        run_batch(batch, files, report)
    if stores:
        upscale_stores(stores, report, batch, asked.work)


def run_batch(batch: Batch, jobs: list[Job], report: Report) -> None:
    """Upscale files, and show how far it is."""
    with progress_bar(f"{len(jobs)} images" if len(jobs) > 1 else jobs[0].source.name) as progress:
        batch.run(jobs, progress, report=report)


def read_survey(path: Path | None, sampled: int | None, precision: str) -> Survey | None:
    """Read a survey; what contradicts it is an `EscError`."""
    if path is None:
        return None
    if sampled:
        raise EscError("ask for either a --survey that is there or a new one that is --sampled, not both.")
    from ..survey import Survey

    found = Survey.load(path)
    if precision != "auto" and found.precisions - {precision}:
        made = " and ".join(sorted(found.precisions))
        raise EscError(f"the survey was made with {made}, not {precision}; leave --precision out.")
    return found


def leave_out_results(jobs: list[Job], results: list[Job]) -> list[Job]:
    """Return the jobs of images, and say how many results there are beside them.

    Raises
    ------
    ImageError
        If there are only results.
    """
    many = f"{len(results)} results of earlier runs are left out, {results[-1].source.name!r} among them" if results else ""
    if not jobs:
        raise ImageError(f"there is nothing to upscale: {many}; take them with --include-results.")
    if many:
        complain("note", f"{many}; --include-results takes them.")
    return jobs


def surveyed_model(survey: Survey | None, blend: str | None) -> str | None:
    """Return the name of the model that a survey was made with; it can't name two so that they are found again."""
    if survey is None or blend:
        return None
    if " + " in survey.model:
        raise EscError(f"the survey was made with {survey.model}; name the models with --model and --blend.")
    return survey.model
