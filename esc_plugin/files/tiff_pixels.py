"""The values of a TIFF: read lazily where that pays, and turned into gray, colours and channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from ..errors import ImageError
from .colours import from_cmyk, srgb_profile
from .picture import check_size
from .tiff_codecs import check_pieces

#: Stacks from this size on are read page by page.
LAZY_BYTES = 256 * 2**20


def check_complete(series: tifffile.TiffPageSeries) -> None:
    """Missing strips would be read as zeros, silently."""
    for page in series.pages:
        if page is None:
            raise ImageError("pages of its stack are missing.")
        size = page.parent.filehandle.size
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if offset + count > size:
                raise ImageError(f"it is truncated: {size} bytes of at least {offset + count}.")
        if not any(page.databytecounts):
            raise ImageError("it holds no pixel data.")


def plain_offset(series: tifffile.TiffPageSeries) -> int | None:
    """Return where in its file the values of a series lie, as they are and one after the other, or ``None``."""
    page = series.keyframe
    plain = page.compression == 1 and page.predictor == 1 and page.fillorder == 1 and not page.is_tiled
    plain = plain and page.dtype is not None and page.bitspersample == page.dtype.itemsize * 8
    return series.dataoffset if plain and lies_in_its_file(series) else None


def lies_in_its_file(series: tifffile.TiffPageSeries) -> bool:
    """Whether no page lies in another file, as those of a set of OME-TIFFs may."""
    return all(page is None or page.parent is series.parent for page in series.pages)


def read_pixels(path: Path, series: tifffile.TiffPageSeries) -> Any:
    """Return the values, by way of the file where they lie in it as they are."""
    page = series.keyframe
    if (offset := plain_offset(series)) is not None:
        dtype = series.dtype.newbyteorder(page.parent.byteorder)
        return np.memmap(path, dtype, "r", offset, series.shape)
    if series.nbytes > LAZY_BYTES and len(series) > 1 and series.shape[-len(page.shape) :] == page.shape:
        return Pages(path, series.shape, series.dtype, len(page.shape))
    check_size("it", series.shape, series.dtype.itemsize, 2**62)
    pixels = _values(series)
    if pixels.shape != series.shape:  # tifffile only logs it
        raise ImageError(f"its values make an image of {pixels.shape}, not of {series.shape}.")
    return pixels


def _values(series: tifffile.TiffPageSeries) -> np.ndarray:
    """Return all values; if they all lie in one other file, tifffile would look for them in its own."""
    for page in series.pages:
        if page is not None:
            check_pieces(page)
    other = series.keyframe.parent
    if series.is_multifile or other is series.parent:
        return series.asarray()
    other.filehandle.open()  # closed since its pages were listed
    try:
        return np.stack([page.asarray() for page in series.pages if page is not None]).reshape(series.shape)
    finally:
        other.filehandle.close()


class Pages:
    """A stack that reads a page of its file when it is indexed.

    Parameters
    ----------
    shape, dtype
        Of the whole.
    inner : int
        How many of the last axes are in a page.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype, inner: int) -> None:
        self.path, self.shape, self.dtype, self.inner = path, shape, dtype, inner
        self.ndim = len(shape)

    def __getitem__(self, index: tuple[int | slice, ...]) -> np.ndarray:
        outer = index[: self.ndim - self.inner]
        if not all(isinstance(i, (int, np.integer)) for i in outer):
            return np.asarray(self)[index]
        place = int(np.ravel_multi_index(outer, self.shape[: len(outer)]))  # type: ignore[arg-type]
        try:
            return self._page(place)[index[len(outer) :]]
        except Exception as error:  # decoders raise almost anything on damaged pages
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ImageError(f"page {place + 1} of {str(self.path)!r} can't be read: {reason.rstrip('.')}.") from None

    def _page(self, place: int) -> np.ndarray:
        with tifffile.TiffFile(self.path) as tif:
            page = tif.series[0].pages[place]
            assert page is not None
            check_pieces(page)
            return page.asarray()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        with tifffile.TiffFile(self.path) as tif:
            return _values(tif.series[0]).astype(dtype or self.dtype, copy=False)


def through_palette(pixels: np.ndarray, axes: str, colormap: np.ndarray | None) -> tuple[np.ndarray, str]:
    """Look up colours; palettes hold 16 bits, of which most use 8 (a value times 257, or times 256)."""
    if colormap is None:
        raise ImageError("it has palette colours, but no palette.")
    if pixels.size and int(pixels.max()) >= colormap.shape[1]:
        raise ImageError("its pixels point beyond its palette.")
    if not (colormap % 257).any() or not (colormap % 256).any():
        colormap = (colormap >> 8).astype(np.uint8)
    return np.moveaxis(colormap[:, pixels], 0, -1), axes + "S"


def through_profile(pixels: np.ndarray, axes: str, profile: bytes | None) -> tuple[np.ndarray, bytes]:
    """Convert CMYK to sRGB, and return sRGB's profile with it."""
    if axes != "YXS" or pixels.shape[2] != 4 or pixels.dtype != np.uint8:
        raise ImageError(f"its inks are {axes} {pixels.shape} {pixels.dtype}; only CMYK of 8 bits can be converted.")
    image = Image.frombytes("CMYK", (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    return np.array(from_cmyk(image, profile)), srgb_profile().tobytes()


def inverted(pixels: np.ndarray) -> np.ndarray:
    """Turn values whose zero is white into values whose zero is black."""
    if pixels.dtype.kind not in "bu":
        raise ImageError(f"its white is zero, which is not defined for {pixels.dtype}.")
    return ~pixels


def colour_or_channels(pixels: Any, axes: str, page: tifffile.TiffPage, is_colour: bool) -> tuple[Any, str]:
    """Keep the letter S for colours and gray with opacity only; other samples are channels."""
    if "S" not in axes:
        return pixels, axes
    place = axes.index("S")
    count, extra = pixels.shape[place], [int(e) for e in page.extrasamples]
    if extra == [1]:  # colours that are multiplied by opacity
        return _straight(np.asarray(pixels), place), axes
    if (is_colour and count in (3, 4)) or (count == 2 and extra == [2]):
        return pixels, axes
    return pixels, axes.replace("S", next(letter for letter in "CQVHM" if letter not in axes))


def _straight(pixels: np.ndarray, place: int) -> np.ndarray:
    colours, alpha = np.split(pixels, [pixels.shape[place] - 1], place)
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.where(alpha > 0, colours.astype(np.float64) * top / alpha, 0).clip(0, top)
    values = np.rint(values) if pixels.dtype.kind in "iu" else values
    return np.concatenate([values.astype(pixels.dtype), alpha], place)
