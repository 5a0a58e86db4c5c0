"""Images as OME-Zarr or OME-TIFF: whole under their name, or not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .new_image import NewImage
from .ngff import DEFAULT_VERSION
from .ome_axes import Axes
from .ome_notes import Channel
from .ome_tiff_image import OmeTiffImage
from .ome_zarr_image import OmeZarrImage
from .room import refused

#: Names that end so are of TIFF files; all others are of OME-Zarr.
TIFF_SUFFIXES = (".tif", ".tiff")


def save_image(
    path: Path,
    image: Any,
    axes: Axes,
    *,
    rgb: bool = False,
    name: str = "image",
    channels: Sequence[Channel] = (),
    record: dict[str, Any] | None = None,
    version: str = DEFAULT_VERSION,
) -> None:
    """Save an array as OME-TIFF or OME-Zarr with a pyramid; a TIFF that is there is replaced by the complete new one.

    Parameters
    ----------
    path : Path
        Of what is made: OME-TIFF if it ends in ``.tif`` or ``.tiff``, else a folder of OME-Zarr.
    image : array
        (..., Y, X), or (..., Y, X, S) if `rgb`. Lazy arrays are read plane by plane, once.
    axes, rgb, version
        As in `new_image`.
    name, channels, record
        As in `NewImage.finish`.

    Raises
    ------
    ImageError
        As `new_image`.
    """
    about = path, image.shape, image.dtype, axes, rgb

    def make() -> NewImage:
        if not _is_tiff(path):
            return OmeZarrImage(*about, version)
        return OmeTiffImage(*about, overwrite=True, pixels=image if isinstance(image, np.ndarray) else None)

    with _whole_or_nothing(path, make) as stored:
        if not (_is_tiff(path) and isinstance(image, np.ndarray)):
            for index in np.ndindex(*image.shape[: image.ndim - 2 - rgb]):
                values = np.asarray(image[index])
                if values.shape != (expected := tuple(image.shape[len(index) :])):
                    raise ImageError(f"the image can't be read: a plane of it is {values.shape}, and should be {expected}.")
                stored[index] = values
        stored.finish(name, channels=channels, record=record)


def new_image(
    path: Path,
    shape: tuple[int, ...],
    dtype: Any,
    axes: Axes,
    rgb: bool = False,
    version: str = DEFAULT_VERSION,
) -> AbstractContextManager[NewImage]:
    """Make an image to be filled and finished: OME-TIFF if its name ends so, else OME-Zarr. If that fails, nothing stays.

    Parameters
    ----------
    path, shape, dtype, axes, rgb
        As in `NewImage`. Nothing may be at `path` yet.
    version : str
        Of OME-Zarr.

    Raises
    ------
    ImageError
        If the disk refuses it or has no room, or the format can't hold such an image.
    """
    about = path, shape, dtype, axes, rgb
    make = partial(OmeTiffImage, *about) if _is_tiff(path) else partial(OmeZarrImage, *about, version)
    return _whole_or_nothing(path, make)


def _is_tiff(path: Path) -> bool:
    return path.name.lower().endswith(TIFF_SUFFIXES)


@contextmanager
def _whole_or_nothing(path: Path, make: Callable[[], NewImage]) -> Iterator[NewImage]:
    image = None
    try:
        image = make()
        yield image
    except OSError as error:
        if image is not None:
            image.discard(still_written=True)
        raise refused(path, error) from None
    finally:
        if image is not None:
            image.discard()
