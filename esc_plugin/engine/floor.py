"""What work takes that can't be cut into chunks: it is refused where it doesn't fit, before the system ends the program."""

from __future__ import annotations

import torch

from ..device import check_memory
from ..network import ESC
from .plan import RESERVE_BYTES

#: The part of an estimate that is asked for, so that nothing is refused that fits. Measured: training takes 0.9 to 1.3 times
#: what `gradient_bytes` says (ESC and ESC-nano, float32 and bfloat16), attribution 0.8 to 1.2 times.
SURE = 0.8


def check_floor(what: str, estimate: float = 0) -> None:
    """Raise an `EscError` if there isn't the memory that work takes at least.

    Parameters
    ----------
    what : str
        Which work, for the error.
    estimate : float
        Bytes that it takes beside what libraries do.
    """
    check_memory(what, RESERVE_BYTES + round(SURE * estimate))


def gradient_bytes(network: ESC, height: int, width: int, batch: int = 1, dtype: torch.dtype = torch.float32) -> float:
    """Return about how many bytes live at once while gradients are computed: what each step of the network computed."""
    geometry = network.geometry(height, width)
    values = sum(step.values_per_pixel for step in network.program(geometry).steps)
    rows, columns = geometry.grid
    return values * rows * columns * batch * dtype.itemsize
