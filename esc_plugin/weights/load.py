"""`load_model`: from what a user types to a network with weights."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from ..errors import HubError
from .catalog import find_model, list_models
from .model import Model, read_model


def load_model(source: str | Path, *, revision: str | None = None, offline: bool = False) -> Model:
    """Load a model.

    Parameters
    ----------
    source : str or Path
        A name from the catalogue (`list_models`) or a path to a ``.safetensors`` or ``.pth`` file.

    Raises
    ------
    CheckpointError
        If the file can't be used.
    HubError
        If there is no such model.
    """
    entry = find_model(str(source))
    if entry:
        card = {"license": entry.license, "purpose": entry.purpose, "training": entry.training, "figures": entry.figures}
        return read_model(entry.path(), name=entry.name, source=entry.name, sha256=entry.sha256 or None, card=card)
    if Path(source).suffix in (".safetensors", ".pth", ".pt", ".ckpt") or Path(source).exists():
        return read_model(source)
    names = [entry.name for entry in list_models()]
    close = get_close_matches(str(source), names) or names
    raise HubError(f"there is no model {str(source)!r}; did you mean {' or '.join(close[:3])}?")
