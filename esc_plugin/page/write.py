"""A site as a folder of static files, for any web host: all of it or nothing. Imports no torch."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from ..disk import folder_beside, take_place
from ..errors import EscError
from .site import Site

#: In such a folder, says what was written there.
RECORD = "written.json"


def check_target(folder: Path) -> None:
    """Raise an `EscError` unless a site may be written there: a new place, an empty folder, or an unchanged site of ours."""
    if not folder.parent.is_dir():
        raise EscError(f"there is no folder {str(folder.parent)!r}.")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise EscError(f"can't write the page to {str(folder)!r}, which is no folder; choose another name.")
    if folder.is_dir() and (folder.samefile(Path.cwd()) or os.path.ismount(folder)):  # another can't take its place
        raise EscError(f"the page can't replace {str(folder)!r}, where you are or where a disk begins; name one inside it.")
    if folder.is_dir() and (foreign := _foreign(folder)):
        raise EscError(f"{str(folder)!r} holds {foreign!r}, which isn't the page's; choose a new or an empty folder.")


def write_site(site: Site, folder: Path) -> None:
    """Write a site; in the end it is in place as a whole, or the folder is what it was.

    Raises
    ------
    EscError
        See `check_target`, or if it can't be written.
    """
    check_target(folder)
    with folder_beside(folder) as work:
        new = work / "new"
        for name, part in site.items():
            target = new / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(part.content, bytes):
                target.write_bytes(part.content)
            else:
                shutil.copyfile(part.content, target)
        (new / RECORD).write_text(json.dumps({"software": "esc-sr try", "files": sorted(site)}), encoding="utf-8")
        take_place(new, folder)


def _foreign(folder: Path) -> str:
    """Return the name of something in a folder that we haven't written; empty if there is nothing."""
    ours = _recorded(folder)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or name in ours):
            return name
    return ""


def _recorded(folder: Path) -> set[str]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return {RECORD, *map(str, record["files"])} if record["software"] == "esc-sr try" else set()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()
