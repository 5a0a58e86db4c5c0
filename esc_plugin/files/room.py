"""Whether there is room for a large image, before it is made."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from ..errors import ImageError


def check_target(path: Path, nbytes: int = 0) -> None:
    """Raise an `ImageError` unless an image can be made at `path`.

    Parameters
    ----------
    path : Path
        Of the folder to make.
    nbytes : int
        Size of the finest level, before it is compressed.
    """
    try:
        with suppress(FileNotFoundError):
            path.lstat()
            raise ImageError(f"there is already something at {str(path)!r}; choose another name.")
    except (OSError, ValueError) as error:  # a name that no disk can have
        raise refused(path, error) from None
    check_folder(path, nbytes)


def check_folder(path: Path, nbytes: int = 0) -> None:
    """Raise an `ImageError` unless the folder of `path` is there, may be written to and has room for an image.

    Parameters
    ----------
    nbytes : int
        Size of the finest level, before it is compressed.
    """
    folder = path.absolute().parent
    try:
        if not folder.is_dir():
            raise ImageError(f"there is no folder {str(folder)!r}.")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise refused(path, error) from None
    if not os.access(folder, os.W_OK):
        raise ImageError(f"the folder {str(folder)!r} can't be written to; choose another one.")
    if (needed := nbytes * 4 // 3) > free:  # each level of the pyramid is a quarter of the one before
        raise ImageError(
            f"the result needs up to {needed / 2**30:.3g} GB, and {str(folder)!r} has {free / 2**30:.3g} GB left; "
            "choose another folder or a smaller region."
        )


def refused(path: Path, error: OSError | ValueError) -> ImageError:
    """Return what the disk said, as an error for a person."""
    return ImageError(f"can't write {str(path)!r}: {getattr(error, 'strerror', None) or error}.")
