"""What a name means, before anything is loaded or downloaded. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ..errors import CheckpointError, HubError
from . import hub
from .menu import SUFFIXES, find_model, list_models


@dataclass(frozen=True)
class Known:
    """What is known about a model that isn't loaded yet: its name and its scale; empty and 0 where only the file tells."""

    name: str = ""
    scale: int = 0


def look_up(source: str) -> Known:
    """Check that a name means a model, as `load_model` would.

    Parameters
    ----------
    source : str
        See `load_model`.

    Raises
    ------
    CheckpointError
        If there is no such file.
    HubError
        If there is no such model; the text names those that are alike.
    """
    if not source:
        raise HubError("the name of a model is empty.")
    entry = find_model(source)
    kind = None if entry and entry.name == source else kind_of(Path(source))
    if kind == "file":
        return Known(Path(source).stem)
    if kind == "folder":
        return Known()
    if entry:
        return Known(entry.name, entry.scale)
    if hub.parse_source(source):
        return Known()
    if Path(source).suffix.lower() in SUFFIXES:
        raise CheckpointError(f"there is no weights file {source!r}.")
    raise HubError(unknown(source))


def kind_of(path: Path) -> str | None:
    """Return "folder" or "file"; None where there is neither."""
    try:
        return "folder" if path.is_dir() else "file" if path.is_file() else None
    except (OSError, ValueError):  # what a user types may be no path at all
        return None


def unknown(text: str) -> str:
    """Say that there is no such model, and what is alike."""
    if text.startswith(("http://", "https://")):
        return f"{text!r} is an address; download the file and give its path, or name a Hub model as 'org/repo'."
    names = [entry.name for entry in list_models()]
    close = get_close_matches(text.lower(), names) or [entry.name for entry in list_models() if entry.bundled]
    return f"there is no model {text!r}; did you mean {' or '.join(close[:3])}? `esc-sr models` lists them all."
