"""The models folder: which files are there, and whether they are what they should be. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..disk import file_sha256, write_text
from ..errors import EscError
from .menu import CatalogEntry, bundled_path, list_models, models_folder, weights_in

#: What was downloaded into a folder: the sha256 of each file, and where it came from.
RECORD = "esc-downloads.json"
#: No ESC is larger; in a host's folder there may be files of many gigabytes.
MAX_BYTES = 2**30
AGAIN = "Delete it; then it is downloaded again."


@dataclass(frozen=True)
class Local:
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


def find_local(entry: CatalogEntry, folder: Path | None = None, *, by_hash: bool = True) -> Local | None:
    """Return the file of an entry as far as it is on this machine, outside the Hub's cache.

    Parameters
    ----------
    folder : Path, optional
        Where to look before the models folder.
    by_hash : bool
        Whether to look for the file under other names, which reads all files there.
    """
    if entry.bundled:
        return Local(bundled_path(entry), entry.sha256, "Install the package again.")
    if entry.path:
        own = Local(Path(entry.path), entry.sha256, "Correct the manifest or the file.")
        return own if own.path.is_file() else None
    for place in dict.fromkeys([folder or models_folder(), models_folder()]):
        if found := _in_folder(entry, place, by_hash):
            return found
    return None


def _in_folder(entry: CatalogEntry, folder: Path, by_hash: bool) -> Local | None:
    """Look for the copy that we keep, then for the file itself, then for its hash under any name."""
    name = Path(entry.file).name
    copy = folder / f"{Path(name).stem}.safetensors"
    for path in dict.fromkeys([hub_copy(entry, folder), copy, folder / name]):
        if not path.is_file():
            continue
        noted = read_record(folder).get(path.name, {})
        if entry.hub and noted.get("url", hub_address(entry)) != hub_address(entry):
            continue  # many repositories have a file of that name
        if entry.sha256 and noted.get("source_sha256", entry.sha256) != entry.sha256:
            return Local(path, entry.sha256, AGAIN)  # it came from another file than the catalogue's
        unchanged = path.name == name and "source_sha256" not in noted  # not one that we converted
        return Local(path, (entry.sha256 if unchanged else "") or noted.get("sha256", ""), AGAIN)
    if entry.sha256 and by_hash:
        for path in weights_in(folder):
            if path.stat().st_size < MAX_BYTES and known_sha256(path) == entry.sha256:
                return Local(path, entry.sha256, AGAIN)
    return None


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


def read_record(folder: Path) -> dict[str, dict[str, str]]:
    """Return what was noted about the files of a folder, by file name.

    Raises
    ------
    EscError
        If the record can't be read: its hashes are there to be checked.
    """
    path = folder / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise EscError(f"can't read {str(path)!r} ({error}); delete it to forget what was downloaded.") from None
    notes = list(content.values()) if isinstance(content, dict) else [None]
    if not all(isinstance(note_, dict) and all(isinstance(fact, str) for fact in note_.values()) for note_ in notes):
        raise EscError(f"{str(path)!r} is not a record of downloads; delete it to forget what was downloaded.")
    return content


def folder_lock(folder: Path) -> FileLock:
    """Return the lock of what all processes share in a folder: its record, and which downloads are unfinished."""
    return FileLock(folder / f".{RECORD}.lock")


def note(path: Path, **facts: str) -> None:
    """Write down what is known about a file, beside it."""
    with folder_lock(path.parent):
        record = read_record(path.parent) | {path.name: facts}
        write_text(path.parent / RECORD, json.dumps(record, indent=2, sort_keys=True) + "\n")


def noted_source(entry: CatalogEntry, folder: Path) -> str:
    """Return the sha256 that an entry's download had before, if there was one; it outlives the file."""
    return read_record(folder).get(f"{Path(entry.file).stem}.safetensors", {}).get("source_sha256", "")


def verify() -> list[dict[str, Any]]:
    """Compare each model file on this machine with its sha256.

    Returns
    -------
    list of dict
        For each model on offer: ``name``, ``status`` ("ok", "mismatch", "absent", or "unknown" where nobody knows the hash),
        ``path``, ``sha256`` as found, ``expected`` and ``remedy``.
    """
    from .hub import cached

    rows = []
    for entry in list_models():
        local = find_local(entry) or (cached(entry) if entry.hub else None)
        row = {"name": entry.name, "status": "absent", "path": "", "sha256": "", "expected": entry.sha256, "remedy": ""}
        if local and local.path.is_file():
            found = file_sha256(local.path)
            status = "unknown" if not local.sha256 else "ok" if found == local.sha256 else "mismatch"
            row |= {"status": status, "path": str(local.path), "sha256": found}
            row |= {"expected": local.sha256, "remedy": local.remedy if status == "mismatch" else ""}
        rows.append(row)
    return rows
