"""A new OME-TIFF, tiled and losslessly compressed, written plane by plane: for images that are larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ..disk import replacing
from ..errors import EscError, ImageError
from .ome_axes import Axes
from .ome_xml import described
from .tiff_read import XMP_TAG
from .xmp import with_record

#: Rows and columns of a tile.
TILE = 512
#: Types that OME-TIFF knows.
TYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")


def save_ome_tiff(
    path: Path, image: Any, axes: Axes, *, rgb: bool = False, name: str = "image", record: dict[str, Any] | None = None
) -> None:
    """Save an array as OME-TIFF, with pixel size, units and position.

    Parameters
    ----------
    path : Path
        Of the file. If there is one, it is replaced when the new one is complete.
    image : array
        (..., Y, X), or (..., Y, X, S) if `rgb`. Lazy arrays are read plane by plane.
    axes : Axes
        Of the image, without S.
    rgb : bool
        Whether the last axis holds the samples of a pixel.
    name : str
        Of the image, inside the file.
    record : dict, optional
        How it was made, as `esc_plugin.provenance` records it; it is written into the XMP packet.

    Raises
    ------
    ImageError
        If OME-TIFF can't hold the image, or it can't be written.
    """
    if image.dtype.name not in TYPES:
        raise ImageError(f"OME-TIFF can't hold {image.dtype}; it can hold {', '.join(TYPES)}. Convert the image first.")
    packet = with_record(None, record or {})
    try:
        with replacing(path) as beside:
            tifffile.imwrite(
                beside,
                _tiles(image, rgb),
                shape=image.shape,
                dtype=image.dtype,
                ome=True,
                bigtiff=image.size * image.dtype.itemsize > 2**31,
                tile=(TILE, TILE),
                compression="zlib",
                predictor=True,
                photometric="rgb" if rgb else "minisblack",
                metadata=described(axes, rgb, image.shape, name),
                extratags=[(XMP_TAG, 1, len(packet), packet, True)] if packet else [],
            )
    except ImageError:
        raise
    except EscError as error:
        raise ImageError(str(error)) from None


def _tiles(image: Any, rgb: bool) -> Iterator[np.ndarray]:
    """Yield the tiles of all planes in the order of the file; each plane is loaded once."""
    for index in np.ndindex(*image.shape[: image.ndim - 2 - rgb]):
        plane = np.asarray(image[index])
        for top in range(0, plane.shape[0], TILE):
            for left in range(0, plane.shape[1], TILE):
                yield np.ascontiguousarray(plane[top : top + TILE, left : left + TILE])
