"""What a name means, before anything is loaded or downloaded. Imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ..errors import CheckpointError, HubError
from .hub_names import HubFile, parse_source
from .manifest import SUFFIXES, CatalogEntry
from .menu import bundled_models, find_model, list_models


@dataclass(frozen=True)
class Known:
    """What is known about a model that isn't loaded yet: its name and its scale; empty and 0 where only the file tells."""

    name: str = ""
    scale: int = 0


def look_up(source: str) -> Known:
    """Return what is known about a model by its name alone.

    Raises
    ------
    CheckpointError, HubError
        If there is no such model, see `resolve`.
    """
    found = resolve(source)
    if isinstance(found, CatalogEntry):
        return Known(found.name, found.scale)
    return Known(found.stem) if isinstance(found, Path) and found.is_file() else Known()


def resolve(source: str | Path) -> Path | CatalogEntry | HubFile:
    """Return what a name means.

    Parameters
    ----------
    source : str or Path
        See `load_model`.

    Returns
    -------
    Path, CatalogEntry or HubFile
        A file or folder that is there, else a model on offer, else a file of the Hub. A model's exact name goes before a
        file of that name.

    Raises
    ------
    CheckpointError
        If there is no such file.
    HubError
        If there is no such model; the text names those that are alike.
    """
    if not isinstance(source, str | os.PathLike) or not str(source).strip():
        raise HubError(f"a model must be a name, a path or org/repo, such as 'esc-nano-x2', not {source!r}.")
    text = str(source)
    entry = find_model(text)
    if entry and entry.name == text:
        return entry
    if _is_there(Path(source)):
        return Path(source)
    if entry:
        return entry
    if isinstance(source, str) and (file := parse_source(text)):
        return file
    if Path(text).suffix.lower() in SUFFIXES:
        raise CheckpointError(f"there is no weights file {text!r}.")
    raise HubError(unknown_model(text))


def _is_there(path: Path) -> bool:
    try:
        return path.is_dir() or path.is_file()
    except (OSError, ValueError):  # what a user types may be no path at all
        return False


def unknown_model(text: str) -> str:
    """Say that there is no such model, and what is alike."""
    if text.startswith(("http://", "https://")):
        return f"{text!r} is an address; download the file and give its path, or name a Hub model as 'org/repo'."
    names = [entry.name for entry in list_models()]
    close = get_close_matches(text.lower(), names) or [entry.name for entry in bundled_models()]
    return f"there is no model {text!r}; did you mean {' or '.join(close[:3])}? `esc-sr models` lists them all."
