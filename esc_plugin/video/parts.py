"""The folder of a film at work: segments that are whole, and a journal that says what they are of."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..disk import replacing, write_text
from ..errors import EscError

JOURNAL, LOCK = "job.json", "lock"
#: All that is ever written there; nothing else is removed.
OURS = re.compile(rf"[0-9]{{6}}\.mkv|{re.escape(JOURNAL)}|{LOCK}|trial(-joined)?\.\w+|\.esc-.*")


class Parts:
    """Segments of a result beside it, in a folder whose name begins with a point.

    Parameters
    ----------
    target : Path
        Of the result.
    job : dict
        All that decides what the segments hold, for JSON.
    """

    def __init__(self, target: Path, job: dict[str, Any]) -> None:
        self.target, self.job = target, json.loads(json.dumps(job))
        self.folder = folder_of(target)

    @contextmanager
    def claimed(self, overwrite: bool = False) -> Iterator[None]:
        """Open the folder, for this process alone; it is gone once the work in it is done.

        Raises
        ------
        EscError
            If another process works there, or what is there is of another job and may not be replaced.
        """
        lock, useless = self._locked(), False
        try:
            self._check(overwrite)
            yield
            useless = True
        finally:
            self._leave(lock, useless or (not self.begun and self._journal() == self.job))

    def clear_finished(self, number: str) -> None:
        """Remove what there is of work that is done: a program that is killed once its result is whole leaves it.

        Parameters
        ----------
        number : str
            Of the job that the result is of; what is of another one, and unfinished, is kept.
        """
        with suppress(EscError):  # another process works there, or nobody can
            lock, found = self._locked(), self._journal()
            self._leave(lock, found is None or number_of(found) == number)

    def _leave(self, lock: FileLock, useless: bool) -> None:
        """Let others work in the folder, or remove it."""
        if useless:
            with suppress(OSError):
                _clear(self.folder, LOCK)  # as long as no other process can begin here
        lock.release()
        if useless:
            with suppress(OSError):
                (self.folder / LOCK).unlink(missing_ok=True)
                self.folder.rmdir()

    def _locked(self) -> FileLock:
        lock = FileLock(self.folder / LOCK, timeout=0)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise EscError(f"another process works on {str(self.target)!r}; wait for it, or choose another name.") from None
        except (OSError, NotImplementedError) as error:  # the latter of disks that know no locks
            raise EscError(f"can't write {str(self.folder)!r}: {getattr(error, 'strerror', None) or error}.") from None
        return lock

    def _check(self, overwrite: bool) -> None:
        found = self._journal()
        if found == self.job:
            return
        if found is not None and not overwrite:
            raise EscError(
                f"{str(self.folder)!r} holds an unfinished film of other settings; go on with those, or discard it with "
                "--overwrite."
            )
        try:
            _clear(self.folder, LOCK)
        except OSError as error:
            raise EscError(f"can't write {str(self.folder)!r}: {error.strerror or error}.") from None
        write_text(self.folder / JOURNAL, json.dumps(self.job, indent=1))

    def _journal(self) -> Any:
        try:
            return json.loads((self.folder / JOURNAL).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            # Without it nothing is known of what is there; segments come after it.
            return None

    @property
    def begun(self) -> bool:
        """Whether there is a segment that is whole."""
        return any(self.folder.glob("[0-9]*.mkv"))

    def segment(self, index: int) -> Path:
        """Return where a segment is once it is whole."""
        return self.folder / f"{index:06}.mkv"

    @contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """Give a path for what becomes `path` once it is whole."""
        with replacing(path) as beside:
            yield beside


def number_of(job: dict[str, Any]) -> str:
    """Return what tells a job from others."""
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()


def folder_of(target: Path) -> Path:
    """Return the folder of a result at work."""
    return target.with_name(f".{target.name}.parts")


def discard(target: Path) -> None:
    """Remove what there is of a result at work; call it when nothing holds it."""
    folder = folder_of(target)
    with suppress(OSError):
        _clear(folder)
        folder.rmdir()


def _clear(folder: Path, *kept: str) -> None:
    """Remove what is ours from a folder."""
    for path in folder.iterdir():
        if path.name in kept or not OURS.fullmatch(path.name):
            continue
        if path.is_dir() and path.name.startswith(".esc-"):  # what a killed program was writing
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
