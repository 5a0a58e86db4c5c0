"""Folders for what isn't finished yet: they go with the work, and those of killed programs with the next that works there.

Whether the program that made one lives is told by a lock that it holds on a file inside. The system lets go of a lock
however a process ends, and processes of other containers meet it; a number of a process would mean another one there. Two
locks are sure to meet only in the same kernel and through the same mount: the server of a shared disk may know none. So a
name says through which mount of which kernel, since its start, the folder was made. One of another, such as of this machine
before its power failed, is kept for a week after its last change, by the clock of the disk itself.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from io import FileIO
from math import inf
from pathlib import Path
from tempfile import gettempdir

from .errors import EscError

#: What all names begin with.
PREFIX = ".esc-"
NAME = re.compile(r"\.esc-([0-9a-f]{8})-[0-9a-f]{12}")
LOCK, UNLOCKED = ".lock", ".unlocked"
#: Seconds after which nobody works any more in a folder whose lock says nothing.
WEEK = 7 * 24 * 3600
#: How many folders are remembered, of a process that makes more and more of them.
MOST_FOLDERS = 10_000
#: How often a folder that others take for a dead program's is made anew.
TRIES = 100
_swept: set[str] = set()


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """Give a new folder inside of `folder`, on the same disk, so that what is made there needs only another name.

    The first time that this process works in `folder`, it removes what dead programs left there.

    Raises
    ------
    OSError
        If it can't be made.
    """
    for _ in range(TRIES):
        place, lock = folder / f"{PREFIX}{_mount(folder)}-{uuid.uuid4().hex[:12]}", None
        try:
            lock = _begin(place)
            if lock is not None:
                _sweep(folder, place)
                yield place
                return
        finally:
            try:
                _remove(place, lock)
            except BaseException:  # Ctrl-C in this moment
                _remove(place, lock)
                raise
    raise OSError(errno.EBUSY, "others remove what is begun there", str(folder))


def sweep(folder: Path) -> None:
    """Remove what dead programs left in a folder, as `workplace` does; call it where nothing else is to do."""
    if not _is_swept(folder):
        with suppress(OSError), workplace(folder):
            pass


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a `workplace` in the system's folder for temporary files.

    Raises
    ------
    EscError
        If it can't be made.
    """
    with ExitStack() as stack:
        try:
            place = stack.enter_context(workplace(Path(temporary_folder())))
        except OSError as error:
            why = error.strerror or error
            raise EscError(f"can't make a temporary file: {why}; set TMPDIR to a folder with room.") from None
        yield place


def temporary_folder() -> str:
    """Return the system's folder for temporary files, that of ``TMPDIR``.

    Raises
    ------
    EscError
        If there is none that can be written to.
    """
    try:
        return gettempdir()
    except OSError as error:
        raise EscError(f"{error.strerror or error}; set TMPDIR to a folder that you may write to.") from None


def _begin(place: Path) -> FileIO | None:
    """Make a folder and lock it; return the open file of the lock, or None if somebody took the folder for a dead one's."""
    place.mkdir()  # not as tempfile does it: the result shall have the rights of any new file
    try:
        lock = FileIO(place / LOCK, "x")
    except FileNotFoundError:
        return None
    try:
        taken = not _try_lock(lock)
    except OSError:  # a disk that knows no locks: nobody removes what has none
        with suppress(OSError):
            (place / LOCK).rename(place / UNLOCKED)
        return lock
    if taken or not (place / LOCK).exists():
        lock.close()
        return None
    return lock


def _try_lock(file: FileIO) -> bool:
    """Lock an open file and return True, or False if a living process holds it; an `OSError` where nobody may lock."""
    if sys.platform == "win32":
        import msvcrt

        held, lock = PermissionError, partial(msvcrt.locking, file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        # PermissionError is another thing here: confinement, such as AppArmor's, may forbid all locks.
        held, lock = BlockingIOError, partial(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        lock()
    except held:
        return False
    return True


def _sweep(folder: Path, own: Path) -> None:
    """Remove what dead programs left in a folder, once."""
    if _is_swept(folder):
        return
    if len(_swept) > MOST_FOLDERS:
        _swept.clear()
    _swept.add(_full_name(folder))
    owner = own.stat()
    with suppress(OSError), os.scandir(folder) as entries:
        found = [Path(entry.path) for entry in entries if NAME.fullmatch(entry.name) and entry.name != own.name]
        for place in found:
            with suppress(OSError):
                _remove_if_dead(place, owner)


def _is_swept(folder: Path) -> bool:
    return _full_name(folder) in _swept


def _full_name(folder: Path) -> str:
    return os.path.abspath(folder)  # noqa: PTH100  # Path.absolute leaves ..


def _remove_if_dead(place: Path, own: os.stat_result) -> None:
    about = place.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != own.st_uid:  # in /tmp, others could lay traps
        return
    if place.name[: len(PREFIX) + 8] != f"{PREFIX}{_mount(place.parent)}" and _changed(place) > own.st_mtime - WEEK:
        return
    found = list(place.iterdir())  # all of it younger than the lock
    try:
        lock = FileIO(place / LOCK, "r+")
    except FileNotFoundError:
        # It was removed, and a process of the dead one's has added to it since; or, if it is empty, its maker is about to
        # lock it, and will make another one.
        if not (place / UNLOCKED).exists():
            _remove_all(found)
            place.rmdir()
        return
    try:
        dead = _try_lock(lock)
    except OSError:  # a disk that knows no locks
        dead = False
    if dead:
        _remove(place, lock)
    else:
        lock.close()


def _remove(place: Path, lock: FileIO | None) -> None:
    """Remove a folder, the lock last: without it nobody would know that the rest is of a dead program."""
    with suppress(OSError):
        _remove_all(path for path in list(place.iterdir()) if path.name != LOCK)
    # While it is locked, where that can be; Windows removes no open file.
    for _ in range(2):
        with suppress(OSError):
            (place / LOCK).unlink()
        if lock is not None:
            lock.close()
    with suppress(OSError):
        place.rmdir()


def _remove_all(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _changed(place: Path) -> float:
    """Return when something was last changed in a folder; at no time that is over if that can't be seen."""
    found = (Path(folder, name) for folder, _, names in os.walk(place) for name in (".", *names))
    return max((path.lstat().st_mtime for path in found), default=inf)


def _mount(folder: Path) -> str:
    """Return what is different for two processes whose locks might not meet, see above."""
    return hashlib.sha256(f"{_kernel()} {folder.stat().st_dev}".encode()).hexdigest()[:8]


@cache
def _kernel() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return str(uuid.getnode())  # of a network card; where there is none, other ones in each process
