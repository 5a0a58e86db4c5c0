"""What options say that hold more than one value: sizes, intensities, places."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..errors import EscError, ImageError
from ..texts import quoted

if TYPE_CHECKING:
    from ..arrays.framing import Framing


#: How options are called whose names aren't those of `Framing`.
OPTIONS = {"megapixels": "--result-megapixels"}


def parse_framing(
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    fit: str | None = None,
    fill: str | None = None,
    stretch: str | None = None,
    longest: int | None = None,
    shortest: int | None = None,
    megapixels: float | None = None,
) -> Framing:
    """Read the size that is wanted.

    Raises
    ------
    ImageError
        If it is none, or there are two.
    """
    from ..arrays.framing import KINDS, Framing

    boxes = {mode: text for mode, text in (("fit", fit), ("fill", fill), ("stretch", stretch)) if text is not None}
    sides: dict[str, Any] = {"scale": scale, "longest": longest, "shortest": shortest, "megapixels": megapixels}
    sides |= {"width": width, "height": height}
    given = [name for name, value in (boxes | sides).items() if value is not None]
    if width is not None and height is not None and len(given) == 2:
        ways = f"--fit {width}x{height} keeps the proportions, --fill crops to the box and --stretch makes exactly that"
        raise ImageError(f"--width and --height together don't say what becomes of the proportions; {ways}.")
    if len(given) > 1 and not any(set(given) <= set(kind) for kind in KINDS):
        raise ImageError(f"ask for one size, not for {' and '.join(OPTIONS.get(name, f'--{name}') for name in given)}.")
    if not boxes:
        return Framing(**sides)
    ((mode, text),) = boxes.items()
    return Framing(**parse_box(text), mode=mode)


def parse_box(text: str) -> dict[str, Any]:
    """Read "3840x2160", or the name of a preset such as "4K", as options of `Framing`.

    Raises
    ------
    ImageError
        If it is no such thing.
    """
    from ..arrays.framing import PRESETS, preset_named

    if preset := preset_named(text):
        return {"preset": preset}
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(re.fullmatch(r"\s*[0-9]{1,10}\s*", side) for side in sides):
        raise ImageError(
            f"can't read {quoted(text)} as a size; write width x height, such as 3840x2160, or one of {', '.join(PRESETS)}."
        )
    width, height = (int(side.strip()) for side in sides)  # `int` strips less than `\s` takes
    return {"width": width, "height": height}


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
