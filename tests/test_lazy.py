"""Arrays that are read when they are needed, and no longer than they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esc_plugin import Cancelled, ImageError
from esc_plugin.arrays.lazy import CancellableArray, sliceable


class OnDisk:
    """Stands for what a reader hands out: shape, type and parts, each part read anew."""

    shape, dtype, ndim = (4, 8, 8), np.dtype(np.uint16), 3

    def __init__(self, error: Exception | None = None) -> None:
        self.values_read = 0
        self.error = error

    def __getitem__(self, index: Any) -> np.ndarray:
        if self.error:
            raise self.error
        part = np.zeros(self.shape, self.dtype)[index]
        self.values_read += part.size
        return part


def test_naming_a_part_reads_nothing() -> None:
    pytest.importorskip("dask.array", reason="needs dask")
    array = OnDisk()
    part = sliceable(array)[2]
    assert part.shape == (8, 8)
    assert array.values_read == 0
    assert np.asarray(part).shape == (8, 8)
    assert array.values_read >= 64
    plain = np.zeros((3, 3))
    assert sliceable(plain) is plain


def test_nothing_is_read_after_stop() -> None:
    array, asked = OnDisk(), iter([False, True])
    watched = CancellableArray(array, lambda: next(asked))
    assert watched[0].shape == (8, 8)
    with pytest.raises(Cancelled):
        watched[1]
    assert array.values_read == 64


def test_what_cannot_be_read_is_an_image_error() -> None:
    with pytest.raises(ImageError, match=r"^can't read the image: the share went away\.$"):
        CancellableArray(OnDisk(OSError("the share went away")), None)[0]
