"""Which files are meant, how large their results shall be, and where they go."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import NamedTuple

from ..disk import name_key
from ..errors import ImageError
from ..sizes import fit_size, target_size
from . import FORMATS, SUFFIXES

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
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        """Raise an `ImageError` for a contradiction or an impossible size."""
        if self.scale is not None and (self.width, self.height) != (None, None):
            raise ImageError("ask for either a scale or a size, not both.")
        self.size(1, 1, 1)

    def size(self, height: int, width: int, model_scale: int) -> tuple[int, int]:
        """Return height and width of the result for an image of `height` x `width`."""
        if self.width is self.height is None:
            return target_size(height, width, model_scale if self.scale is None else self.scale)
        return fit_size(height, width, self.height, self.width)

    def label(self, model_scale: int) -> str:
        """Return the wish for file names: "2", "2.7", "3840x2160", "w3000", "h2000"."""
        if self.width and self.height:
            return f"{self.width}x{self.height}"
        if self.width or self.height:
            return f"w{self.width}" if self.width else f"h{self.height}"
        return f"{model_scale if self.scale is None else self.scale:g}"


@dataclass(frozen=True)
class Job:
    """A file, where its result goes, and whether a search met the file, or the user named it."""

    source: Path
    target: Path
    searched: bool = False


class Found(NamedTuple):
    """An image: where it is, its folder relative to the folder that was named, and whether a search met it."""

    path: Path
    inside: Path = Path()
    searched: bool = False


def find_images(named: Sequence[str | Path], recursive: bool = False) -> list[Found]:
    """Expand folders and patterns.

    Raises
    ------
    ImageError
        If something named isn't there, or holds no images.
    """
    found: dict[Path, Found] = {}
    for name in named:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.glob("**/*" if recursive else "*") if _is_image(p))
            if not inside:
                raise ImageError(f"there are no images in {str(name)!r}.")
            for p in inside:
                found.setdefault(p, Found(p, p.parent.relative_to(path), searched=True))
        elif path.exists() or not glob.has_magic(str(name)):
            # A file that isn't there is its own error later, so that it doesn't stop the others.
            found[path] = Found(path)
        else:
            names = glob.glob(str(name), recursive=True)  # noqa: PTH207  # Path.glob takes no absolute patterns
            matches = sorted(p for p in map(Path, names) if p.is_file())
            if not matches:
                raise ImageError(f"nothing matches {str(name)!r}.")
            for p in matches:
                found.setdefault(p, Found(p, searched=True))
    return list(found.values())


def _is_image(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def plan_jobs(
    images: Sequence[Found],
    output: Path | None,
    model: str,
    label: str,
    suffix: str | None = None,
) -> list[Job]:
    """Say where the result of each image goes.

    Parameters
    ----------
    images
        See `find_images`.
    output : Path, optional
        A file, a folder (that exists, or has no image suffix), or a template with fields in braces: folder, stem, ext,
        model, scale. By default beside the image, with the scale in the name.
    model, label : str
        Name of the model, and `Wish.label`.
    suffix : str, optional
        Another format, such as ``".png"``.

    Raises
    ------
    ImageError
        If all images would go to one file; see `refusals` for some of them.
    """
    if suffix is not None and suffix.lower() not in FORMATS:
        raise ImageError(f"can't write {suffix!r} files; known are {', '.join(FORMATS)}.")
    default = "{stem}_x{scale}.{ext}" if label[:1].isdigit() and "x" not in label else "{stem}_{scale}.{ext}"
    pattern, folder = str(output or ""), None
    if output is None:
        pattern = "{folder}/" + default
    elif "{" not in pattern and (output.is_dir() or output.suffix.lower() not in FORMATS):
        pattern, folder = default, output
    _check_pattern(pattern)
    jobs = []
    for path, inside, searched in images:
        kept = suffix or (path.suffix if path.suffix.lower() in FORMATS else ".png")
        stem = path.stem
        if stem.lower().endswith(".ome") and kept.lower() in (".tif", ".tiff"):  # the convention for OME's TIFF
            stem, kept = stem[:-4], stem[-4:] + kept
        values = {"folder": str(path.parent), "stem": stem, "ext": kept.lstrip("."), "from": path.suffix.lstrip(".")}
        values |= {"model": model, "scale": label}
        target = Path(pattern.format(**values)) if "{" in pattern else Path(pattern)
        jobs.append(Job(path, folder / inside / target if folder is not None else target, searched))
    if len(jobs) > 1 and len({name_key(job.target) for job in jobs}) == 1:
        raise ImageError(
            f"several images would go to {str(jobs[0].target)!r}; name a folder, or a template with {{stem}} and {{from}}."
        )
    return jobs


def _check_pattern(pattern: str) -> None:
    try:
        used = {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}
    except ValueError as error:
        raise ImageError(f"can't understand the template {pattern!r}: {error}.") from None
    if unknown := used - set(FIELDS):
        raise ImageError(f"the template {pattern!r} names {sorted(unknown)}; known are {', '.join(FIELDS)}.")
