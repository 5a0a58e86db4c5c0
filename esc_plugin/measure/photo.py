"""Pictures as the figures of the field and a screen want them: one plane, gray or in colour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
    picture = read_picture(path)
    name, pixels = str(path), picture.pixels
    depth = np.dtype(pixels.dtype).newbyteorder("=")
    shown = [letter for letter, n in zip(picture.axes, pixels.shape, strict=True) if letter in "YX" or n > 1]
    colours = shown == ["C", "Y", "X"] and pixels.shape[picture.axes.index("C")] == 3
    if depth not in depths or not (colours or sorted(shown) in (["X", "Y"], ["S", "X", "Y"])):
        bits = "- or ".join(str(8 * dtype.itemsize) for dtype in depths)
        raise ImageError(f"{name!r} is {pixels.dtype} with axes {picture.axes!r}; figures are for {bits}-bit pictures.")
    check_size(repr(name), pixels.shape, pixels.dtype.itemsize)
    try:
        whole = np.asarray(pixels[tuple(slice(None) if letter in shown else 0 for letter in picture.axes)])
    except ImageError as error:
        raise ImageError(f"{name!r}: {error}") from None
    return whole.astype(depth, copy=False).transpose(
        [shown.index(letter) for letter in ("Y", "X", "C" if colours else "S") if letter in shown]
    )
