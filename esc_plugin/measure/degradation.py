"""How a small image is made of a true one, as a line of text, and what such a line can't ask for. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..batch.find import find_originals
from ..errors import EscError, ImageError
from ..texts import quoted
from .photo import DEPTHS, photo_type

#: The word for the reduction that is taken where none is named.
BICUBIC = "bicubic"


class Step(NamedTuple):
    """What a word of a degradation may be set to."""

    kind: type
    least: float
    most: float


STEPS = {
    "blur": Step(float, 0, 100),
    "bin": Step(int, 1, 16),
    "photons": Step(float, 1, 1e9),
    "read": Step(float, 0, 1e6),
    "noise": Step(float, 0, 255),
    "jpeg": Step(int, 1, 100),
}
#: For people.
KNOWN = "bicubic, blur=SIGMA, bin, photons=N, read=N, noise=LEVELS, jpeg=QUALITY"


@dataclass(frozen=True)
class Degradation:
    """The steps from a true image to a small one, in the order in which light, camera and file take them.

    White is 255 of 8-bit images, and of deeper ones the upper of the levels that a network sees (``"auto"`` of
    `measure_levels`); the lower level has no photons.

    Attributes
    ----------
    blur : float
        Standard deviation of a Gaussian, in pixels of the true image; 0 for none.
    bin : int, optional
        The reduction: ``None`` for MATLAB's bicubic; else the mean over as many pixels along each axis, 0 for as many as the
        model's scale has.
    photons : float
        At white, in a pixel of the small image: noise as of Poisson; 0 for none.
    read : float
        Standard deviation of the camera's own noise, in photons.
    noise : float
        Standard deviation of Gaussian noise, in levels of 255 between black and white.
    jpeg : int
        Pillow's quality, with halved colour (4:2:0); 0 for none. Of 8 bits only.

    Raises
    ------
    EscError
        If a value is out of its range, or there is read noise without photons.
    """

    blur: float = 0
    bin: int | None = None
    photons: float = 0
    read: float = 0
    noise: float = 0
    jpeg: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be done."""
        for word, step in STEPS.items():
            if value := getattr(self, word):  # 0 and None leave a step out
                _check(word, step, value, value)
        if self.read and not self.photons:
            raise EscError("read=N counts in photons; name them too, such as 'photons=200,read=3'.")

    @classmethod
    def parse(cls, text: str) -> Degradation:
        """Read text such as ``"bin=2,photons=200"``: words in any order, each once. ``"bicubic"`` is the clean reduction.

        Raises
        ------
        EscError
            If it is no such thing.
        """
        values: dict[str, Any] = {}
        for part in text.split(","):
            word, equals, number = (piece.strip() for piece in part.partition("="))
            if word in values:
                raise EscError(f"{word!r} is there twice in the degradation {quoted(text)}.")
            values[word] = _value(word, number if equals else None)
        if values.keys() >= {BICUBIC, "bin"}:
            raise EscError(f"the degradation {quoted(text)} has two reductions; write bicubic or bin.")
        values.pop(BICUBIC, None)
        return cls(**values)

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        known = {field.name: value for field in fields(self) if (value := getattr(self, field.name))}
        told = [f"{word}={str(value).removesuffix('.0')}" for word, value in known.items()]
        if self.bin == 0:
            told.insert(1 if self.blur else 0, "bin")
        return ",".join(told) or BICUBIC

    def check_depth(self, dtype: np.dtype, image: str) -> None:
        """Raise an `ImageError` if images of a type can't be degraded so."""
        if self.jpeg and dtype.itemsize > 1:
            raise ImageError(f"{image!r} is {dtype}, and JPEG has 8 bits; measure it without jpeg={self.jpeg}.")

    def check_scale(self, scale: int, model: str) -> None:
        """Raise an `EscError` if it bins by another number than a model enlarges by; 0 if that isn't known yet."""
        if self.bin and scale and self.bin != scale:
            raise EscError(
                f"bin={self.bin} doesn't fit {model!r}, which enlarges by {scale}; write bin={scale}, or bin for both."
            )


CLEAN = Degradation()


def check_degradations(
    images: Path | Sequence[Path], degradations: Sequence[Degradation], scales: Mapping[str, int]
) -> list[Path]:
    """Check that degradations fit images and models, before any is measured.

    Parameters
    ----------
    images : Path or sequence of Path
        Folders and files.
    scales : mapping of str to int
        What the models enlarge by, by name; 0 where that isn't known yet.

    Returns
    -------
    list of Path
        The images, in the order of their names.

    Raises
    ------
    EscError
        If one doesn't fit, there are no images, or one isn't what `read_photo` reads.
    """
    for degradation, (model, scale) in product(degradations, scales.items()):
        degradation.check_scale(scale, model)
    paths = find_originals([images] if isinstance(images, Path) else images, recursive=False)
    for path in paths:
        dtype = photo_type(path, DEPTHS)
        for degradation in degradations:
            degradation.check_depth(dtype, path.name)
    return paths


def _value(word: str, number: str | None) -> Any:
    if word == BICUBIC and number is None:
        return None
    if word == "bin" and number is None:
        return 0
    if word not in STEPS:
        raise EscError(f"{quoted(word)} is no step of a degradation; known are {KNOWN}.")
    try:
        value = STEPS[word].kind(number or "")
    except ValueError:
        value = -1
    _check(word, STEPS[word], value, number or "")
    return value


def _check(word: str, step: Step, value: Any, written: Any) -> None:
    if not step.least <= value <= step.most:
        number = "a whole number" if step.kind is int else "a number"
        raise EscError(f"{word} must be {number} from {step.least:,} to {step.most:,.0f}, not {quoted(written)}.")
