"""Where what the page is built of is kept between builds. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..disk import user_folder
from ..errors import EscError


def cache_folder() -> Path:
    """Return the folder of what can be made or downloaded again: ``ESC_CACHE_DIR``, or one in the user's cache."""
    from platformdirs import user_cache_path

    return user_folder("ESC_CACHE_DIR", user_cache_path)


@contextmanager
def own_folder(name: str) -> Iterator[Path]:
    """Give a folder inside the cache that no other process works in at the same time.

    Raises
    ------
    EscError
        If it can't be made or written to.
    """
    from filelock import FileLock

    folder = cache_folder() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            yield folder
    except (OSError, NotImplementedError) as error:  # the latter of folders that know no locks
        why = getattr(error, "strerror", None) or error
        raise EscError(
            f"can't write into {str(folder)!r}: {why}; make room, or set ESC_CACHE_DIR to a folder that you may write to."
        ) from None
