"""The models on offer: ours from ``manifest.yaml``, and the user's from the models folder. Imports no torch."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from ..disk import user_folder
from ..weights.card import from_metadata, read_metadata, stated_config
from .gains import stated_gains
from .manifest import MANIFEST, SCALES, CatalogEntry, Manifest, read_manifest
from .model_files import models_in
from .purposes import KEYS, akin
from .traits import DefaultRule


def list_models() -> list[CatalogEntry]:
    """Return the models on offer: those of our manifest, of the user's in the models folder, and the other models there.

    An entry of the user's replaces ours of the same name. Other models are weights files, and folders with one, which tell
    by their metadata what they are for.

    Raises
    ------
    EscError
        If a manifest is damaged; the text names the file, the entry and the field.
    """
    folder = models_folder()
    ours, own = _manifests()
    entries = {entry.name: entry for entry in (*ours.models, *own.models)}
    known = {Path(name).stem.lower() for entry in entries.values() for name in (entry.file, entry.path, entry.name) if name}
    entries |= {name: describe_file(name, path) for name, path in models_in(folder).items() if name.lower() not in known}
    return list(entries.values())


def bundled_models(purpose: str = "") -> list[CatalogEntry]:
    """Return the models that come with the package, all or those made for a kind of images, see `purposes.akin`."""
    return [entry for entry in list_models() if entry.bundled and (not purpose or akin(entry.purpose, purpose))]


def default_rules() -> list[DefaultRule]:
    """Return which models are taken where none is named; the user's rules, in the models folder, come before ours.

    Raises
    ------
    EscError
        See `list_models`.
    """
    ours, own = _manifests()
    return [*own.defaults, *ours.defaults]


def find_model(name: str) -> CatalogEntry | None:
    """Return the entry of that name, or whose file has that name with or without suffix; None if there is none."""
    if not name:  # which is the file's name of entries that have none
        return None
    entries = list_models()
    wanted = name.lower()
    for same in (
        lambda entry: entry.name == name,
        lambda entry: entry.name.lower() == wanted,
        lambda entry: wanted in (entry.file.lower(), Path(entry.file).stem.lower()) and "/" not in name,
    ):
        if found := next((entry for entry in entries if same(entry)), None):
            return found
    return None


def models_folder() -> Path:
    """Return the folder of downloaded and user-supplied models: ``ESC_MODELS_DIR``, or one in the user's data folder."""
    from platformdirs import user_data_path

    return user_folder("ESC_MODELS_DIR", user_data_path, "models")


def bundled_path(entry: CatalogEntry) -> Path:
    """Return where a bundled file lies."""
    return Path(str(files(__package__) / "bundled" / entry.bundled))


def describe_file(name: str, path: Path) -> CatalogEntry:
    """Return what a weights file says about itself, under a name.

    Raises
    ------
    OSError
        If it can't be looked at.
    """
    about = path.stat()
    return _stated(name, path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=1024)
def _stated(name: str, path: Path, changed: int, size: int) -> CatalogEntry:
    """Make an entry of what a file says about itself, read once as long as it doesn't change."""
    metadata = read_metadata(path) if path.suffix.lower() == ".safetensors" else {}
    card, scale = from_metadata(metadata), stated_config(metadata).get("scale")
    texts = {field: card[field] for field in ("family", "detail", "license", "license_note", "training") if field in card}
    return CatalogEntry(
        name,
        scale if type(scale) is int and scale in SCALES else 0,
        purpose if (purpose := card.get("purpose")) in KEYS else "",
        summary="A file in the models folder.",
        path=str(path),
        gains=tuple(stated_gains(card)),
        **texts,
    )


def _manifests() -> tuple[Manifest, Manifest]:
    """Return our manifest, and the user's, which may be empty."""
    own = models_folder() / MANIFEST
    return read_manifest(_our_manifest()), read_manifest(own) if own.is_file() else Manifest([], [])


def _our_manifest() -> Path:
    package = Path(str(files(__package__.rpartition(".")[0])))
    # In a clone or an editable install the manifest lies at the top, where people see it.
    return package / MANIFEST if (package / MANIFEST).is_file() else package.parent / MANIFEST
