"""What of a batch is left out, or refused, before the work begins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ..disk import check_free, identities, name_key
from ..errors import EscError
from ..files import read_provenance
from ..files.address import Url
from ..files.formats import is_store
from .jobs import Job, file_target


def split_results(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Return the jobs of images, and those of results of earlier runs.

    A result has a record inside, which names the image that it was made of, and that image is there: beside it, if folders
    or patterns were searched, or else in the same call, as when a shell has expanded a pattern. So a result that is named on
    its own is an image like others.
    """
    named = {job.source.name for job in jobs}
    folders = {job.source.parent for job in jobs if job.searched}
    beside = {folder: {path.name for path in folder.iterdir()} for folder in folders}
    images: list[Job] = []
    results: list[Job] = []
    for job in jobs:
        originals = named | beside[job.source.parent] if job.searched else named
        (results if _made_of(job.source) in originals - {job.source.name} else images).append(job)
    return images, results


def _made_of(path: Path | Url) -> str | None:
    """Return the name of the image that a result was made of; None for other files."""
    image = read_provenance(path).get("image")
    return image if isinstance(image, str) else None


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
    if is_store(job.target):  # an unfinished one is gone on with; what else is there is refused when it is opened
        own = identities(str(job.target))
        return (
            "" if own.isdisjoint(inputs) else f"can't write {str(job.target)!r}: the same run reads it; choose another name."
        )
    try:
        check_free(
            file_target(job), inputs=inputs, overwrite=overwrite, how="--overwrite, or leave it out with --skip-existing"
        )
    except EscError as error:
        return str(error)
    return ""
