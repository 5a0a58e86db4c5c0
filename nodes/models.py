"""What the model menu offers, and how a choice becomes a network. It runs without ComfyUI."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ..esc_plugin.catalog import hub
from ..esc_plugin.catalog.by_default import default_model
from ..esc_plugin.catalog.by_purpose import is_here
from ..esc_plugin.catalog.cards import card_lines, menu_label
from ..esc_plugin.catalog.downloads import converted, find_local, known_sha256
from ..esc_plugin.catalog.fetch import fetch
from ..esc_plugin.catalog.hub_errors import UnreachableError
from ..esc_plugin.catalog.hub_names import parse_source
from ..esc_plugin.catalog.load import load_entry, load_model
from ..esc_plugin.catalog.manifest import SUFFIXES, CatalogEntry
from ..esc_plugin.catalog.menu import describe_file, list_models
from ..esc_plugin.catalog.purposes import KEYS
from ..esc_plugin.catalog.traits import PHOTO
from ..esc_plugin.disk import file_sha256
from ..esc_plugin.errors import EscError, HubError, OtherNetworkError
from ..esc_plugin.progress import Cancel, Progress
from ..esc_plugin.texts import quoted
from ..esc_plugin.weights.glance import may_be_esc
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


def model_menu(folders: ModelFolders) -> dict[str, str]:
    """Return the menu: for each model its value, which workflows keep and which never changes, and what is shown of it.

    Those whose file was seen come first, by what they are for: for photos as they are, which images here are taken for, and
    then for others, the bundled ones before others; then those that may not be there. Files are listed if they may be ESC
    networks, and once, also if they are a download of a model on offer.
    """
    first = ""
    try:
        first = default_model(PHOTO).entry.purpose
        labelled, local = _offered(folders)
    except EscError as error:
        # The user's own list, or the record of downloads, is damaged, which is no reason to go without nodes.
        logger.warning("the models on offer can't be listed: %s", error)
        labelled, local = [], set()
    labelled += [(entry, menu_label(entry, here=True)) for entry in _own_files(folders, local)]
    labelled.sort(key=lambda pair: _place(pair[0], first))
    return {entry.name: label for entry, label in labelled}


def _place(entry: CatalogEntry, first: str) -> tuple[bool, bool, int, bool]:
    return not entry.confirmed, entry.purpose != first, (*KEYS, "").index(entry.purpose), not entry.bundled


def _offered(folders: ModelFolders) -> tuple[list[tuple[CatalogEntry, str]], set[Path]]:
    """Return the models on offer with their labels, and their files as far as they are here."""
    entries = [entry for entry in list_models() if not entry.path or may_be_esc(Path(entry.path))]
    homes = [_home(entry, folders) for entry in entries]
    local = [find_local(entry, home, by_hash=False) for entry, home in zip(entries, homes, strict=True)]
    places = zip(entries, homes, local, strict=True)
    labels = [menu_label(entry, bool(file) or is_here(entry, home)) for entry, home, file in places]
    files = {file.path for file in local if file} | {copy for entry in entries for copy in _copies(entry, folders)}
    return list(zip(entries, labels, strict=True)), {file.resolve() for file in files}


def _copies(entry: CatalogEntry, folders: ModelFolders) -> list[Path]:
    """Return what a bundled model's file was copied to, for other nodes say."""
    path = Path(folders.path(entry.bundled) or "") if entry.bundled else Path()
    return [path] if path.is_file() and known_sha256(path) == entry.sha256 else []


def _own_files(folders: ModelFolders, listed: set[Path]) -> list[CatalogEntry]:
    """Return the files that may be ESC networks, each once; `listed` are those that stand in the menu already."""
    found: dict[Path, CatalogEntry] = {}
    for name in folders.files():
        path = Path(folders.path(name) or "")
        if path.suffix.lower() in SUFFIXES and may_be_esc(path) and path.resolve() not in listed:
            with suppress(OSError):  # it is gone meanwhile
                found.setdefault(path.resolve(), describe_file(name, path))
    return list(found.values())


def _home(entry: CatalogEntry, folders: ModelFolders) -> Path:
    """Return the folder that has the file of a model on offer, or the one that it would be downloaded into."""
    file = Path(Path(entry.file).name)
    names = (str(file), str(converted(entry, Path()))) if entry.file else ()
    found = next(filter(None, map(folders.path, names)), None)
    return Path(found).parent if found else folders.folder()


