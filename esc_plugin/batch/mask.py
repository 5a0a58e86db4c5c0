"""A mask from an image file: where the network counts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import ImageError
from ..files import Picture, read_picture
from ..files.picture import MAX_PIXELS


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask and its file.

    Attributes
    ----------
    path : Path
        Of the file.
    values : numpy.ndarray
        (Y, X), see `esc_plugin.arrays.blend.checked_mask`.
    """

    path: Path
    values: np.ndarray = field(repr=False)

    @property
    def digest(self) -> str:
        """Hash of its values."""
        about = f"{self.values.shape} {self.values.dtype.str}".encode()
        return hashlib.sha256(about + np.ascontiguousarray(self.values).tobytes()).hexdigest()


def read_mask(path: Path, max_pixels: int = MAX_PIXELS) -> Mask:
    """Read a mask from a file of one gray image; equal red, green and blue are gray, too.

    Raises
    ------
    ImageError
        If it can't be read, has colours or several planes, or isn't all opaque: it is not for us to say which of gray and
        transparency is meant.
    """
    try:
        return Mask(path, _gray(read_picture(path, max_pixels)))
    except ImageError as error:
        raise ImageError(f"the mask {str(path)!r}: {error}") from None


def _gray(picture: Picture) -> np.ndarray:
    values, axes = np.asarray(picture.pixels), picture.axes
    if set(axes) - set("YXS"):
        raise ImageError(f"a mask has one plane, these are {axes!r} of {values.shape}.")
    if "S" not in axes:
        return values
    values = np.moveaxis(values, axes.index("S"), -1)
    if values.shape[-1] in (2, 4):
        if np.ptp(values[..., -1]):
            raise ImageError("it has transparency; save what is meant as gray.")
        values = values[..., :-1]
    if (values != values[..., :1]).any():
        raise ImageError("it has colours; save it as gray.")
    return np.ascontiguousarray(values[..., 0])
