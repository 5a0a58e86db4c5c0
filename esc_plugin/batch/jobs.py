"""Where the results of a batch go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from ..arrays.framing import Framing
from ..disk import name_key
from ..errors import ImageError
from ..files import read_provenance
from ..files.address import Url, place_of
from ..files.formats import (
    DEFAULT,
    is_store,
    with_suffix,
    writable_suffixes,
    written_as,
)
from ..files.zarr_format import ZARR
from ..workplace import sweep
from .find import FoundImage

#: What a template may name; ``from`` is the image's own suffix, ``ext`` that of the result.
FIELDS = ("folder", "stem", "ext", "from", "model", "scale")


def label_of(framing: Framing, model_scale: int, isotropic: bool = False) -> str:
    """Return a size for file names, see `Framing.label`; of isotropic voxels "isotropic", "isotropic_x2"."""
    if not isotropic:
        return framing.label(model_scale)
    if framing == Framing():
        return "isotropic"
    return f"isotropic_{'x' if framing.scale is not None else ''}{framing.label(model_scale)}"


@dataclass(frozen=True)
class Job:
    """A file, where its result goes, and whether a search met the file, or the user named it."""

    source: Path | Url
    target: Path | Url
    searched: bool = False


def file_target(job: Job) -> Path:
    """Return the file that a result goes to.

    Raises
    ------
    ImageError
        If it is a store, which is filled block by block.
    """
    if isinstance(job.target, Url) or is_store(job.target):
        raise ImageError(f"{str(job.target)!r} is no file but a store, which esc_plugin.cluster fills block by block.")
    return job.target


def is_done(target: Path | Url) -> bool:
    """Whether a result is there, a store finished; what dead programs left beside it is removed, as by whoever makes one."""
    done = bool(read_provenance(target)) if isinstance(target, Url) or is_store(target) else target.exists()
    if done and isinstance(target, Path):
        sweep(target.parent)
    return done


def plan_jobs(
    images: Sequence[FoundImage],
    output: str | Path | None,
    model: str,
    label: str,
    suffix: str | None = None,
) -> list[Job]:
    """Say where the result of each image goes.

    Parameters
    ----------
    images
        See `batch.find.find_images`.
    output : str or Path, optional
        A file, a folder (one that exists, or a name without a suffix or with a slash at its end), or a template with fields
        in braces: folder, stem, ext, from, model, scale. By default beside the image, with the scale in the name.
    model, label : str
        Name of the model, and what `label_of` says of the size.
    suffix : str, optional
        Another format, such as ``".png"``.

    Raises
    ------
    ImageError
        If all images would go to one file, see `refusals` for some of them, or a file can't be written as its name says.
    """
    if suffix is not None and with_suffix(suffix) is None:
        raise ImageError(f"can't write {suffix!r} files; known are {', '.join(writable_suffixes())}.")
    pattern, folder = pattern_for(output, label)
    jobs = []
    for path, inside, searched in images:
        stem, kept = _stem_and_suffix(path, suffix)
        target = place_of(filled(pattern, path, stem, kept, model, label))
        _check_suffix(target, suffix)
        if folder is not None and isinstance(target, Path):
            target = folder / inside / target
        jobs.append(Job(path, target, searched))
    if len(jobs) > 1 and len({name_key(job.target) for job in jobs}) == 1:
        raise ImageError(
            f"several images would go to {str(jobs[0].target)!r}; name a folder, or a template with {{stem}} and {{from}}."
        )
    return jobs


def pattern_for(output: str | Path | None, label: str) -> tuple[str, Path | None]:
    """Return the template of results, and the folder that they go to if that is what was named; see `plan_jobs`."""
    default = "{stem}_x{scale}.{ext}" if label[:1].isdecimal() and "x" not in label else "{stem}_{scale}.{ext}"
    pattern, folder = str(output or ""), None
    if output is None:
        pattern = "{folder}/" + default
    elif "{" not in pattern and _is_folder(pattern):
        pattern, folder = default, Path(pattern)
    _check_pattern(pattern)
    return pattern, folder


def filled(pattern: str, path: Path | Url, stem: str, suffix: str, model: str, label: str) -> str:
    """Return the name of a result that a template stands for; see `plan_jobs`."""
    values = {"folder": str(path.parent), "stem": stem, "ext": suffix.lstrip("."), "from": path.suffix.lstrip(".")}
    values |= {"model": model, "scale": label}
    return pattern.format(**values) if "{" in pattern else pattern


def _stem_and_suffix(path: Path | Url, suffix: str | None) -> tuple[str, str]:
    """Return name and suffix of a result: its image's own, unless another format is asked for or that one isn't written."""
    kept = suffix or (path.suffix if written_as(path) else DEFAULT.suffixes[0])
    stem, inner = (with_suffix(kept) or DEFAULT).split_stem(path.stem)
    return stem, inner + kept


def _is_folder(output: str) -> bool:
    if not output:
        raise ImageError("the name of the output is empty.")
    ends = tuple(filter(None, (os.sep, os.altsep, "/")))
    if Path(output).suffix.lower() in ZARR.suffixes:  # which is a folder itself, so a shell completes it with a slash
        return False
    return output.endswith(ends) or os.path.isdir(output) or not Path(output).suffix  # noqa: PTH112


def _check_suffix(target: Path | Url, wanted: str | None) -> None:
    form = written_as(target)
    if isinstance(target, Url) and not is_store(target):
        raise ImageError(f"can't write {str(target)!r}; to an address, only {' and '.join(ZARR.suffixes)} can be written.")
    if form is None:
        known = ", ".join(writable_suffixes())
        raise ImageError(f"can't write {target.name!r}; what can be written is {known}, and a folder ends in a slash.")
    if wanted and form is not with_suffix(wanted):
        asked = wanted.lower().lstrip(".")
        raise ImageError(f"{target.name!r} is {form.name}, but {asked!r} was asked for; leave one of them out.")


def _check_pattern(pattern: str) -> None:
    try:
        parts = list(Formatter().parse(pattern))
    except ValueError as error:
        raise ImageError(f"can't understand the template {pattern!r}: {error}.") from None
    if unknown := {name for _, name, _, _ in parts if name is not None} - set(FIELDS):
        raise ImageError(f"the template {pattern!r} names {sorted(unknown)}; known are {', '.join(FIELDS)}.")
    if any(form or conversion for _, _, form, conversion in parts):
        raise ImageError(f"the template {pattern!r} may only name fields, such as {{stem}}, nothing with ':' or '!'.")
