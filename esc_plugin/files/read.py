"""Reading an image file of any format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import UnidentifiedImageError

from ..errors import ImageError
from ..texts import check_path
from . import xmp
from .address import Url, place_of
from .formats import recognised, unlike_any
from .ngff import record_of
from .picture import MAX_PIXELS, Picture


def read_picture(path: str | Path | Url, max_pixels: int = MAX_PIXELS, lazy: bool = False) -> Picture:
    """Read an image file.

    Parameters
    ----------
    path : str, Path or Url
        Of a file or a Zarr folder; or an address that fsspec opens, such as ``s3://bucket/cells.ome.zarr``.
    max_pixels : int
        A file that claims to have more in one plane is refused before they are decoded.
    lazy : bool
        Whether pixels shall be read when they are indexed, where a format allows it: TIFF, unless its colours have to be
        converted. Then `max_pixels` doesn't matter. Zarr is always read so.

    Raises
    ------
    ImageError
        If there is no such file, or no image in it that can be upscaled.
    EscError
        If it can be no file.
    """
    path = place_of(path)
    with reading(path):
        if (form := recognised(path)) is None:
            raise UnidentifiedImageError
        read = form.read_lazily if lazy and form.read_lazily else form.read
        picture = read(path, max_pixels)
    if picture.xmp:
        picture.provenance, picture.xmp = xmp.split_record(picture.xmp)
    return picture


@contextmanager
def reading(path: Path | Url) -> Iterator[None]:
    """Make an `ImageError`, a line with the file's name, of whatever goes wrong while a file is read."""
    if isinstance(path, Path):
        check_path(path)
        if not (path.is_file() or path.is_dir()):
            raise ImageError(f"there is no file {str(path)!r}.")
    try:
        yield
    except ImageError as error:
        raise ImageError(f"can't upscale {str(path)!r}: {error}") from None
    except UnidentifiedImageError:
        raise ImageError(unlike_any(Path(path))) from None
    except MemoryError:
        raise ImageError(f"there is no memory for {str(path)!r}.") from None
    except Exception as error:  # decoders raise almost anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{str(path)!r} is no image that can be read: {reason.rstrip('.')}.") from None


def read_provenance(path: Path | Url) -> dict[str, Any]:
    """Return how an image was made, as `esc_plugin.provenance` records it, without decoding it; empty if it doesn't say.

    An OME-Zarr image is a folder, or behind an address, and says so too.
    """
    try:
        if isinstance(path, Url):
            from .zarr_read import record_in_zarr

            return record_in_zarr(path)
        if path.is_dir():
            return record_of(path)
        form = recognised(path)
        return xmp.split_record(form.packet(path))[0] if form else {}
    except Exception:  # no image, or a damaged one: what it is will be said when it is read
        return {}


def made_by(command: str) -> Callable[[Path], bool]:
    """Return a function that tells whether an image was made by a command of this program."""
    return lambda path: read_provenance(path).get("command") == command
