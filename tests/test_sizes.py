"""How large a result shall be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esc_plugin import ImageError
from esc_plugin.arrays.sizes import fit_size, target_size


@pytest.mark.parametrize("scale", [0, 0.0, -1, 65, float("nan"), float("inf"), "2", None, [2], 1e400, (2, 0), (-1.0, 2)])
def test_no_scale(scale: Any) -> None:
    with pytest.raises(ImageError, match="scale must be above 0 and at most 64"):
        target_size(4, 4, scale)


@pytest.mark.parametrize("side", [0, -1, 2.5, float("nan"), float("inf"), "a", 10**400, 2**31])
def test_no_side(side: Any) -> None:
    with pytest.raises(ImageError, match="whole numbers from 1 to") as caught:
        fit_size(4, 4, side, None)
    assert len(str(caught.value)) < 150
    with pytest.raises(ImageError, match="whole numbers from 1 to"):
        fit_size(4, 4, 8, side)


def test_numbers_of_other_libraries_are_numbers() -> None:
    assert target_size(4, 6, np.float32(1.5)) == (6, 9)
    assert target_size(4, 6, (np.float32(1.5), 3)) == (6, 18)
    assert fit_size(4, 6, np.int64(8), None) == (8, 12)
