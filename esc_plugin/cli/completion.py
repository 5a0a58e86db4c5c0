"""What a shell offers for options and arguments; torch would take longer than a user waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

Offer = Callable[[str], list[str]]


def words(*known: str) -> Offer:
    """Return what offers those of the words that begin as the user has."""
    return lambda incomplete: _beginning(known, incomplete)


def model_names(incomplete: str) -> list[str]:
    """Offer the models; where none begins so, the shell offers files."""
    from ..catalog.by_purpose import models_for
    from ..errors import EscError

    try:
        return _beginning((entry.name for entry in models_for()), incomplete)
    except EscError:  # a manifest of the user's is damaged, which the command itself will say
        return []


def purposes(incomplete: str) -> list[str]:
    """Offer kinds of images, without their spaces."""
    from ..catalog.purposes import PURPOSES

    return _beginning((purpose.short or purpose.key.split()[0] for purpose in PURPOSES), incomplete)


def boxes(incomplete: str) -> list[str]:
    """Offer the boxes that have a name."""
    from ..arrays.framing import PRESETS

    return _beginning((name for name in PRESETS if " " not in name), incomplete)


def image_formats(incomplete: str) -> list[str]:
    """Offer the suffixes that pictures and films are written with."""
    from ..files.formats import writable_suffixes
    from ..video.names import CONTAINERS

    return _beginning((suffix.lstrip(".") for suffix in (*writable_suffixes(), *CONTAINERS)), incomplete)


def recipes(incomplete: str) -> list[str]:
    """Offer the recipes of trainings."""
    folder = Path(__file__).parents[1] / "train" / "recipes"  # whose package can't be imported without its extra
    return _beginning(sorted(path.stem for path in folder.glob("*.yaml")), incomplete)


def _beginning(known: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in known if word.lower().startswith(incomplete.lower())]
