"""The models folder: which files are there, and what each of them must be. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..disk import file_sha256
from ..weights.limits import MAX_BYTES
from .manifest import CatalogEntry
from .menu import bundled_path, models_folder
from .model_files import weights_in
from .record import read_record

#: What to do about a download that is not what it was.
DOWNLOAD_AGAIN = "Delete it; then it is downloaded again."


@dataclass(frozen=True)
class LocalFile:
    """A model's file on this machine.

    Attributes
    ----------
    path : Path
        Where it is.
    sha256 : str
        What it must have, or empty where nobody knows.
    remedy : str
        What to do if it has another.
    """

    path: Path
    sha256: str = ""
    remedy: str = ""


def find_local(entry: CatalogEntry, folder: Path | None = None, *, by_hash: bool = True) -> LocalFile | None:
    """Return the file of an entry as far as it is on this machine, outside the Hub's cache.

    Parameters
    ----------
    folder : Path, optional
        Where to look before the models folder.
    by_hash : bool
        Whether to look for the file under other names, which reads all files there.
    """
    if entry.bundled:
        return LocalFile(bundled_path(entry), entry.sha256, "Install the package again.")
    if entry.path:
        own = LocalFile(Path(entry.path), entry.sha256, "Correct the manifest or the file.")
        return own if own.path.is_file() else None
    for place in dict.fromkeys([folder or models_folder(), models_folder()]):
        if found := _in_folder(entry, place, by_hash):
            return found
    return None


def _in_folder(entry: CatalogEntry, folder: Path, by_hash: bool) -> LocalFile | None:
    """Look for the copy that we keep, then for the file itself, then for its hash under any name."""
    for path in dict.fromkeys([hub_copy(entry, folder), converted(entry, folder), folder / Path(entry.file).name]):
        if path.is_file():
            noted = read_record(folder).get(path.name, {})
            if entry.hub and noted.get("url", hub_address(entry)) != hub_address(entry):
                continue  # many repositories have a file of that name
            return LocalFile(path, _expected(entry, path, noted), DOWNLOAD_AGAIN)
    if entry.sha256 and by_hash:
        for path in weights_in(folder):
            if path.stat().st_size < MAX_BYTES and known_sha256(path) == entry.sha256:
                return LocalFile(path, entry.sha256, DOWNLOAD_AGAIN)
    return None


def _expected(entry: CatalogEntry, path: Path, noted: dict[str, str]) -> str:
    """Return the sha256 that an entry's file must have by the catalogue and by what was noted, or nothing."""
    if entry.sha256 and noted.get("source_sha256", entry.sha256) != entry.sha256:
        return entry.sha256  # it was made of another file than the catalogue's, so that it can't be right
    is_original = path.name == Path(entry.file).name and "source_sha256" not in noted  # not one that we converted
    return (entry.sha256 if is_original else "") or noted.get("sha256", "")


def converted(entry: CatalogEntry, folder: Path) -> Path:
    """Return where a download is kept, converted to safetensors."""
    return folder / f"{Path(entry.file).stem}.safetensors"


def noted_source(entry: CatalogEntry, folder: Path) -> str:
    """Return the sha256 that an entry's download had before, if there was one; the note outlives the file."""
    return read_record(folder).get(converted(entry, folder).name, {}).get("source_sha256", "")


def hub_copy(entry: CatalogEntry, folder: Path) -> Path:
    """Return where the copy of a Hub file goes if its own name is taken."""
    return folder / f"{entry.hub.replace('/', '--')}--{Path(entry.file).name}"


def hub_address(entry: CatalogEntry) -> str:
    """Return what the record of downloads calls a Hub file."""
    return f"{entry.hub}/{entry.file}"


def known_sha256(path: Path) -> str:
    """Return the sha256 of a file, computed once as long as it doesn't change."""
    about = path.stat()
    return _sha256_once(path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=1024)
def _sha256_once(path: Path, changed: int, size: int) -> str:
    return file_sha256(path)
