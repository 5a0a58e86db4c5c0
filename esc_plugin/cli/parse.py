"""What options say that hold more than one value: sizes, intensities, places."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import EscError, ImageError
from ..texts import quoted

if TYPE_CHECKING:
    from ..batch.jobs import Wish


def parse_wish(scale: float | None, width: int | None, height: int | None, fit: str | None, isotropic: bool = False) -> Wish:
    """Read the size that is wanted.

    Raises
    ------
    ImageError
        If it is none, or there are two.
    """
    from ..batch.jobs import Wish

    if fit is None:
        return Wish(scale, width, height, isotropic)
    if width is not None or height is not None:
        raise ImageError("ask for either --fit or --width and --height, not both.")
    sides = fit.lower().split("x")
    if len(sides) != 2 or not all(re.fullmatch(r"\s*[0-9]{1,10}\s*", side) for side in sides):
        raise ImageError(f"can't read {quoted(fit)} as a size; write width x height, such as 3840x2160.")
    return Wish(scale, int(sides[0]), int(sides[1]), isotropic)


def parse_intensity(text: str) -> str | list[tuple[float, float]]:
    """Read a word such as "auto" or "percentile:1,99", or "LOW,HIGH", or such pairs for each channel, "0,4095;0,900".

    Raises
    ------
    ImageError
        If it is no such thing.
    """
    if "," not in text or text[:1].isalpha():
        return text
    try:
        return [(float(low), float(high)) for low, high in (pair.split(",") for pair in text.split(";"))]
    except ValueError:
        raise ImageError(f"can't read {quoted(text)} as intensities; write LOW,HIGH, such as 0,4095.") from None


def parse_place(text: str) -> tuple[int, int]:
    """Read "X,Y".

    Raises
    ------
    EscError
        If it is no such thing.
    """
    try:
        column, row = (int(part) for part in text.split(","))
    except ValueError:
        raise EscError(f"can't read {quoted(text)} as a pixel; write X,Y, such as 120,80.") from None
    return column, row


def parse_part(text: str) -> tuple[int, int]:
    """Read "3/16": part 3 of 16.

    Raises
    ------
    EscError
        If it is no such thing.
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    i, n = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= i <= n:
        raise EscError(f"can't read {quoted(text)} as a part; write I/N, from 1/N to N/N, such as 3/16.")
    return i, n


def parse_region(text: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Read "Y0:Y1,X0:X1": rows and columns of the result, ends excluded.

    Raises
    ------
    EscError
        If it is no such thing.
    """
    try:
        (top, bottom), (left, right) = ((int(n) for n in part.split(":")) for part in text.split(","))
    except ValueError:
        raise EscError(f"can't read {quoted(text)} as a region; write rows and columns, such as 0:1000,500:1500.") from None
    return (top, bottom), (left, right)
