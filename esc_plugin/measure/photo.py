"""Pictures as the figures of the field and a screen want them: one plane, gray or in colour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..files import read_picture
from ..files.address import Url
from ..files.picture import check_size

#: What is measured, and what a screen shows.
DEPTHS = (np.dtype(np.uint8), np.dtype(np.uint16))


def read_photo(path: Path | Url, depths: Sequence[np.dtype] = DEPTHS[:1]) -> np.ndarray:
    """Read a gray or colour picture whole.

    Parameters
    ----------
    path : Path or Url
    depths : sequence of numpy.dtype
        The types that it may have, of `DEPTHS`.

    Returns
    -------
    numpy.ndarray
        (Y, X) or (Y, X, S), of such a type. Axes of one entry are left out, and three channels are taken for red, green
        and blue.

    Raises
    ------
    ImageError
        If it can't be read, or is no such picture.
    """
    pixels, axes, shown = _opened(path, depths, lazy=False)
    check_size(repr(str(path)), pixels.shape, pixels.dtype.itemsize)
    try:
        whole = np.asarray(pixels[tuple(slice(None) if letter in shown else 0 for letter in axes)])
    except ImageError as error:
        raise ImageError(f"{str(path)!r}: {error}") from None
    order = [shown.index(letter) for letter in "YXSC" if letter in shown]
    return whole.astype(_native(pixels), copy=False).transpose(order)


def photo_type(path: Path | Url, depths: Sequence[np.dtype] = DEPTHS[:1]) -> np.dtype:
    """Return the type of what `read_photo` reads, and raise what that raises; most formats must decode for it."""
    return _native(_opened(path, depths, lazy=True)[0])


def _native(pixels: Any) -> np.dtype:
    found: np.dtype = np.dtype(pixels.dtype).newbyteorder("=")
    return found


def _opened(path: Path | Url, depths: Sequence[np.dtype], lazy: bool) -> tuple[Any, str, list[str]]:
    """Return pixels, their axes, and those of the axes that a picture has."""
    picture = read_picture(path, lazy=lazy)
    pixels, axes = picture.pixels, picture.axes
    shown = [letter for letter, n in zip(axes, pixels.shape, strict=True) if letter in "YX" or n > 1]
    colours = shown == ["C", "Y", "X"] and pixels.shape[axes.index("C")] == 3
    if _native(pixels) not in depths or not (colours or sorted(shown) in (["X", "Y"], ["S", "X", "Y"])):
        bits = "- or ".join(str(8 * dtype.itemsize) for dtype in depths)
        raise ImageError(
            f"{str(path)!r} is {pixels.dtype} with axes {axes!r}; figures are for {bits}-bit pictures of one plane."
        )
    return pixels, axes, shown
