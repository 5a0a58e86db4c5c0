"""What is to be said of some images before a model is fine-tuned on them."""

from __future__ import annotations

from collections.abc import Iterator

from .images import Images
from .likeness import neighbours


def notes(seen: Images, unseen: Images) -> Iterator[str]:
    """Yield one line for each thing that the gain on `unseen` will not show, after training on `seen`."""
    if pair := neighbours(seen, unseen):
        one, other = pair
        which = f"planes of {one!r}" if one == other else f"{other!r}"
        rest = "others of it that are" if one == other else f"{one!r}, which is"
        look = "look" if one == other else "looks"
        yield f"held out, {which} {look} like {rest} trained on: the gain told may be too good for other images."
