"""Amounts and paths as people write them."""

from __future__ import annotations

import os
import reprlib
import unicodedata
from math import isfinite
from pathlib import Path
from typing import Any

from .errors import EscError

UNITS = {"": 1, "B": 1, "K": 2**10, "KB": 2**10, "M": 2**20, "MB": 2**20, "G": 2**30, "GB": 2**30}
#: Unicode's categories of what can't be printed: control, format, surrogate.
UNPRINTABLE = ("Cc", "Cf", "Cs")
#: Characters of the category "format" that words of some languages need.
JOINERS = "\u200c\u200d"
#: A plain number below it was hardly meant as bytes.
LEAST_BYTES = 2**20
#: More than any machine has; beyond it numbers stop being exact.
MOST_BYTES = 2**50

_short = reprlib.Repr()
_short.maxlevel = 2
_short.maxstring = _short.maxlong = _short.maxother = 80


def quoted(value: object) -> str:
    """Return `repr` of what a user wrote, cut in the middle so that it fits into a line."""
    try:
        text = _short.repr(value)
        return " ".join(text.split()) if "\n" in text else text  # as arrays have them
    except ValueError:  # Python refuses to print numbers of thousands of digits
        return "a number of thousands of digits"


def suffix_of(form: str) -> str:
    """Return the suffix that is meant by ``png``, ``.png`` or ``PNG``: ``.png``."""
    return f".{form.lower().lstrip('.')}"


def parse_bytes(text: str) -> int:
    """Read "4GB", "512M" or a plain number as bytes.

    Raises
    ------
    EscError
        If it is no such thing, or a number so small that a unit must be missing.
    """
    number = text.strip().upper().removesuffix("IB")
    unit = number.lstrip("0123456789.")
    try:
        size = int(float(number.removesuffix(unit)) * UNITS[unit.strip()])
    except (KeyError, ValueError, OverflowError):
        raise EscError(f"can't read {quoted(text)} as an amount of memory; write 4GB, 512MB or bytes.") from None
    if not 0 < size <= MOST_BYTES:
        raise EscError(f"an amount of memory must be above 0 and at most {MOST_BYTES // 2**30:,}GB, not {quoted(text)}.")
    if not unit and size < LEAST_BYTES:
        raise EscError(f"{text!r} would be bytes, too few to work with; write {text.strip()}GB or {text.strip()}MB.")
    return size


def printable(text: str) -> str:
    """Return a text in which escapes stand for what can't be printed, as in `repr`.

    That is: control characters, what turns the direction of writing, and bytes of a file's name that are no text. Joiners
    are part of words and stay.
    """
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in UNPRINTABLE and c not in JOINERS else c for c in text)


def check_path(path: str | Path) -> None:
    """Raise an `EscError` for what can't be a path on this machine, whether anything is there or not.

    Too long a name, links that lead in a circle, a NUL, a folder that may not be entered: each would be another exception at
    the first use.
    """
    if not str(path):
        raise EscError("the name of a file or folder is empty.")
    try:
        os.stat(path)  # noqa: PTH116  # Path.stat differs between versions of Python in what it raises
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EscError(f"can't use the path {quoted(str(path))}: {reason}.") from None


def seconds_text(seconds: float) -> str:
    """Say a duration as a person would."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"


def sentence(text: str) -> str:
    """Return a text that begins with a capital letter, and is otherwise as it was."""
    return text[:1].upper() + text[1:]


def counted(count: int, what: str) -> str:
    """Return a number of things as people write it: "1 block", "1,200 blocks"."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def bytes_words(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TB"


def mebibytes(count: float) -> str:
    """Return a number of bytes as whole MiB, so that several stand in one unit below each other."""
    return f"{count / 2**20:,.0f} MiB"


def finite(document: Any) -> Any:
    """Return a document for JSON, in which null stands for what that has no number for: infinity and NaN."""
    if isinstance(document, dict):
        return {str(key): finite(value) for key, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [finite(value) for value in document]
    return None if isinstance(document, float) and not isfinite(document) else document
