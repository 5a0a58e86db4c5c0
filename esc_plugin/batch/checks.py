"""What can be said before torch is there: of a source, a target, and options. Each check raises or does nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..arrays.layout import layout_of
from ..arrays.levels import measure_levels
from ..errors import ImageError
from ..files import read_picture
from ..files.address import Url
from ..files.formats import recognised, suffixes_where, unlike_any, written_as
from ..texts import check_path
from .jobs import Job


def check_exact(jobs: Sequence[Job]) -> None:
    """Raise an `ImageError` if the averages that a result shall keep would be lost by its file's compression."""
    for job in jobs:
        form = written_as(job.target)
        if form and not form.exact:
            exact = " or ".join(suffixes_where(lambda form: form.exact)).replace(".", "")
            raise ImageError(
                f"{form.name} would lose the averages that consistency keeps; write {exact}, not {job.target.name!r}."
            )


def check_source(path: Path | Url) -> None:
    """Raise an `ImageError` unless there is a file that starts like an image; nothing is decoded.

    Of Zarr, which may be behind an address, it is looked at what it says of itself.
    """
    try:
        if isinstance(path, Path):
            check_path(path)
        if isinstance(path, Url) or path.is_dir():
            read_picture(path, lazy=True)
            return
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError(f"{str(path)!r} is no file.")
        found = recognised(path)
    except FileNotFoundError:
        raise ImageError(f"there is no file {str(path)!r}.") from None
    except OSError as error:
        raise ImageError(f"can't read {str(path)!r}: {error.strerror or error}.") from None
    if found is None:
        raise ImageError(unlike_any(path))


def check_place(path: Path | Url) -> None:
    """Raise an `ImageError` unless a file of that name could be made: its folder is there, or can be made."""
    if isinstance(path, Url):  # what is behind it can be told only by writing
        return
    check_path(path)
    folder = next(parent for parent in (*path.parents, Path()) if parent.exists())
    if not folder.is_dir():
        raise ImageError(f"can't write {str(path)!r}: {str(folder)!r} is no folder.")
    if not os.access(folder, os.W_OK):
        raise ImageError(f"can't write {str(path)!r}: may not write into the folder {str(folder)!r}.")


def check_intensity(intensity: str | list[tuple[float, float]]) -> None:
    """Raise an `ImageError` for what no image could have, by asking it of one, (C, 1, 1), with a pixel for each pair."""
    pixels = np.zeros((1 if isinstance(intensity, str) else len(intensity), 1, 1), np.uint16)
    measure_levels(pixels, layout_of(pixels, "CYX"), intensity)
