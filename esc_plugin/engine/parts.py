"""What is wanted of an output, in parts whose maps fit into memory. The means must be known."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from ..errors import EscError
from ..network.grid import Region
from .plan import Need, Plan, make_plan

#: Parts aren't made smaller than that, in feature pixels: halos would be most of the work.
LEAST_PART = 128


def parts_that_fit(
    need: Callable[[Region], Need], whole: Region, device: torch.device, memory_limit: int | None = None
) -> Iterator[tuple[Region, Plan]]:
    """Yield parts, as large as can be, and how to compute them. A part comes after all that lie above it or to its left.

    Parameters
    ----------
    need : callable
        What a part, in pixels of the feature grid, asks of the memory.
    whole : Region
        What is wanted.
    memory_limit : int, optional
        See `make_plan`.

    Raises
    ------
    EscError
        If not even the smallest part fits.
    """
    halves = whole.halves(LEAST_PART)
    try:
        plan = make_plan(need(whole), device, memory_limit)
    except EscError:
        if not halves:
            raise
    else:
        if not plan.disk_bytes or not halves:
            yield whole, plan
            return
    for half in halves:
        yield from parts_that_fit(need, half, device, memory_limit)
