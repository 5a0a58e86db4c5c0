"""Image files in, image files out, with all that they carry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import UnidentifiedImageError

from ..disk import replacing
from ..errors import EscError, ImageError
from . import xmp
from .encoding import encode, fitted, pieces, refusal, without
from .photo import READ, check_photo, read_photo, xmp_of
from .picture import MAX_PIXELS, Picture, empty_array
from .tiff_read import is_tiff, read_tiff, xmp_of_tiff
from .tiff_write import check_tiff

__all__ = [
    "SUFFIXES",
    "Picture",
    "check_target",
    "empty_array",
    "made_by",
    "read_picture",
    "read_provenance",
    "write_picture",
]

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
        picture = read_tiff(path, max_pixels) if is_tiff(path) else read_photo(path, max_pixels)
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
    picture.provenance, picture.xmp = xmp.split_record(picture.xmp)
    return picture


def read_provenance(path: Path) -> dict[str, Any]:
    """Return how an image was made, see `esc_plugin.provenance`, without decoding it; empty if it doesn't say so."""
    try:
        packet = xmp_of_tiff(path) if is_tiff(path) else xmp_of(path)
        return xmp.split_record(packet)[0]
    except Exception:  # no image, or a damaged one: what it is will be said when it is read
        return {}


def made_by(command: str) -> Callable[[Path], bool]:
    """Return a function that tells whether an image was made by a command of this program."""
    return lambda path: read_provenance(path).get("command") == command


def check_target(path: Path, picture: Picture, shape: tuple[int, ...]) -> None:
    """Raise an `ImageError` unless `path` can take the picture with pixels of `shape`, before they are made.

    Nothing that the picture has may be lost without a word: depth, transparency, planes. What is only decoration is no
    reason to refuse it, see `write_picture`.
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
        if refusal(picture, form) and (reason := refusal(without(picture, pieces(picture)), form)):
            raise ImageError(f"{form} can't hold it ({reason}).")  # noqa: TRY301
    except ImageError as error:
        raise ImageError(f"can't write {path.name!r}: {error}") from None


def write_picture(path: str | Path, picture: Picture, quality: int | None = None) -> None:
    """Write a picture; the format follows the suffix. The file appears only once it is whole.

    What its format refuses beside the pixels is left out and named in the notes.

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
        with replacing(path) as beside, beside.open("wb+") as file:
            encode(file, fitted(picture, form), form, quality)
        picture.notes.extend(left_out(picture, form))
    except ImageError as error:
        raise ImageError(f"can't write {str(path)!r}: {error}") from None
    except EscError as error:
        raise ImageError(str(error)) from None
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
