"""What of a batch is left out, or refused, before the work begins."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ..disk import check_free, identities, name_key
from ..errors import EscError
from ..files import made_by
from ..files.formats import bare_stem
from .jobs import Job


def split_results(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Return the jobs of images, and those of results of earlier runs that were met in folders and patterns.

    A result is known by two things: its name, which is that of a target of this run or begins with the name of another image
    (``a_x2.png`` where there is an ``a.png``), and a record inside. A file that the user named is never one.
    """
    targets = {name_key(job.target) for job in jobs}
    stems = {_stem(job.source) for job in jobs}
    beside = {folder: _stems_in(folder) for folder in {job.source.parent for job in jobs if job.searched}}
    images: list[Job] = []
    results: list[Job] = []
    for job in jobs:
        known = job.searched and _is_result(job.source, targets, stems | beside[job.source.parent])
        (results if known else images).append(job)
    return images, results


def _is_result(path: Path, targets: Collection[str], stems: set[str]) -> bool:
    named_so = name_key(path) in targets or not stems.isdisjoint(_beginnings(_stem(path)))
    return named_so and made_by("upscale")(path)


def _stem(path: Path) -> str:
    return bare_stem(path).casefold()


def _stems_in(folder: Path) -> set[str]:
    return {_stem(path) for path in folder.iterdir()}


def _beginnings(stem: str) -> set[str]:
    """Return what a name may have been made of: "a_b" and "a" of "a_b_x2"."""
    return {stem[: found.start()] for found in re.finditer(r"[\W_]", stem)}


def refusals(jobs: Sequence[Job], overwrite: bool = False) -> dict[Job, str]:
    """Return the jobs whose target may not be written, and why.

    No job of a batch may write what any of them reads, what another one writes, or what is there already.
    """
    inputs = identities(*(job.source for job in jobs))
    alike: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        alike[name_key(job.target)].append(job)
    reasons = {job: _clash(job, alike[name_key(job.target)]) or _reason(job, inputs, overwrite) for job in jobs}
    return {job: reason for job, reason in reasons.items() if reason}


def _clash(job: Job, same: Sequence[Job]) -> str:
    others = [repr(str(other.source)) for other in same if other != job]
    if not others:
        return ""
    more = f" and {len(others) - 2} more" if len(others) > 2 else ""
    return (
        f"{str(job.source)!r} and {', '.join(others[:2])}{more} would all go to {str(job.target)!r}; "
        "name a template with {stem} and {from}."
    )


def _reason(job: Job, inputs: Collection[Any], overwrite: bool) -> str:
    try:
        check_free(job.target, inputs=inputs, overwrite=overwrite, how="--overwrite, or leave it out with --skip-existing")
    except EscError as error:
        return str(error)
    return ""
