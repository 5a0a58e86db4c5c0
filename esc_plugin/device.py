"""Where and in what precision to compute."""

from __future__ import annotations

import numpy as np
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
    """Return the dtype that a user means; ``"auto"`` is float32, see `quick_precision` for the exception.

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


def quick_precision(device: torch.device, harmless: str, dtype: np.dtype) -> str | None:
    """Return a shorter precision that is faster here and that a viewer can't tell from float32, or None.

    Parameters
    ----------
    harmless : str
        What was measured to cost this model less than 0.01 dB, and less than one of 255 levels in 999 of 1000 pixels.
    dtype : numpy.dtype
        Of the image. One with more than 8 bits is for measuring, and shows the difference.
    """
    if harmless != "bfloat16" or dtype.itemsize > 1 or device.type != "cpu":
        return None  # on other devices the gain hasn't been measured
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return harmless if supported and supported() else None
