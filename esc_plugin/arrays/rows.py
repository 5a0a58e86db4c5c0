"""The rows of a plane that may be larger than the memory, read in large pieces and each once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

import numpy as np

#: A plane of which so many bytes are needed is not read at once, if it can be read in parts.
LARGEST_READ = 256 * 2**20


@dataclass
class Rows:
    """A plane (Y, X, ...) to be looked at from top to bottom, by slices of rows.

    Attributes
    ----------
    read : callable
        ``read(top, bottom)`` returns these rows.
    shape : tuple of int
        Of the plane.
    dtype : numpy.dtype
        Of its values.
    """

    read: Callable[[int, int], np.ndarray]
    shape: tuple[int, ...]
    dtype: np.dtype
    _blocks: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """How many there are."""
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return some of them."""
        (top, bottom, _), step = rows.indices(len(self)), self._step
        parts = [
            self._block(start)[max(top - start, 0) : bottom - start] for start in range(top // step * step, bottom, step)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @property
    def _step(self) -> int:
        """Rows of a block: two of them are kept, as who looks at neighbours goes back by a row."""
        return max(LARGEST_READ // 2 // (prod(self.shape[1:]) * self.dtype.itemsize), 1)

    def _block(self, start: int) -> np.ndarray:
        if start not in self._blocks:
            while len(self._blocks) > 1:
                self._blocks.pop(next(iter(self._blocks)))  # the one that was read first
            self._blocks[start] = self.read(start, min(start + self._step, len(self)))
        return self._blocks[start]
