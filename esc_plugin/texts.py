"""Amounts as people write them."""

from __future__ import annotations

import unicodedata

from .errors import EscError

UNITS = {"": 1, "B": 1, "K": 2**10, "KB": 2**10, "M": 2**20, "MB": 2**20, "G": 2**30, "GB": 2**30}
#: Unicode's categories: control, format, surrogate.
UNPRINTABLE = ("Cc", "Cf", "Cs")
JOINERS = "\u200c\u200d"


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


def printable(text: str) -> str:
    """Return a text whose control characters are written as escapes, as `repr` does it.

    So are what turns the direction of writing, and bytes of a file's name that are no text. Joiners are part of words.
    """
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in UNPRINTABLE and c not in JOINERS else c for c in text)
