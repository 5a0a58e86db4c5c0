"""What is known about the files of a models folder, noted beside them in ``esc-downloads.json``. Imports no torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..disk import file_sha256, write_text
from ..errors import EscError

#: Name of the file. It holds, by file name, ``sha256`` of the file, ``url`` that it came from, and ``source_sha256`` of
#: what came from there if we converted it.
RECORD = "esc-downloads.json"
DIGEST = re.compile("[0-9a-fA-F]{64}")


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
    if not _is_record(content):
        raise EscError(f"{str(path)!r} is not a record of downloads; delete it to forget what was downloaded.")
    record: dict[str, dict[str, str]] = content
    return record


def _is_record(content: Any) -> bool:
    files = content.values() if isinstance(content, dict) else [None]
    return all(isinstance(facts, dict) and all(map(_is_fact, facts, facts.values())) for facts in files)


def _is_fact(name: str, value: Any) -> bool:
    return isinstance(value, str) and (not name.endswith("sha256") or DIGEST.fullmatch(value) is not None)


def folder_lock(folder: Path) -> FileLock:
    """Return the lock of what all processes share in a folder: its record, and which downloads are unfinished."""
    return FileLock(folder / f".{RECORD}.lock")


def keep(made: Path, target: Path, **facts: str) -> str:
    """Give a download its name, with what is known about it beside it; return the sha256 of what has that name then.

    Where another process was quicker with the same download, its file stays: it has been handed out already.
    """
    with folder_lock(target.parent):
        record = read_record(target.parent)
        noted = record.get(target.name, {})
        same = {key: value for key, value in noted.items() if key != "sha256"} == facts
        if target.is_file() and same and "sha256" in noted:
            return noted["sha256"]
        sha256 = file_sha256(made)
        # First: of a file without a record nobody would know that it has changed.
        record |= {target.name: {"sha256": sha256, **facts}}
        write_text(target.parent / RECORD, json.dumps(record, indent=2, sort_keys=True) + "\n")
        made.replace(target)
        return sha256
