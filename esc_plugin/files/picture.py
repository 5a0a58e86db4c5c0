"""An image file in memory: pixels, and what else it carries."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arrays.layout import Layout, check_axes
from ..device import free_host_bytes
from ..errors import ImageError
from ..texts import quoted
from ..workplace import temporary_folder
from . import xmp as packets
from .ome_notes import OmeNotes
from .tiff_notes import TiffNotes

#: A file that claims more pixels than this is refused unless the caller says otherwise: it is damaged or meant to harm.
MAX_PIXELS = 500_000_000
#: What a user does about it who knows better.
RAISE_LIMIT = "raise the limit if that is true (--max-megapixels, max_pixels=)"
#: Of a file system.
MOST_BYTES = 2**63 - 1
#: Of the free memory, how much one image may take; a larger result goes into a temporary file.
SHARE_OF_FREE = 0.25


@dataclass
class Picture:
    """An image with everything that a program may want to know of it. Its rows and columns are as one sees them.

    Attributes
    ----------
    pixels : array
        A shape, a dtype, and values for an index, in the order of `axes`: (Y, X), (Y, X, S), or a stack such as
        (T, Z, C, Y, X). They may be read from the file when they are indexed.
    axes : str
        A letter for each axis.
    format : str
        Of the file: the name of an entry in `esc_plugin.files.formats`, such as ``"PNG"``.
    lossy : bool
        Whether the file's compression is.
    icc, xmp, iptc : bytes, optional
        Colour profile, XMP packet, JPEG's APP13 segment.
    exif : bytes, optional
        A TIFF structure whose orientation is 1.
    dpi : tuple of float, optional
        Pixels per inch along x and y.
    comment : bytes, optional
        Of a JPEG.
    chunks : list of (bytes, bytes)
        PNG chunks that say something of text or colour, as they are.
    provenance : dict
        How the image was made, as `esc_plugin.provenance` records it; empty if nobody says. It is written into the XMP
        packet.
    tiff : TiffNotes, optional
        How a TIFF was written: its kind, metadata, resolution and layout.
    ome : OmeNotes, optional
        What an OME-Zarr, OME-TIFF or ImageJ's TIFF says of its axes and channels.
    notes : list of str
        What can't be kept, for the user to read.
    """

    pixels: Any
    axes: str
    format: str
    lossy: bool = False
    icc: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    tiff: TiffNotes | None = None
    ome: OmeNotes | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width; an `ImageError` if the file names its axes in a way that has none."""
        layout = Layout(tuple(map(int, self.pixels.shape)), self.axes)
        check_axes(layout)
        return layout.height, layout.width

    @property
    def planes(self) -> int:
        """Entries of Z; 1 where there is none."""
        return int(self.pixels.shape[self.axes.index("Z")]) if "Z" in self.axes else 1

    @property
    def packet(self) -> bytes | None:
        """XMP as it is written: with the record of how the image was made."""
        return packets.with_record(self.xmp, self.provenance)

    def enlarged(self, pixels: Any, size: tuple[int, int] | None = None, start: tuple[int, int] = (0, 0)) -> Picture:
        """Return the same picture with other pixels: physical sizes follow, resolutions for print stay.

        Parameters
        ----------
        size : tuple of int, optional
            Height and width of the whole result, if `pixels` are a region of it.
        start : tuple of int
            Row and column of the whole result at which that region begins.
        """
        picture = replace(self, pixels=pixels)
        (height, width), (h, w), sz = size or picture.size, self.size, picture.planes / self.planes
        if self.ome is not None:
            picture.ome = self.ome.enlarged(height / h, width / w, start, sz)
        if self.tiff is not None:
            picture.tiff = self.tiff.enlarged(height / h, width / w, start, sz)
            if self.dpi:
                picture.dpi = self.dpi[0] * width / w, self.dpi[1] * height / h
        return picture


def check_size(name: str, shape: tuple[int, ...], itemsize: int, max_pixels: int = MAX_PIXELS) -> None:
    """Raise an `ImageError` for an image without pixels, or with more than can be held; called before any is decoded.

    Parameters
    ----------
    shape : tuple of int
        Of what is decoded at once.
    """
    pixels = int(np.prod(shape, dtype=object))
    if not pixels:
        raise ImageError(f"{name} has no pixels: its shape is {shape}.")
    if pixels > max_pixels * 4:
        raise ImageError(f"{name} claims to have {pixels / 1e6:,.0f} million values; {RAISE_LIMIT}.")
    if pixels * itemsize > (free := free_host_bytes()):
        raise ImageError(f"{name} needs {pixels * itemsize / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free.")


def check_lazy_size(name: str, shape: tuple[int, ...], piece: tuple[int, ...], itemsize: int) -> None:
    """Raise an `ImageError` for an image of which nothing could be read: without pixels, or in pieces beyond the memory.

    Parameters
    ----------
    shape : tuple of int
        Of the image. It may be larger than memory, but no disk holds more than 8 EiB.
    piece : tuple of int
        Shape of what is decoded at once: a tile, a strip, a chunk.
    """
    if not all(n > 0 for n in shape):
        raise ImageError(f"{name} has no pixels: its shape is {shape}.")
    if int(np.prod(shape, dtype=object)) * itemsize > MOST_BYTES:
        raise ImageError(f"{name} claims to have the shape {quoted(shape)}, which is more than any disk can hold.")
    check_size(f"a piece of {name}", piece, itemsize, MOST_BYTES)


def empty_array(shape: tuple[int, ...], dtype: Any, memory_limit: int | None = None) -> np.ndarray:
    """Return an array to fill: in memory, or in an unnamed temporary file if it takes much of what may be used.

    Parameters
    ----------
    memory_limit : int, optional
        Bytes of it; by default all that is free.

    Raises
    ------
    ImageError
        If the disk has no room for it.
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    free = free_host_bytes()
    if size < min(free, free if memory_limit is None else memory_limit) * SHARE_OF_FREE:
        return np.empty(shape, dtype)
    folder = temporary_folder()
    try:
        with tempfile.TemporaryFile(prefix="esc-") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "r+" if hasattr(os, "posix_fallocate") else "w+", shape=shape)
    except OSError as error:
        raise ImageError(
            f"the result needs {size / 2**30:.1f} GiB in {folder!r}: {error.strerror}; set TMPDIR to a larger disk."
        ) from None


def oriented(pixels: np.ndarray, axes: str, orientation: int) -> np.ndarray:
    """Turn and flip an image as EXIF's orientation (1 to 8) says; a view."""
    rows, columns = axes.index("Y"), axes.index("X")
    if orientation in (2, 3, 7, 8):
        pixels = np.flip(pixels, columns)
    if orientation in (3, 4, 6, 7):
        pixels = np.flip(pixels, rows)
    return np.swapaxes(pixels, rows, columns) if orientation >= 5 else pixels
