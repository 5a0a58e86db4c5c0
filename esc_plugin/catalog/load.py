"""`load_model`: from what a user types to a network with weights."""

from __future__ import annotations

import json
import os
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
from .downloads import AGAIN, read_record
from .fetch import fetch_local
from .lookup import kind_of, unknown
from .menu import SUFFIXES, CatalogEntry, find_model, list_models


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
    if not isinstance(source, str | os.PathLike) or not str(source).strip():
        raise HubError(f"a model must be a name, a path or org/repo, such as 'esc-nano-x2', not {source!r}.")
    text = str(source)
    entry = find_model(text)
    kind = None if entry and entry.name == text else kind_of(Path(source))
    if kind == "folder":
        return _from_folder(Path(source), window_size)
    if kind == "file":
        return _from_file(Path(source), window_size)
    if entry:
        if revision and not entry.hub:
            raise HubError(f"{text!r} comes from no repository, so it has no revision {revision!r}; leave that out.")
        entry = replace(entry, revision=revision, sha256="") if revision else entry
        return _from_catalog(entry, window_size, offline=offline, progress=progress, cancel=cancel)
    if isinstance(source, str) and (parts := hub.parse_source(text)):
        return _from_hub(*parts[:2], revision or parts[2], window_size, offline=offline, progress=progress, cancel=cancel)
    if Path(text).suffix.lower() in SUFFIXES:
        return read_model(source)  # which says that there is no such file
    raise HubError(unknown(text))


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


def _from_catalog(entry: CatalogEntry, window_size: int | None, **options: Any) -> Model:
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


def _from_hub(repo: str, file: str, revision: str | None, window_size: int | None, **options: Any) -> Model:
    path, commit = hub.download(repo, file, revision, **options)
    return read_model(
        path,
        source=f"{repo}/{file or path.as_posix().rpartition(f'/{commit}/')[2]}@{commit}",
        window_size=window_size,
        hint=lambda: hub.stated_config(repo, commit, offline=options["offline"]),
    )


def _from_folder(folder: Path, window_size: int | None) -> Model:
    """Open what `Model.save_pretrained` wrote, or a clone of a repository."""
    file = hub.choose_weights([path.name for path in folder.iterdir() if path.is_file()], str(folder))

    def stated() -> dict[str, Any]:
        try:
            content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    return _from_file(folder / file, window_size, hint=stated)


def _from_file(path: Path, window_size: int | None, **options: Any) -> Model:
    """Open a file; if we downloaded it, it must still be what it was. One that the catalogue knows brings its card."""
    noted = read_record(path.parent).get(path.name, {})
    model = read_model(path, sha256=noted.get("sha256"), remedy=AGAIN, window_size=window_size, **options)
    known = [model.sha256, noted.get("source_sha256")]
    entry = next((entry for entry in list_models() if entry.sha256 and entry.sha256 in known), None)
    return replace(model, card=model.card | entry.card) if entry else model
