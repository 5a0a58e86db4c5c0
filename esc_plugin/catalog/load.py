"""`load_model`: from what a user types to a network with weights."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..errors import HubError
from ..network import ESC
from ..progress import Cancel, Progress
from ..weights.model import Model, read_model
from . import hub
from .downloads import DOWNLOAD_AGAIN
from .fetch import fetch_local
from .hub_names import HubFile
from .lookup import resolve
from .manifest import CatalogEntry
from .menu import list_models
from .model_files import choose_weights, read_config
from .record import read_record


def load_model(
    source: str | Path,
    *,
    revision: str | None = None,
    offline: bool = False,
    window_size: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Model:
    """Load a model.

    Parameters
    ----------
    source : str or Path
        A name from the catalogue (`list_models`), the path of a ``.safetensors`` or ``.pth`` file or of a folder with one,
        or a model of the Hugging Face Hub: ``"org/repo"`` or ``"org/repo/file.safetensors"``, either with ``"@revision"``.
    revision : str, optional
        Of a Hub repository: a commit, tag or branch.
    offline : bool
        Use only what is on this machine.
    window_size : int, optional
        Of an ESC-RIB, in pixels, whose parameters don't tell it. By default what the catalogue, the file or its
        ``config.json`` states, or 64 with a warning.
    progress, cancel : callable, optional
        Of a download: ``progress(done, total)`` in bytes, and ``cancel() -> bool``.

    Returns
    -------
    Model
        With its network in evaluation mode, in float32 on the CPU.

    Raises
    ------
    CheckpointError
        If the file can't be used, or is not the one it should be.
    HubError
        If there is no such model, or it can't be downloaded; the text says what to do.
    Cancelled
        If `cancel` returned True.
    """
    found = resolve(source)
    if isinstance(found, Path):
        return (_from_folder if found.is_dir() else _from_file)(found, window_size)
    if isinstance(found, HubFile):
        found = found._replace(revision=revision or found.revision)
        return _from_hub(found, window_size, offline=offline, progress=progress, cancel=cancel)
    if revision and not found.hub:
        raise HubError(f"{str(source)!r} comes from no repository, so it has no revision {revision!r}; leave that out.")
    entry = replace(found, revision=revision, sha256="") if revision else found
    return load_entry(entry, window_size, offline=offline, progress=progress, cancel=cancel)


def known_card(network: ESC) -> dict[str, Any]:
    """Return what the catalogue knows of a network without a file, if its parameters are those of a bundled model."""
    own = network.state_dict()
    for entry in list_models():
        if entry.bundled:
            model = _bundled(entry.name)
            theirs = model.network.state_dict()
            if model.config == network.config and all(torch.equal(own[name].cpu(), theirs[name]) for name in theirs):
                return entry.card
    return {}


@lru_cache(maxsize=4)
def _bundled(name: str) -> Model:
    return load_model(name)


def load_entry(entry: CatalogEntry, window_size: int | None = None, **options: Any) -> Model:
    """Load a model on offer; `options` and errors are those of `fetch` and `load_model`."""
    local = fetch_local(entry, **options)
    return read_model(
        local.path,
        name=entry.name,
        source=entry.name,
        sha256=local.sha256,
        remedy=local.remedy,
        window_size=window_size or entry.window_size or None,
        card=entry.card,
    )


def _from_hub(wanted: HubFile, window_size: int | None, *, offline: bool, **options: Any) -> Model:
    path, commit = hub.download(*wanted, offline=offline, **options)
    file = wanted.file or path.as_posix().rpartition(f"/{commit}/")[2]
    return read_model(
        path,
        source=f"{wanted.repo}/{file}@{commit}",
        window_size=window_size,
        hint=lambda: hub.stated_config(wanted.repo, commit, offline=offline),
    )


def _from_folder(folder: Path, window_size: int | None) -> Model:
    """Open what `Model.save_pretrained` wrote, or a clone of a repository."""
    file = choose_weights([path.name for path in folder.iterdir() if path.is_file()], str(folder))
    return _from_file(folder / file, window_size, hint=lambda: read_config(folder / "config.json"))


def _from_file(path: Path, window_size: int | None, **options: Any) -> Model:
    """Open a file; if we downloaded it, it must still be what it was. One that the catalogue knows brings its card."""
    noted = read_record(path.parent).get(path.name, {})
    model = read_model(path, sha256=noted.get("sha256"), remedy=DOWNLOAD_AGAIN, window_size=window_size, **options)
    known = [model.sha256, noted.get("source_sha256")]
    entry = next((entry for entry in list_models() if entry.sha256 and entry.sha256 in known), None)
    return replace(model, card=model.card | entry.card) if entry else model
