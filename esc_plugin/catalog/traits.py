"""What a picture is as far as that can be told without looking at it, and for which model that speaks. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from ..typed_yaml import Line, one_of
from .purposes import KEYS, find_purpose

#: How a condition, and that it is not met, are said: "images with ...".
WORDS = {
    "deep": ("more than 8 bits", "8 bits"),
    "colour": ("colours", "no colours"),
    "microscope": ("the metadata of a microscope", "no metadata of a microscope"),
}


@dataclass(frozen=True)
class Traits:
    """What is known of a picture.

    Attributes
    ----------
    deep : bool
        Whether a value has more than 8 bits, floating ones among them.
    colour : bool
        Whether a pixel has red, green and blue. Channels of a stack are no colours.
    microscope : bool
        Whether what comes with it says that it was taken by a microscope.
    """

    deep: bool = False
    colour: bool = False
    microscope: bool = False

    @classmethod
    def of(cls, dtype: Any, samples: int = 1, microscope: bool = False) -> Traits:
        """Return the traits of an array of a NumPy type, with so many samples of a pixel."""
        return cls(dtype.itemsize > 1, samples >= 3, microscope)


#: What most pictures are.
PHOTO = Traits(colour=True)


@dataclass(frozen=True)
class DefaultRule:
    """Which model is taken for pictures of some traits where none is named. What isn't stated doesn't matter.

    Attributes
    ----------
    purpose : str
        What they are taken for, one of `purposes.KEYS`.
    model : str
        Name of the model; by default the bundled one of that purpose.
    deep, colour, microscope : bool, optional
        What must be so, see `Traits`.
    """

    purpose: Annotated[str, one_of(*KEYS)]
    model: Line = ""
    deep: bool | None = None
    colour: bool | None = None
    microscope: bool | None = None

    @property
    def conditions(self) -> dict[str, bool]:
        """What must be so."""
        return {name: value for name in WORDS if (value := getattr(self, name)) is not None}

    def fits(self, traits: Traits) -> bool:
        """Tell whether it is for pictures of such traits."""
        return all(getattr(traits, name) == wanted for name, wanted in self.conditions.items())

    def __str__(self) -> str:
        told = " and ".join(WORDS[name][not wanted] for name, wanted in self.conditions.items())
        images = find_purpose(self.purpose).images
        return f"images with {told} count as {images}" if told else f"all other images count as {images}"