def find_choice(choice: str, folders: ModelFolders) -> CatalogEntry | Path:
    """Return what a choice of the menu, of this computer or another, means: a model on offer, or a file.

    Raises
    ------
    EscError
        If there is no such model.
    """
    if entry := next((entry for entry in list_models() if entry.name == choice), None):
        return entry
    if isinstance(choice, str) and (path := folders.path(choice)):  # prompts may hold anything
        return Path(path)
    raise EscError(
        f"there is no model {quoted(choice)}; press R to read the model folders again, then choose one of the menu."
    )


def fingerprint(choice: str | None, hub_id: str | None, folders: ModelFolders) -> str:
    """Return what changes when a choice means other weights; a model on offer that gets its download stays the same.

    A model of the Hub is what it was: it would have to be asked. `choice` is None where another node makes it.
    """
    if choice is None or (hub_id or "").strip():
        return f"{choice} {hub_id}"
    try:
        found = find_choice(choice, folders)
        if isinstance(found, CatalogEntry):
            local = find_local(found, _home(found, folders), by_hash=False)
            if local is None or (local.sha256 and known_sha256(local.path) == local.sha256):
                return choice
            found = local.path
        about = found.stat()
    except (EscError, OSError) as error:  # which running the node will tell
        return str(error)
    return f"{found} {about.st_mtime_ns} {about.st_size}"


def load_choice(
    choice: str, hub_id: str, folders: ModelFolders, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> Model:
    """Load what the user chose; what isn't there yet is downloaded.

    Parameters
    ----------
    choice : str
        A value of `model_menu`; also those that it leaves out.
    hub_id : str
        Of the Hugging Face Hub, ``org/repo`` or ``org/repo/file``; if it isn't empty, it counts and `choice` doesn't.
    folders : ModelFolders
        Where the files of `model_menu` are, and downloads go.
    progress, cancel : callable, optional
        Of a download: told ``(done, total)`` in bytes, and asked whether to stop.

    Raises
    ------
    EscError
        If there is no such model, or it can't be had or used.
    Cancelled
        If `cancel` returned True.
    """
    model = _load(choice, hub_id.strip(), folders, progress, cancel)
    logger.info("%s, sha256 %s, from %s. %s", model.name, model.sha256[:12], model.source, " ".join(card_lines(model.card)))
    return model


def _load(choice: str, hub_id: str, folders: ModelFolders, progress: Progress | None, cancel: Cancel | None) -> Model:
    if hub_id:
        return _from_hub(hub_id, folders.folder(), progress, cancel)
    found = find_choice(choice, folders)
    if isinstance(found, CatalogEntry):
        return load_entry(found, folder=_home(found, folders), progress=progress, cancel=cancel)
    try:
        return load_model(found)
    except OtherNetworkError as error:
        raise OtherNetworkError(f"{error} Models of other kinds open with ComfyUI's own Load Upscale Model.") from None


def _from_hub(hub_id: str, folder: Path, progress: Progress | None, cancel: Cancel | None) -> Model:
    """Load a model of the Hub, and keep its file as ``org/repo/file`` in a folder, where all other nodes find it too."""
    parts = parse_source(hub_id)
    if parts is None:
        raise HubError(
            f"{quoted(hub_id)} names no model of the Hugging Face Hub; write org/repo or org/repo/file.safetensors."
        )
    try:
        path, commit = hub.download(*parts, progress=progress, cancel=cancel)
    except UnreachableError as error:
        raise HubError(f"{error} A file that you put into {str(folder)!r} stands in the menu.") from None
    file = path.as_posix().rpartition(f"/{commit}/")[2]
    own = folder / parts[0]
    if (older := own / path.name).is_file() and file_sha256(older) != file_sha256(path):
        older.unlink()
    kept = fetch(CatalogEntry(path.stem, 0, "", hub=parts[0], revision=commit, file=file), own)
    source = f"{parts[0]}/{file}@{commit}"
    return read_model(kept, name=path.stem, source=source, hint=lambda: hub.stated_config(parts[0], commit))
