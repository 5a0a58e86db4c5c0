"""What the gain on held-out images doesn't show, to be said before a model is fine-tuned."""

from __future__ import annotations

from collections.abc import Iterator

from .images import Images
from .likeness import neighbours
from .split import WHOLE


def notes(seen: Images, unseen: Images) -> Iterator[str]:
    """Yield one line for each thing to be said of a training on `seen` that is measured on `unseen`."""
    if {entry.name for entry in seen.entries} & {entry.name for entry in unseen.entries}:
        yield (
            "what is held out belongs to images that are trained on: on others of their kind the gain may be smaller. "
            f"Of {WHOLE} images or more, whole ones are held out."
        )
    if pair := neighbours(seen, unseen):
        one, other = pair
        same = f"planes of {one!r} look like others of it that are trained on"
        text = same if one == other else f"{other!r} looks like {one!r}, which is trained on"
        yield f"held out, {text}: the gain told may be too good for other images."
