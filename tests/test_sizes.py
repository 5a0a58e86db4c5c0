"""How large a result shall be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esc_plugin import ImageError
from esc_plugin.arrays.levels import stated_levels
from esc_plugin.arrays.sizes import isotropic_planes, target_size
from esc_plugin.texts import quoted


@pytest.mark.parametrize(
    "scale",
    [0, 0.0, -1, 65, float("nan"), float("inf"), "2", None, [2], 1e400, 10**5000, (2, 0), (-1.0, 2), (2,), ()],
    ids=quoted,
)
def test_no_scale(scale: Any) -> None:
    with pytest.raises(ImageError, match="scale must be above 0 and at most 64"):
        target_size(4, 4, scale)


def test_numbers_of_other_libraries_are_numbers() -> None:
    assert target_size(4, 6, np.float32(1.5)) == (6, 9)
    assert target_size(4, 6, (np.float32(1.5), 3)) == (6, 18)


@pytest.mark.parametrize(
    "spacing", [(10**5000, 1, 1), (1, 1e-200, 1e-200), (1, 1e200, 1e200), (0, 1, 1), (1,), "x", None], ids=quoted
)
def test_no_spacing(spacing: Any) -> None:
    with pytest.raises(ImageError, match="spacing must be the sizes of a voxel"):
        isotropic_planes(5, spacing)


def test_intensities_beyond_all_numbers() -> None:
    with pytest.raises(ImageError, match="intensity must be"):
        stated_levels((0, 10**5000))
