"""Which model upscales which images of a batch: the one that is named, or for each image the one for its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..arrays.framing import Framing
from ..arrays.sizes import Size
from ..catalog.by_default import Choice, default_model
from ..catalog.lookup import look_up
from ..catalog.traits import PHOTO
from ..errors import EscError, ImageError
from ..files.address import Url
from ..files.picture import MAX_PIXELS
from ..files.traits import traits_of_file
from .find import FoundImage

#: What a user of the command line gives to have another model.
HOW = "--for photo or --model NAME"


@dataclass
class Group:
    """Images with the same model.

    Attributes
    ----------
    source : str
        The model, as `load_model` takes it.
    name, scale
        What is known of it before it is loaded, see `look_up`.
    images : list of FoundImage
        In the order in which they were found.
    choice : Choice, optional
        Why it is taken, where nobody has named it.
    """

    source: str
    name: str
    scale: int
    images: list[FoundImage] = field(default_factory=list)
    choice: Choice | None = None

    @property
    def reason(self) -> str:
        """Why it is taken; empty where it is named."""
        return self.choice.reason if self.choice else ""

    @property
    def note(self) -> str:
        """The same as a line for the user, where it is something about the images; else empty."""
        if not (self.choice and self.choice.telling):
            return ""
        told = str(self.images[0].path) + (f" and {len(self.images) - 1:,} more" if len(self.images) > 1 else "")
        return f"{told}: {self.name} is taken, since {self.reason}; {HOW} takes another."


def groups_of(
    images: Sequence[FoundImage],
    model: str | None,
    framing: Framing,
    purpose: str = "",
    max_pixels: int = MAX_PIXELS,
) -> list[Group]:
    """Return images in groups: all of them with the model that is named, else each with that for its kind.

    No pixel is looked at. What can't be read counts as a photograph; that it can't is said when it is its turn.

    Parameters
    ----------
    model : str, optional
        See `load_model`; by default that of `default_model`.
    framing : Framing
        How large the results shall be.
    purpose : str
        What the images are, if that is known; it doesn't matter where a model is named.
    max_pixels : int
        See `read_picture`.

    Raises
    ------
    CheckpointError, HubError
        If there is no such model.
    EscError
        See `default_model`.
    """
    if model:
        known = look_up(model)
        return [Group(model, known.name, known.scale, list(images))]
    groups: dict[tuple[str, str], Group] = {}
    for image in images:
        try:
            traits, size = traits_of_file(image.path, max_pixels)
        except EscError:
            traits, size = PHOTO, (1, 1)
        choice = default_model(traits, growth(framing, size), purpose)
        entry = choice.entry
        group = groups.setdefault((entry.name, choice.reason), Group(entry.name, entry.name, entry.scale, choice=choice))
        group.images.append(image)
    return list(groups.values())


def growth(framing: Framing, size: Size) -> float | None:
    """Return by how much an image of a height and a width grows; None if nothing is asked for, or it can't be."""
    if framing == Framing(mode=framing.mode):
        return None
    try:
        enlarged = framing.frame(*size, 1).enlarged
    except ImageError:  # which is said when it is upscaled
        return None
    return max(enlarged[0] / size[0], enlarged[1] / size[1])


def group_of(place: Path | Url, model: str | None, framing: Framing, purpose: str = "") -> Group:
    """Return the group of a single image, see `groups_of`."""
    return groups_of([FoundImage(place)], model, framing, purpose)[0]
