"""What a plane is as a whole, which no part of it can tell: whether it is opaque, and what stands in for NaN."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..engine import ProcessGroup
from ..errors import ImageError
from ..network.program import mean_of, pixel_sum
from ..progress import Cancel, stop_if_asked
from .levels import Levels, type_range
from .planes import Plane


def colours_of(values: np.ndarray) -> np.ndarray:
    """Return the samples without transparency, as `flat` does."""
    return flat(values[..., :-1])


def alpha_of(values: np.ndarray) -> np.ndarray:
    """Return the transparency: (Y, X, S) -> (Y, X)."""
    return values[..., -1]


def flat(plane: np.ndarray) -> np.ndarray:
    """(Y, X, 1) -> (Y, X); others as they are."""
    return plane[..., 0] if plane.ndim == 3 and plane.shape[-1] == 1 else plane


def alpha_levels(dtype: np.dtype) -> Levels:
    """Return what is invisible and what is opaque."""
    return Levels(0, type_range(dtype)[1], dtype)


def check_alpha(alpha: Plane, cancel: Cancel | None = None) -> None:
    """Raise an `ImageError` unless floating transparency is in 0..1."""
    for band in alpha.bands():
        stop_if_asked(cancel)
        low, high = float(band.min()), float(band.max())
        if not 0 <= low <= high <= 1:
            raise ImageError(f"floating transparency must be in 0..1, not {low:g}..{high:g}.")


def is_opaque(alpha: Plane, levels: Levels, group: ProcessGroup | None = None, cancel: Cancel | None = None) -> bool:
    """Whether all of a plane is opaque; processes that share it look at a band each."""
    clear = torch.zeros(1, dtype=torch.float64)
    for band in alpha.bands(*_own_rows(alpha, group)):
        stop_if_asked(cancel)
        clear += float(band.min() < levels.high)
    return not _sum(clear, group)


def finite_mean(plane: Plane, levels: Levels, group: ProcessGroup | None = None, cancel: Cancel | None = None) -> float:
    """Average what is finite, in 0..1 of the network; 0 if nothing is. The sums are exact, see `pixel_sum`."""
    size = plane.size[0] * plane.size[1] * 3
    total = torch.zeros(3, 1, 1, dtype=torch.float64)
    for band in plane.bands(*_own_rows(plane, group)):
        stop_if_asked(cancel)
        finite = torch.from_numpy(levels.to_unit(band[np.isfinite(band)]))
        total[:2] += pixel_sum(finite[None, None, None], size)
        total[2] += len(finite)
    total = _sum(total, group)
    return float(mean_of(total[:2], max(int(total[2]), 1)))


def _own_rows(plane: Plane, group: ProcessGroup | None) -> tuple[int, int]:
    return group.part(plane.size[0]) if group else (0, plane.size[0])


def _sum(values: Tensor, group: ProcessGroup | None) -> Tensor:
    return group.reduce(values) if group else values
