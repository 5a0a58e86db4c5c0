"""Arrays that are read when they are needed, and no longer than they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ImageError
from ..progress import Cancel, stop_if_asked


def sliceable(data: Any) -> Any:
    """Return an array of which parts can be taken without being read: NumPy and dask as they are, others through dask."""
    import dask.array as da

    return data if isinstance(data, np.ndarray | da.Array) else da.from_array(data, inline_array=True)


class CancellableArray:
    """An array that raises `Cancelled` when it is read after someone said stop: reading a lazy stack can take long, too.

    Parameters
    ----------
    array : array
        NumPy, or what is read by index.
    cancel : callable, optional
        Returns ``True`` from when on nothing more is to be read.
    """

    def __init__(self, array: Any, cancel: Cancel | None) -> None:
        self.array, self.cancel = array, cancel
        self.shape, self.dtype, self.ndim = tuple(array.shape), np.dtype(array.dtype), array.ndim

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return the values, computed if the array is lazy.

        Raises
        ------
        Cancelled
            If `cancel` returned ``True``.
        ImageError
            If they can't be read.
        """
        stop_if_asked(self.cancel)
        try:
            return np.asarray(self.array[index])
        except OSError as error:
            raise ImageError(f"can't read the image: {error}.") from None
