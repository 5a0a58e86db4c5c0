"""Pictures of 8 bits, as the figures of the field and a screen want them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ImageError
from ..files import read_picture
from ..files.address import Url
from ..files.picture import check_size


def read_photo(path: Path | Url) -> np.ndarray:
    """Read a gray or colour picture whole.

    Returns
    -------
    numpy.ndarray
        (Y, X) or (Y, X, S), uint8. Axes of one entry are left out, and three channels are taken for red, green and blue.

    Raises
    ------
    ImageError
        If it can't be read, or is no such picture.
    """
    picture = read_picture(path)
    name, pixels = str(path), picture.pixels
    shown = [letter for letter, n in zip(picture.axes, pixels.shape, strict=True) if letter in "YX" or n > 1]
    colours = shown == ["C", "Y", "X"] and pixels.shape[picture.axes.index("C")] == 3
    if pixels.dtype != np.uint8 or not (colours or sorted(shown) in (["X", "Y"], ["S", "X", "Y"])):
        raise ImageError(f"{name!r} is {pixels.dtype} with axes {picture.axes!r}; figures are for 8-bit pictures.")
    check_size(repr(name), pixels.shape, 1)
    try:
        whole = np.asarray(pixels[tuple(slice(None) if letter in shown else 0 for letter in picture.axes)])
    except ImageError as error:
        raise ImageError(f"{name!r}: {error}") from None
    return whole.transpose([shown.index(letter) for letter in ("Y", "X", "C" if colours else "S") if letter in shown])
