"""Amounts as people write them."""

from __future__ import annotations

from .errors import EscError

UNITS = {"": 1, "B": 1, "K": 2**10, "KB": 2**10, "M": 2**20, "MB": 2**20, "G": 2**30, "GB": 2**30}


def parse_bytes(text: str) -> int:
    """Read "4GB", "512M" or a plain number as bytes.

    Raises
    ------
    EscError
        If it is no such thing.
    """
    number = text.strip().upper().removesuffix("IB")
    unit = number.lstrip("0123456789.")
    try:
        size = int(float(number.removesuffix(unit)) * UNITS[unit.strip()])
    except (KeyError, ValueError):
        raise EscError(f"can't read {text!r} as an amount of memory; write 4GB, 512MB or bytes.") from None
    if size <= 0:
        raise EscError(f"an amount of memory must be positive, not {text!r}.")
    return size
