"""How large a result shall be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esc_plugin import ImageError
from esc_plugin.arrays.sizes import target_size


@pytest.mark.parametrize("scale", [0, 0.0, -1, 65, float("nan"), float("inf"), "2", None, [2], 1e400, (2, 0), (-1.0, 2)])
def test_no_scale(scale: Any) -> None:
    with pytest.raises(ImageError, match="scale must be above 0 and at most 64"):
        target_size(4, 4, scale)


def test_numbers_of_other_libraries_are_numbers() -> None:
    assert target_size(4, 6, np.float32(1.5)) == (6, 9)
    assert target_size(4, 6, (np.float32(1.5), 3)) == (6, 18)
