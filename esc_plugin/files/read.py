"""Reading an image file of any format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import UnidentifiedImageError

from ..errors import ImageError
from . import xmp
from .formats import recognised, unlike_any
from .ngff import record_of
from .picture import MAX_PIXELS, Picture


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
        if (form := recognised(path)) is None:
            raise UnidentifiedImageError  # noqa: TRY301
        picture = form.read(path, max_pixels)
    except ImageError as error:
        raise ImageError(f"can't upscale {str(path)!r}: {error}") from None
    except UnidentifiedImageError:
        raise ImageError(unlike_any(path)) from None
    except MemoryError:
        raise ImageError(f"there is no memory for {str(path)!r}.") from None
    except Exception as error:  # decoders raise almost anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{str(path)!r} is no image that can be read: {reason.rstrip('.')}.") from None
    picture.provenance, picture.xmp = xmp.split_record(picture.xmp)
    return picture


def read_provenance(path: Path) -> dict[str, Any]:
    """Return how an image was made, as `esc_plugin.provenance` records it, without decoding it; empty if it doesn't say.

    An OME-Zarr image is a folder, and says so too.
    """
    try:
        if path.is_dir():
            return record_of(path)
        form = recognised(path)
        return xmp.split_record(form.packet(path))[0] if form else {}
    except Exception:  # no image, or a damaged one: what it is will be said when it is read
        return {}


def made_by(command: str) -> Callable[[Path], bool]:
    """Return a function that tells whether an image was made by a command of this program."""
    return lambda path: read_provenance(path).get("command") == command
