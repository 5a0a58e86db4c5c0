"""Which files are films, and what is written as what. Imports neither torch nor PyAV."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import ImageError
from ..files.formats import readable_suffixes
from ..texts import suffix_of

#: Containers that are written, by suffix, with the names that FFmpeg has for them.
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
#: What a film becomes whose container isn't written: AVI knows neither times of frames nor frames out of order.
DEFAULT = ".mkv"
#: Suffixes of films.
SUFFIXES = (*CONTAINERS, ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".wmv", ".flv")
#: How films begin that have another suffix or none: ISO media, Matroska and WebM, AVI.
STARTS = re.compile(rb"....ftyp(?!avi[fs]|hei[cfx]|mif1|msf1)|\x1aE\xdf\xa3|RIFF....AVI ", re.DOTALL)


def is_film(path: str | Path) -> bool:
    """Tell whether a file is a film, by its suffix, or by its content where the suffix says nothing."""
    suffix = Path(path).suffix.lower()
    if suffix in SUFFIXES or suffix in readable_suffixes():
        return suffix in SUFFIXES
    try:
        with open(path, "rb") as file:
            return bool(STARTS.match(file.read(12)))
    except (OSError, ValueError):  # whoever opens it will say why
        return False


def container_of(target: Path) -> str:
    """Return FFmpeg's name of the container that a file's suffix stands for.

    Raises
    ------
    ImageError
        If none is written for it.
    """
    suffix = target.suffix.lower()
    if suffix not in CONTAINERS:
        raise ImageError(f"can't write a film to {target.name!r}; what can be written is {', '.join(CONTAINERS)}.")
    return CONTAINERS[suffix]


def suffix_for(source: Path, form: str | None = None) -> str:
    """Return the suffix of a result: the one asked for, or the film's own, or that of a container that holds it."""
    own = source.suffix.lower()
    return suffix_of(form) if form else own if own in CONTAINERS else DEFAULT
