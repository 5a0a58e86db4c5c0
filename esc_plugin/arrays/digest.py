"""A fingerprint of an image that reads little of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..network.grid import Region
from .layout import Layout

#: Edge of the pieces of an image that its digest is made of.
SAMPLE = 16


def image_digest(image: Any, layout: Layout) -> str:
    """Return a hash of an image's axes, type and some pixels: corners and middle of its first and last plane."""
    found = hashlib.sha256(repr((layout.shape, layout.axes, np.dtype(image.dtype).name)).encode())
    planes = layout.planes()
    for index in (planes[0], planes[-1]):
        for part in _samples(layout.height, layout.width):
            values = layout.plane(image, index, *part.slices)
            found.update(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes())
    return found.hexdigest()


def _samples(height: int, width: int) -> Sequence[Region]:
    rows, columns = ((0, max(n - SAMPLE, 0) // 2, max(n - SAMPLE, 0)) for n in (height, width))
    places = [(rows[i], columns[j]) for i, j in ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2))]
    return [Region(top, left, min(top + SAMPLE, height), min(left + SAMPLE, width)) for top, left in places]
