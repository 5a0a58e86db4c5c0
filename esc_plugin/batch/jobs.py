"""How large the results of a batch shall be, and where they go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter

from ..arrays.sizes import fit_size, target_size
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
from .find import FoundImage

#: What a template may name; ``from`` is the image's own suffix, ``ext`` that of the result.
FIELDS = ("folder", "stem", "ext", "from", "model", "scale")


@dataclass(frozen=True)
class Wish:
    """The size that a user asks for; one of these, or nothing for the model's own scale.

    Attributes
    ----------
    scale : float, optional
        Factor.
    width, height : int, optional
        Of the result; one of them keeps the proportions, and so do both: then they are a box to fit in.
    isotropic : bool
        Whether a stack shall have so many planes that its voxels are as deep as they are wide. Without anything else, rows
        and columns stay what they are.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    isotropic: bool = False

    def __post_init__(self) -> None:
        """Raise an `ImageError` for a contradiction or an impossible size."""
        if self.scale is not None and (self.width, self.height) != (None, None):
            raise ImageError("ask for either a scale or a size, not both.")
        self.size(1, 1, 1)

    def size(self, height: int, width: int, model_scale: int) -> tuple[int, int]:
        """Return height and width of the result for an image of `height` x `width`."""
        if self.width is self.height is None:
            usual = 1 if self.isotropic else model_scale
            return target_size(height, width, usual if self.scale is None else self.scale)
        return fit_size(height, width, self.height, self.width)

    def label(self, model_scale: int) -> str:
        """Return the wish for file names: "2", "2.7", "3840x2160", "w3000", "h2000", "isotropic", "isotropic_x2"."""
        if self.isotropic:
            lateral = replace(self, isotropic=False)
            if lateral == Wish():
                return "isotropic"
            label = lateral.label(model_scale)
            return f"isotropic_x{label}" if self.scale is not None else f"isotropic_{label}"
        if self.width and self.height:
            return f"{self.width}x{self.height}"
        if self.width or self.height:
            return f"w{self.width}" if self.width else f"h{self.height}"
        return f"{model_scale if self.scale is None else self.scale:g}"


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


def is_there(target: Path | Url) -> bool:
    """Whether a result is there; a store must be finished for that."""
    return bool(read_provenance(target)) if isinstance(target, Url) or is_store(target) else target.exists()


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
        Name of the model, and `Wish.label`.
    suffix : str, optional
        Another format, such as ``".png"``.

    Raises
    ------
    ImageError
        If all images would go to one file, see `refusals` for some of them, or a file can't be written as its name says.
    """
    if suffix is not None and with_suffix(suffix) is None:
        raise ImageError(f"can't write {suffix!r} files; known are {', '.join(writable_suffixes())}.")
    default = "{stem}_x{scale}.{ext}" if label[:1].isdigit() and "x" not in label else "{stem}_{scale}.{ext}"
    pattern, folder = str(output or ""), None
    if output is None:
        pattern = "{folder}/" + default
    elif "{" not in pattern and _is_folder(pattern):
        pattern, folder = default, Path(pattern)
    _check_pattern(pattern)
    jobs = []
    for path, inside, searched in images:
        stem, kept = _stem_and_suffix(path, suffix)
        values = {"folder": str(path.parent), "stem": stem, "ext": kept.lstrip("."), "from": path.suffix.lstrip(".")}
        values |= {"model": model, "scale": label}
        target = place_of(pattern.format(**values) if "{" in pattern else pattern)
        _check_suffix(target, suffix)
        if folder is not None and isinstance(target, Path):
            target = folder / inside / target
        jobs.append(Job(path, target, searched))
    if len(jobs) > 1 and len({name_key(job.target) for job in jobs}) == 1:
        raise ImageError(
            f"several images would go to {str(jobs[0].target)!r}; name a folder, or a template with {{stem}} and {{from}}."
        )
    return jobs


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
