"""Where a result goes: a new array, or one that was given."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ImageError


def make_output(image: Any, shape: tuple[int, ...], out: Any = None) -> Any:
    """Return an empty array for the result, or `out` if it fits.

    Raises
    ------
    ImageError
        If it doesn't fit, or there is no memory for one.
    """
    dtype = np.dtype(image.dtype)
    if out is None:
        try:
            return np.empty(shape, dtype)
        except (MemoryError, ValueError):
            raise ImageError(f"there is no memory for a result of {shape} {dtype}; give a mapped file as out.") from None
    if not hasattr(out, "shape") or not hasattr(out, "dtype"):
        raise ImageError(f"out must be an array of {shape} {dtype}, not {type(out).__name__}.")
    if tuple(out.shape) != shape or np.dtype(out.dtype).newbyteorder("=") != dtype.newbyteorder("="):
        raise ImageError(f"out must be {shape} {dtype}, not {tuple(out.shape)} {out.dtype}.")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ImageError("out is read-only.")
    if isinstance(out, np.ndarray) and isinstance(image, np.ndarray) and np.may_share_memory(out, image):
        raise ImageError("out must not share its memory with the image.")
    return out


def bytes_held(plane: np.ndarray) -> int:
    """Return the memory behind a view, 0 for a mapped file."""
    while isinstance(plane.base, np.ndarray) and not isinstance(plane, np.memmap):
        plane = plane.base
    return 0 if isinstance(plane, np.memmap) else plane.nbytes
