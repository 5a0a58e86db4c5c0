"""Whose a folder is: results go into an empty one, or a training goes on with its own. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..disk import write_text
from ..errors import EscError

CHECKPOINT, CACHE = "last.ckpt", "cache"
#: What is written beside the weights, those first whose loss would hurt most: by a training, and by a fine-tuning.
TRAINED = ("README.md", "config.json", "recipe.yaml", "log.csv", CHECKPOINT, "curve.png", "samples", "tensorboard")
FINETUNED = ("README.md", "config.json", "held-out.csv", "held-out.png", "example.png")
#: Marks a folder of decoded images as ours and as one that backups may leave out (https://bford.info/cachedir).
TAG_NAME = "CACHEDIR.TAG"
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Decoded images of an esc-plugin training.\n"


def is_ours(folder: Path) -> bool:
    """Whether a training was begun in a folder: it has our checkpoint, or as long as there is none, our decoded images.

    What else a training writes has names that anybody's files may have, ``recipe.yaml`` and ``README.md`` among them.
    """
    return (folder / CHECKPOINT).is_file() or _has_tag(folder / CACHE)


def _has_tag(cache: Path) -> bool:
    try:
        return (cache / TAG_NAME).read_text(encoding="utf-8", errors="replace") == TAG
    except OSError:
        return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a folder, as long as this one does.

    Raises
    ------
    EscError
        If another one does.
    """
    cache = folder / CACHE
    lock = FileLock(cache / "training.lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EscError(f"can't make the folder {str(folder)!r}: {error.strerror}.") from None
    try:
        if not (cache / TAG_NAME).is_file():  # first, as it tells whose the folder is
            write_text(cache / TAG_NAME, TAG)
        lock.acquire()
    except Timeout:
        raise EscError(f"another process trains in {str(folder)!r}; wait for it, or name another --output.") from None
    except (OSError, NotImplementedError) as error:  # the latter of disks that know no locks
        raise EscError(f"can't write {str(cache)!r}: {getattr(error, 'strerror', None) or error}.") from None
    try:
        yield
    finally:
        lock.release()


def check_folder(folder: Path, results: tuple[str, ...], is_ours: Callable[[Path], bool] = lambda folder: False) -> None:
    """Raise unless the folder is absent, empty, or ours.

    Parameters
    ----------
    folder : Path
        Its name is the model's.
    results : tuple of str
        What will be written into it beside the weights.
    is_ours : callable
        Whether what a folder holds may be gone on with; by default nothing may.

    Raises
    ------
    EscError
        If it holds something else; the text names a file that would be overwritten, if there is one.
    """
    try:
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    except OSError as error:
        raise EscError(f"can't read the folder {str(folder)!r}: {error.strerror}.") from None
    if not there or is_ours(folder):
        return
    lost = next((name for name in (f"{folder.name}.safetensors", *results) if name in there), None)
    what = f"{lost!r}, which would be overwritten" if lost else f"{min(there)!r}, which is no part of a training"
    raise EscError(f"the folder {str(folder)!r} holds {what}; name a new folder with --output.")


def named(folder: Path) -> Path:
    """Return the folder under a path that ends in its name, which is the model's: ``.`` has none."""
    return folder.resolve() if folder.name in ("", "..") else folder
