"""What the model menu offers, and how a choice becomes a network. It runs without ComfyUI."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from ..esc_plugin.catalog import hub
from ..esc_plugin.catalog.fetch import fetch
from ..esc_plugin.catalog.hub_names import parse_source
from ..esc_plugin.catalog.load import load_model
from ..esc_plugin.catalog.manifest import SUFFIXES, CatalogEntry
from ..esc_plugin.catalog.menu import list_models
from ..esc_plugin.disk import file_sha256
from ..esc_plugin.errors import CheckpointError, EscError, HubError
from ..esc_plugin.progress import Cancel, Progress
from ..esc_plugin.weights.model import Model, read_model

logger = logging.getLogger(__name__)


class ModelFolders(Protocol):
    """The folders in which a host keeps its users' models."""

    def files(self) -> list[str]:
        """Return the names of the files in all model folders, as users see them."""

    def path(self, name: str) -> str | None:
        """Return where a file is, or None if it is gone."""

    def folder(self) -> Path:
        """Return where downloads go."""


def model_choices(files: Iterable[str]) -> list[str]:
    """Return the menu: the models on offer, then the files that are there."""
    try:
        offered = [entry.name for entry in list_models()]
    except EscError as error:
        # The user's own list is damaged, which is no reason to go without nodes.
        logger.warning("the models on offer can't be listed: %s", error)
        offered = []
    return offered + [name for name in files if Path(name).suffix.lower() in SUFFIXES]


def load_choice(
    choice: str, hub_id: str, folders: ModelFolders, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> Model:
    """Load what the user chose; what isn't there yet is downloaded.

    Parameters
    ----------
    choice : str
        One of `model_choices`.
    hub_id : str
        Of the Hugging Face Hub, ``org/repo`` or ``org/repo/file``; if it isn't empty, it counts and `choice` doesn't.
    folders : ModelFolders
        Where the files of `model_choices` are, and downloads go.
    progress, cancel : callable, optional
        Of a download: told ``(done, total)`` in bytes, and asked whether to stop.

    Raises
    ------
    EscError
        If there is no such model, or it can't be had or used.
    Cancelled
        If `cancel` returned True.
    """
    if hub_id.strip():
        return _from_hub(hub_id.strip(), folders.folder(), progress, cancel)
    if entry := next((entry for entry in list_models() if entry.name == choice), None):
        return load_model(fetch(entry, folders.folder(), progress=progress, cancel=cancel))
    path = folders.path(choice)
    if path is None:
        raise EscError(
            f"there is no model {choice!r}; press R to read the model folders again, then choose one of the menu."
        )
    try:
        return load_model(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error} Models of other kinds open with ComfyUI's own Load Upscale Model.") from None


def _from_hub(hub_id: str, folder: Path, progress: Progress | None, cancel: Cancel | None) -> Model:
    """Load a model of the Hub, and keep its file as ``org/repo/file`` in a folder, where all other nodes find it too."""
    parts = parse_source(hub_id)
    if parts is None:
        raise HubError(f"{hub_id!r} names no model of the Hugging Face Hub; write org/repo or org/repo/file.safetensors.")
    path, commit = hub.download(*parts, progress=progress, cancel=cancel)
    file = path.as_posix().rpartition(f"/{commit}/")[2]
    own = folder / parts[0]
    if (older := own / path.name).is_file() and file_sha256(older) != file_sha256(path):
        older.unlink()
    kept = fetch(CatalogEntry(path.stem, 0, "", hub=parts[0], revision=commit, file=file), own)
    source = f"{parts[0]}/{file}@{commit}"
    return read_model(kept, name=path.stem, source=source, hint=lambda: hub.stated_config(parts[0], commit))
