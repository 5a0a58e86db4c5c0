"""An OME-TIFF that is filled in any order: tiled, losslessly compressed, with a pyramid, for results larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ..arrays.pyramid import fill_level, level_shapes
from ..disk import settle
from ..errors import ImageError
from ..progress import Cancel, stop_if_asked
from .new_image import NewImage, mapped
from .ome_axes import Axes
from .ome_notes import Channel
from .ome_xml import described
from .room import check_folder, check_target
from .tiff_read import XMP_TAG
from .tiff_region import TiledTiff
from .xmp import with_record

#: Rows and columns of a tile.
TILE = 512
#: Types that OME-TIFF knows.
TYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")


class OmeTiffImage(NewImage):
    """A new OME-TIFF, with a pyramid. A TIFF is written from its beginning to its end, so its planes wait in a scratch file.

    Parameters
    ----------
    path : Path
        Of the file to make, such as ``cells.ome.tif``.
    shape, dtype, axes, rgb
        As in `NewImage`.
    overwrite : bool
        Whether a file that is there is replaced when the new one is complete.
    pixels : array, optional
        The whole image, if that is there already; then it isn't filled.

    Raises
    ------
    ImageError
        If there is something of that name, its folder is missing or has no room, or OME-TIFF can't hold such an image.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: Any,
        axes: Axes,
        rgb: bool = False,
        overwrite: bool = False,
        pixels: np.ndarray | None = None,
    ) -> None:
        super().__init__(path, shape, dtype, axes, rgb)
        self.check = check_folder if overwrite else check_target
        _check_kind(self)
        self.check(path, self.nbytes if pixels is not None else 2 * self.nbytes)
        self.begin()
        try:
            self.pixels = self.planes_in_files() if pixels is None else pixels
        except BaseException:
            self.discard()
            raise

    def __setitem__(self, index: Any, values: Any) -> None:
        self.pixels[index] = values

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self.pixels[index])

    def finish(
        self,
        name: str,
        *,
        channels: Sequence[Channel] = (),
        record: dict[str, Any] | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """See `NewImage.finish`."""
        levels = [self.pixels]
        for shape in level_shapes(self.shape, self.rgb)[1:]:
            levels.append(mapped(self.partial / str(len(levels)), shape, self.dtype))
            fill_level(levels[-2], levels[-1], self.rgb, cancel)
        packet = with_record(None, record or {})
        first = {
            "metadata": described(self.axes, self.rgb, self.shape, name, channels, record),
            "extratags": [(XMP_TAG, 1, len(packet), packet, True)] if packet else [],
            "subifds": len(levels) - 1,
        }
        whole = self.partial / "whole.ome.tif"
        with tifffile.TiffWriter(whole, ome=True, bigtiff=sum(level.nbytes for level in levels) > 2**31) as file:
            for i, level in enumerate(levels):
                about = {"metadata": None, "subfiletype": 1} if i else first
                self._write(file, level, cancel, **about)
        settle(whole)
        self.check(self.path)
        whole.replace(self.path)
        self.discard()

    def _write(self, file: tifffile.TiffWriter, level: np.ndarray, cancel: Cancel | None, **about: Any) -> None:
        file.write(
            _tiles(level, self.rgb, cancel),
            shape=level.shape,
            dtype=level.dtype,
            tile=(TILE, TILE),
            compression="zlib",
            predictor=True,
            photometric="rgb" if self.rgb else "minisblack",
            **about,
        )

    def discard(self, still_written: bool = False) -> None:
        """See `NewImage.discard`."""
        self.pixels = np.empty(0)  # which lets go of the scratch file
        super().discard(still_written)

    def lazy(self) -> list[Any]:
        """See `NewImage.lazy`."""
        import dask.array as da

        path, dtype = str(self.path.absolute()), self.dtype.newbyteorder("=").str
        chunks = (*(1,) * (self.ndim - 2 - self.rgb), TILE, TILE, *(-1,) * self.rgb)
        arrays = [TiledTiff(path, shape, dtype, level=i) for i, shape in enumerate(level_shapes(self.shape, self.rgb))]
        from_array: Any = da.from_array  # which has no types
        return [from_array(array, chunks=chunks, name=False) for array in arrays]


def _check_kind(image: OmeTiffImage) -> None:
    """Raise an `ImageError` for what OME-TIFF can't hold."""
    if image.dtype.name not in TYPES:
        raise ImageError(f"OME-TIFF can't hold {image.dtype}; it can hold {', '.join(TYPES)}. Convert the image first.")
    letters = image.axes.letters
    if len(letters) + image.rgb != image.ndim or not letters.endswith("yx"):
        raise ImageError(f"the axes {letters!r} don't fit an image of {image.shape}; the last two must be 'yx'.")
    if not prod(image.shape):
        raise ImageError(f"the image has no pixels: its shape is {image.shape}.")


def _tiles(image: np.ndarray, rgb: bool, cancel: Cancel | None) -> Iterator[np.ndarray]:
    """Yield the tiles of all planes in the order of the file."""
    for index in np.ndindex(*image.shape[: image.ndim - 2 - rgb]):
        plane = image[index]
        for top in range(0, plane.shape[0], TILE):
            stop_if_asked(cancel)
            for left in range(0, plane.shape[1], TILE):
                part = plane[top : top + TILE, left : left + TILE]
                # With samples, also if there is one: tifffile takes a lone column for samples of a row.
                yield np.ascontiguousarray(part.reshape(*part.shape[:2], -1))
