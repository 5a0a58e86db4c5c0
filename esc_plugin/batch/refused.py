"""What of a batch is left out, or refused, before the work begins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ..disk import check_free, identities, name_key
from ..errors import EscError, ImageError
from ..files import read_provenance
from ..files.address import Url
from ..files.formats import is_store
from .checks import check_place, check_source
from .jobs import Job, file_target, is_done

#: What a user of the command line must give to replace what is there.
HOW = "--overwrite, or leave it out with --skip-existing"


def split_results(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Return the jobs of images, and those of results of earlier runs.

    A result has a record inside, which names the image that it was made of, and that image is there: beside it, if folders
    or patterns were searched, or else in the same call, as when a shell has expanded a pattern. So a result that is named on
    its own is an image like others.
    """
    named = {job.source.name for job in jobs}
    folders = {job.source.parent for job in jobs if job.searched}
    beside = {folder: _names_in(folder) for folder in folders}
    images: list[Job] = []
    results: list[Job] = []
    for job in jobs:
        original = _made_of(job.source)
        met = original in named or (job.searched and original in beside[job.source.parent])
        (results if met and original != job.source.name else images).append(job)
    return images, results


def _names_in(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:  # it's gone meanwhile, which each of its images will say
        return set()


def _made_of(path: Path | Url) -> str | None:
    """Return the name of the image that a result was made of; None for other files."""
    image = read_provenance(path).get("image")
    return image if isinstance(image, str) else None


def sift(
    jobs: Sequence[Job],
    report: Callable[[Job, str | None], None],
    *,
    targets: bool = True,
    overwrite: bool = False,
    skip_existing: bool = False,
    how: str = HOW,
) -> list[Job]:
    """Return the jobs that nothing speaks against so far, and report the others, as `Batch.run` does.

    Parameters
    ----------
    report : callable
        ``report(job, reason)``; the reason is ``None`` for what is there and skipped.
    targets : bool
        Whether to look at where the results go, too.
    overwrite, skip_existing : bool
        See `Batch`.
    how : str
        What the user must do to replace what is there, for the error.
    """
    refused = refusals(jobs, overwrite, how) if targets else {}
    ready = []
    for job in jobs:
        try:
            if targets:
                check_place(job.target)
                if skip_existing and is_done(job.target):
                    report(job, None)
                    continue
            if job in refused:
                raise ImageError(refused[job])
            check_source(job.source)
        except EscError as error:
            report(job, str(error))
        else:
            ready.append(job)
    return ready


def refusals(jobs: Sequence[Job], overwrite: bool = False, how: str = HOW) -> dict[Job, str]:
    """Return the jobs whose target may not be written, and why.

    No job of a batch may write what any of them reads, what another one writes, or what is there already.
    """
    inputs = identities(*(job.source for job in jobs))
    sources = {_folders(job.source)[0] for job in jobs}
    around = {folder for job in jobs for folder in _folders(job.source)}
    alike: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        alike[name_key(job.target)].append(job)
    reasons = {
        job: _clash(job, alike[name_key(job.target)])
        or _nested(job, sources, around)
        or _reason(job, inputs, overwrite, how)
        for job in jobs
    }
    return {job: reason for job, reason in reasons.items() if reason}


def _clash(job: Job, same: Sequence[Job]) -> str:
    others = [repr(str(other.source)) for other in islice((other for other in same if other != job), 2)]
    if not others:
        return ""
    more = f" and {len(same) - 3} more" if len(same) > 3 else ""
    return (
        f"{str(job.source)!r} and {', '.join(others)}{more} would all go to {str(job.target)!r}; "
        "name a template with {stem} and {from}."
    )


def _reason(job: Job, inputs: Collection[Any], overwrite: bool, how: str) -> str:
    own = identities(str(job.target))
    if is_store(job.target):  # an unfinished one is gone on with; what else is there is refused when it is opened
        return (
            "" if own.isdisjoint(inputs) else f"can't write {str(job.target)!r}: the same run reads it; choose another name."
        )
    try:
        check_free(file_target(job), inputs=inputs, overwrite=overwrite, how=how)
    except EscError as error:
        return str(error)
    return ""


def _nested(job: Job, sources: set[str], around: set[str]) -> str:
    """Say that a store can't be written in which a source lies, for it would be removed with it, or that lies in one."""
    if not is_store(job.target):
        return ""
    own, *folders = _folders(job.target)
    if own in around - sources:
        return f"can't write {str(job.target)!r}: the same run reads what is in it; choose another name."
    if not sources.isdisjoint(folders):
        return f"can't write {str(job.target)!r}: it lies inside of an image that the same run reads; choose another name."
    return ""


def _folders(place: Path | Url) -> list[str]:
    """Return what tells a place from others, and the same of all folders that it lies in."""
    if isinstance(place, Url):
        parts = str(place).rstrip("/").split("/")
        return ["/".join(parts[:end]) for end in range(len(parts), 2, -1)]
    path = Path(name_key(place))
    return [str(folder) for folder in (path, *path.parents)]
