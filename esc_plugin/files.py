"""Image files in, image files out."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from .errors import ImageError


def read_image(path: str | Path) -> np.ndarray:
    """Read a file as gray (H, W) or RGB (H, W, 3) uint8.

    Raises
    ------
    ImageError
        If there is no such file or it is no readable image.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"there is no file {str(path)!r}.")
    try:
        with Image.open(path) as image:
            return np.array(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    except Exception as error:  # Pillow's plugins raise almost anything on damaged files
        raise ImageError(f"{str(path)!r} is no image that can be read: {error}.") from None


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write gray or RGB uint8; the format follows the suffix. The file appears only once it is whole.

    Raises
    ------
    ImageError
        If it can't be written.
    """
    path = Path(path)
    try:
        with written_beside(path) as temporary:
            Image.fromarray(image).save(temporary)
    except (OSError, ValueError) as error:
        raise ImageError(f"can't write {str(path)!r}: {error}.") from None


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` at the end, remove it on any error."""
    handle, name = tempfile.mkstemp(suffix=path.suffix, prefix=f".{path.stem}-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
