"""Images as OME-Zarr: whole under their name, or not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .ngff import DEFAULT_VERSION, Shown
from .ome_axes import Axes
from .ome_zarr_image import OmeZarrImage
from .room import refused


def save_ome_zarr(
    path: Path,
    image: Any,
    axes: Axes,
    *,
    rgb: bool = False,
    name: str = "image",
    look: Shown | None = None,
    record: dict[str, Any] | None = None,
    version: str = DEFAULT_VERSION,
) -> None:
    """Save an array as OME-Zarr with a pyramid, plane by plane.

    Parameters
    ----------
    path, axes, rgb, version
        As in `OmeZarrImage`.
    image : array
        (..., Y, X), or (..., Y, X, S) if `rgb`. Lazy arrays are read plane by plane.
    name, look, record
        As in `OmeZarrImage.finish`.

    Raises
    ------
    ImageError
        If there is something at `path`, the disk has no room, or OME-Zarr can't hold the image.
    """
    with new_image(path, image.shape, image.dtype, axes, rgb, version) as stored:
        for index in np.ndindex(*image.shape[: image.ndim - 2 - rgb]):
            stored[index] = np.asarray(image[index])
        stored.finish(name, look=look, record=record)


@contextmanager
def new_image(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    axes: Axes,
    rgb: bool = False,
    version: str = DEFAULT_VERSION,
) -> Iterator[OmeZarrImage]:
    """Make an `OmeZarrImage` to be filled and finished. If that fails, nothing stays.

    Raises
    ------
    ImageError
        If the disk refuses it, or as `OmeZarrImage`, which takes the same parameters.
    """
    image = None
    try:
        image = OmeZarrImage(path, shape, dtype, axes, rgb, version)
        yield image
    except OSError as error:
        if image is not None:
            image.discard(still_written=True)
        raise refused(path, error) from None
    except BaseException:
        if image is not None:
            image.discard()
        raise
