"""Image files in, image files out, with all that they carry."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import UnidentifiedImageError

from ..errors import ImageError
from .photo import READ, check_photo, read_photo, write_photo
from .picture import MAX_PIXELS, Picture, empty_array
from .tiff import is_tiff, read_tiff
from .tiff_write import check_tiff, write_tiff

__all__ = ["SUFFIXES", "Picture", "check_target", "empty_array", "read_picture", "write_picture", "written_beside"]

#: What can be written, by suffix. Files are read by their content, whatever their name.
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
#: What is looked for in folders.
SUFFIXES = (*FORMATS, ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm")


def read_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read an image file.

    Parameters
    ----------
    max_pixels : int
        A file that claims to have more in one plane is refused before they are decoded.

    Raises
    ------
    ImageError
        If there is no such file, or no image in it that can be upscaled.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"there is no file {str(path)!r}.")
    try:
        return read_tiff(path, max_pixels) if is_tiff(path) else read_photo(path, max_pixels)
    except ImageError as error:
        raise ImageError(f"can't upscale {str(path)!r}: {error}") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{str(path)!r} is no image that can be read: it starts like none of {', '.join(READ)}, TIFF."
        ) from None
    except MemoryError:
        raise ImageError(f"there is no memory for {str(path)!r}.") from None
    except Exception as error:  # decoders raise almost anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{str(path)!r} is no image that can be read: {reason.rstrip('.')}.") from None


def check_target(path: Path, picture: Picture, shape: tuple[int, ...]) -> None:
    """Raise an `ImageError` unless `path` can take the picture with pixels of `shape`, before they are made.

    Nothing that the picture has may be lost without a word: depth, transparency, planes.
    """
    form = FORMATS.get(path.suffix.lower())
    dtype = np.dtype(picture.pixels.dtype)
    if form is None:
        raise ImageError(f"can't write {path.name!r}: its suffix must be one of {', '.join(FORMATS)}.")
    try:
        if form == "TIFF":
            check_tiff(picture, shape, dtype)
        else:
            check_photo(form, picture.axes, shape, dtype)
    except ImageError as error:
        raise ImageError(f"can't write {path.name!r}: {error}") from None


def write_picture(path: str | Path, picture: Picture, quality: int | None = None) -> None:
    """Write a picture; the format follows the suffix. The file appears only once it is whole.

    Parameters
    ----------
    quality : int, optional
        1 to 100, of JPEG, WebP and AVIF. By default 95; WebP is lossless where its source was.

    Raises
    ------
    ImageError
        If it can't be written.
    """
    path = Path(path)
    check_target(path, picture, picture.pixels.shape)
    form = FORMATS[path.suffix.lower()]
    try:
        with written_beside(path) as temporary:
            if form == "TIFF":
                write_tiff(temporary, picture)
            else:
                write_photo(temporary, picture, form, quality)
        picture.notes.extend(left_out(picture, form))
    except ImageError as error:
        raise ImageError(f"can't write {str(path)!r}: {error}") from None
    except Exception as error:  # encoders too
        raise ImageError(f"can't write {str(path)!r}: {' '.join(str(error).split())}.") from None


def left_out(picture: Picture, form: str) -> list[str]:
    """Say what of a picture another format than its own has no place for."""
    names = {name for name, _ in picture.chunks}
    lost = {
        "text": form != "PNG" and bool(names & {b"tEXt", b"zTXt", b"iTXt"}),
        "gamma and primaries": form != "PNG" and not picture.icc and bool(names & {b"gAMA", b"cHRM", b"cICP"}),
        "comment": form not in ("PNG", "JPEG") and bool(picture.comment),
        "IPTC": form != "JPEG" and bool(picture.iptc),
        "TIFF metadata": form != "TIFF" and picture.tiff is not None and bool(picture.tiff.metadata),
        "resolution": form in ("WEBP", "AVIF") and bool(picture.dpi),
    }
    found = [name for name, is_lost in lost.items() if is_lost]
    return [f"{form} has no place for its {', '.join(found)}"] if found else []


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` at the end, remove it on any error."""
    handle, name = tempfile.mkstemp(suffix=path.suffix, prefix=f".{path.stem}-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # Like any new file of this user, not only for their eyes as temporary files are.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
