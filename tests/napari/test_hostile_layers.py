"""A share of the hostile layers: the other kinds are tried where napari isn't."""

from __future__ import annotations

from ..hostile.case import Tally
from ..hostile.runner import outcomes

COUNT = 60


def test_no_layer_is_a_fault() -> None:
    tally = Tally("layer")
    for _, number, outcome in outcomes(["layer"], seed=0, count=COUNT):
        tally.add(number, outcome)
    assert tally.faults == []
    assert tally.cases == COUNT
    assert tally.refused, "nothing was hostile"
    assert tally.right > 0, "nothing was taken"
