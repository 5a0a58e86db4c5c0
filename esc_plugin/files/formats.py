"""The table of formats: a line for each, and questions about all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .address import MARKERS, Url, is_zarr
from .avif import AVIF
from .format import HEAD_BYTES, Format
from .jpeg import JPEG
from .png import PNG
from .stills import BMP, GIF, PPM
from .tiff import TIFF
from .webp import WEBP
from .zarr_format import ZARR

#: A new format is a file with a `Format`, and a place in this list.
FORMATS: list[Format] = [PNG, JPEG, WEBP, AVIF, TIFF, BMP, GIF, PPM, ZARR]
#: What an image becomes whose own format is only read.
DEFAULT = PNG


def readable_suffixes() -> list[str]:
    """Return what is looked for in folders. Files that are named are read by their content, whatever they are called."""
    return [suffix for form in FORMATS for suffix in form.suffixes]


def writable_suffixes() -> list[str]:
    """Return the suffixes that a result can have."""
    return suffixes_where(lambda form: True, every=True)


def suffixes_where(test: Callable[[Format], bool], every: bool = False) -> list[str]:
    """Return the usual suffix, or every one, of each format that is written and passes a test."""
    found = [form for form in FORMATS if (form.write or form.store) and test(form)]
    return [suffix for form in found for suffix in (form.suffixes if every else form.suffixes[:1])]


def written_as(path: Path | Url) -> Format | None:
    """Return the format that a file's name asks for; ``None`` if none is written to such a file."""
    return with_suffix(path.suffix)


def with_suffix(suffix: str) -> Format | None:
    """Return the format that is written to files with a suffix, such as ``".png"``; ``None`` if none is."""
    return next((form for form in FORMATS if (form.write or form.store) and suffix.lower() in form.suffixes), None)


def is_store(place: Path | Url) -> bool:
    """Whether a result of that name is filled block by block, and can be gone on with."""
    form = written_as(place)
    return form is not None and form.store


def recognised(path: Path | Url) -> Format | None:
    """Return the format that a file starts like, whatever it is called; ``None`` if it starts like none.

    A folder may be Zarr, and so must be what lies behind an address.

    Raises
    ------
    OSError
        If it can't be opened.
    """
    if isinstance(path, Url) or path.is_dir():
        return ZARR if is_zarr(path) else None
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return next((form for form in FORMATS if form.starts.match(head)), None)


def unlike_any(path: Path) -> str:
    """Return the line that tells a user why a file or a folder is no image: what it starts like, or that it is like none."""
    if path.is_dir():
        return f"{str(path)!r} is no file, and no Zarr folder either: it holds none of {', '.join(MARKERS)}."
    if form := recognised(path):
        return f"{str(path)!r} is no image that can be read: it starts like {form.name}, but is damaged."
    names = ", ".join(form.name for form in FORMATS)
    return f"{str(path)!r} is no image that can be read: it starts like none of {names}."
