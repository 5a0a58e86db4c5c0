"""What the model menu offers and how a choice becomes a network: testable without ComfyUI."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from ..esc_plugin.errors import EscError
from ..esc_plugin.weights.catalog import find_model, list_models
from ..esc_plugin.weights.load import load_model
from ..esc_plugin.weights.model import Model, read_model

#: Files that may hold an ESC network.
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".sft")


class Shelf(Protocol):
    """Where the host keeps its users' model files."""

    def files(self) -> list[str]:
        """Return the names of the files in all model folders, as users see them."""

    def path(self, name: str) -> str | None:
        """Return where a file is, or None if it is gone."""


def choices(files: Iterable[str]) -> list[str]:
    """Return the menu: the models on offer, then the files that are there."""
    offered = [entry.name for entry in list_models()]
    return offered + [name for name in files if Path(name).suffix.lower() in SUFFIXES]


def load(choice: str, hub_id: str, shelf: Shelf) -> Model:
    """Load what the user chose.

    Parameters
    ----------
    choice : str
        One of `choices`.
    hub_id : str
        Of the Hugging Face Hub, ``org/repo`` or ``org/repo/file``; if it isn't empty, it counts and `choice` doesn't.

    Raises
    ------
    EscError
        If there is no such model, or it can't be used.
    """
    if hub_id.strip():
        return load_model(hub_id.strip())
    if find_model(choice):
        return load_model(choice)
    path = shelf.path(choice)
    if path is None:
        raise EscError(
            f"there is no model {choice!r}; press R to read the model folders again, then choose one of the menu."
        )
    return read_model(path)
