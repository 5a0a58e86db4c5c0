"""What was measured of a model: how many dB it gains over bicubic interpolation, and on what. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from ..typed_yaml import FieldError, Line, Rule, build, one_of
from ..weights.card import GAINS_KEY
from .purposes import KEYS

Text = Annotated[Line, Rule("says nothing", str.strip)]
Count = Annotated[int, Rule("is no number of images, 1 or more", lambda count: count >= 1)]
Decibels = Annotated[float, Rule("is not between -99 and 99 dB", lambda db: -99 < db < 99)]


@dataclass(frozen=True)
class Gain:
    """A mean difference of PSNR between a model and bicubic interpolation.

    Attributes
    ----------
    purpose : str
        The kind of images, one of `purposes.KEYS`.
    count : int
        Images that were measured.
    images : str
        Of what, after the number: "images of nuclei".
    reduction : str
        How the small images were made: "binned by 2".
    db : float
        PSNR of the model less that of bicubic interpolation, in dB.
    """

    purpose: Annotated[str, one_of(*KEYS)]
    count: Count
    images: Text
    reduction: Text
    db: Decibels

    def __str__(self) -> str:
        return f"{self.db:+.2f} dB on {self.on} ({self.reduction})"

    @property
    def on(self) -> str:
        """What it was measured on, after "on"."""
        return f"{self.count:,} {self.images}"


def stated_gains(card: Mapping[str, Any]) -> list[Gain]:
    """Return the gains of a card, which anybody may have written: what is none is left out."""
    gains, stated = [], card.get(GAINS_KEY)
    for values in stated if isinstance(stated, list) else []:
        with suppress(FieldError):
            gains.append(build(Gain, values))
    return gains
