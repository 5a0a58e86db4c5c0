"""Where and in what precision to compute."""

from __future__ import annotations

import torch

from .errors import EscError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device that a user means.

    Raises
    ------
    EscError
        If this torch can't use it.
    """
    if device == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise EscError(f"can't use device {device!r}: {str(error).splitlines()[0]}") from None
    return chosen


def choose_precision(precision: str) -> torch.dtype:
    """Return the dtype that a user means.

    Raises
    ------
    EscError
        If there is no such precision.
    """
    if precision == "auto":
        return torch.float32
    if precision not in PRECISIONS:
        raise EscError(f"unknown precision {precision!r}; known are auto, {', '.join(PRECISIONS)}.")
    return PRECISIONS[precision]
