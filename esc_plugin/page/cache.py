"""Where what the page is built of is kept between builds. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import EscError


def cache_folder() -> Path:
    """Return the folder of what can be made or downloaded again: ``ESC_CACHE_DIR``, or one in the user's cache."""
    if chosen := os.environ.get("ESC_CACHE_DIR"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("esc-plugin", appauthor=False)


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
