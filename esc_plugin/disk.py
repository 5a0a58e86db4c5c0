"""What is written to disk: as a whole or not at all, and only where nothing is lost by it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import EscError
from .workplace import workplace

#: Is in a file, so that nothing can be made there.
NOWHERE = Path(os.devnull).absolute() / "esc-plugin"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give another path on the disk of `path`; the file that is written there replaces `path` at the end.

    After an error, or if the machine stops, `path` is what it was. The folder is made if need be. The other path has the
    suffix of `path`, and the file the rights of any new file.

    Raises
    ------
    EscError
        If it can't be written.
    """
    with folder_beside(path) as folder:
        # Not made of the name, to which nothing might be added without its becoming too long.
        beside = folder / f".new{path.suffix}"
        yield beside
        settle(beside)
        beside.replace(path)


def settle(path: Path) -> None:
    """Wait until a file is on the disk: a new name must not reach it before the content."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Give a folder on the same disk as `path`, so that what was made there needs only another name, see `take_place`.

    The folder of `path` is made if need be.

    Raises
    ------
    EscError
        If it can't be made, or anything in it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with workplace(path.parent) as folder:
            yield folder
    except OSError as error:
        why = error.strerror or str(error)
        if why.endswith(" written"):  # so many items are, of those that were requested: numpy doesn't know more
            why = f"the disk took less than it was given ({why})"
        raise EscError(f"can't write {str(path)!r}: {why}.") from error  # its number says whether others fail, too


def take_place(made: Path, target: Path) -> None:
    """Give what was made in a `folder_beside` its final name.

    A file replaces a file, a folder a folder; after an error, what was there is there again.
    """
    older = made.with_name(".older")  # goes with the folder that it is in
    if not made.is_dir():
        settle(made)
    elif target.is_dir():
        target.replace(older)
    try:
        made.replace(target)
    except OSError:
        if older.exists():
            older.replace(target)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all, see `replacing`."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def identities(*paths: str | os.PathLike[str]) -> frozenset[Any]:
    """Return what tells these files from others, whether they are there or not: names, and the files behind them."""
    found: set[Any] = set()
    for path in paths:
        found.add(name_key(path))
        with suppress(OSError, ValueError):
            about = os.stat(path)  # noqa: PTH116  # Path.stat can't take what isn't a path
            if about.st_ino:  # some file systems have no numbers
                found.add((about.st_dev, about.st_ino))
    return frozenset(found)


def name_key(path: str | os.PathLike[str]) -> str:
    """Return the full name without links; some file systems don't tell a.png from A.png."""
    try:
        return os.path.realpath(path).casefold()
    except ValueError:  # no path at all, which whoever opens it will find
        return str(path)


def check_free(
    path: str | Path,
    *,
    inputs: Collection[Any] = (),
    overwrite: bool = False,
    ours: Callable[[Path], bool] | None = None,
    how: str = "--overwrite",
    folder: bool = False,
) -> None:
    """Raise an `EscError` unless a file may be written to `path`; call it before the work.

    It must not be read in the same run, under whatever name; and what is there is replaced only if the user says so, or if
    it is ours to replace.

    Parameters
    ----------
    inputs : collection
        `identities` of all that the run reads.
    overwrite : bool
        Whether the user said so.
    ours : callable, optional
        ``ours(path) -> bool``: whether what is there is of this program's own making and easily made again.
    how : str
        What the user must give to say so, for the error.
    folder : bool
        Whether what is written is a folder, which may replace one.
    """
    path = Path(path)
    try:
        is_there = _exists(path)
    except (OSError, ValueError) as error:  # a name that is too long, links in a circle, a file for a folder, ...
        reason = getattr(error, "strerror", None) or error
        raise EscError(f"can't write {str(path)!r}: {reason}.") from None
    if not identities(path).isdisjoint(inputs):
        raise EscError(f"can't write {str(path)!r}: the same run reads that file itself; choose another name.")
    if is_there and path.is_dir() and not folder:
        raise EscError(f"can't write {str(path)!r}: it is a folder.")
    if path.exists() and not (path.is_file() or path.is_dir()):  # /dev/null would be a file for everybody from then on
        raise EscError(f"can't write {str(path)!r}: it is a device or a pipe, which a file would replace.")
    if is_there and not overwrite and not (ours and ours(path)):
        raise EscError(f"{str(path)!r} is there already; choose another name, or replace it with {how}.")


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return path.is_symlink()
    return True


def user_folder(setting: str, usual: Callable[..., Path], *inside: str) -> Path:
    """Return a folder of the user's: what a variable of the environment says, or one inside the usual place.

    A user without a home, as a container's may be, gets one that nobody can make: a folder for temporary files is open to
    others, who could put something there.

    Parameters
    ----------
    usual : callable
        Of `platformdirs`.
    """
    try:
        if chosen := os.environ.get(setting):
            return Path(chosen).expanduser()
        found = usual("esc-plugin", appauthor=False)
    except RuntimeError:  # there is no home
        return NOWHERE
    return found.joinpath(*inside) if found.is_absolute() else NOWHERE


def without_home(path: Path) -> str:
    """Return a path in which the user's folder is ``~``, since its name is often a person's."""
    try:
        home = Path.home()
    except RuntimeError:  # there is none
        return str(path)
    return str(Path("~", path.relative_to(home))) if path.is_relative_to(home) and home != Path(home.anchor) else str(path)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
