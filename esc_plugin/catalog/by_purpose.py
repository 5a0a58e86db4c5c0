"""The models for a kind of images, and what to say where there is none. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from ..errors import EscError
from .downloads import find_local
from .hub import cached
from .manifest import CatalogEntry
from .menu import list_models
from .purposes import MICROSCOPY, akin, find_purpose


def is_here(entry: CatalogEntry, folder: Path | None = None) -> bool:
    """Tell whether a model needs no download; a host's own `folder` is looked into before the models folder."""
    return bool(find_local(entry, folder, by_hash=False) or (entry.hub and cached(entry)))


def models_for(purpose: str = "") -> list[CatalogEntry]:
    """Return the models made for a kind of images: the bundled ones first, then those on this machine, then downloads.

    Parameters
    ----------
    purpose : str
        A key of `purposes.PURPOSES`. A model for any microscopy counts for each kind of it. Empty for all models, also those
        that don't say what they are for.

    Raises
    ------
    EscError
        See `list_models`.
    """
    offered = [entry for entry in list_models() if not purpose or akin(entry.purpose, purpose)]
    return sorted(offered, key=lambda entry: (not entry.bundled, not is_here(entry), not entry.confirmed))


def starts_for(purpose: str) -> list[CatalogEntry]:
    """Return the models that a fine-tuning for a kind of images may start from: all that are here, and those made for it."""
    listed = {entry.name: entry for entry in [*models_for(purpose), *filter(is_here, models_for())]}
    return sorted(listed.values(), key=lambda entry: not is_here(entry))


def start_for(purpose: str, scale: int = 2) -> CatalogEntry:
    """Return the model that a fine-tuning for a kind of images starts from unless one is named.

    It is the first that was made for them. Where none was, micrographs are better off with one for real photos than with one
    that has never seen noise.

    Raises
    ------
    EscError
        If there is none of that scale, or see `list_models`.
    """
    made = [entry for kind in (purpose, "real photo") if akin(purpose, MICROSCOPY) for entry in models_for(kind)]
    found = next((e for e in [*filter(is_here, made), *starts_for(purpose)] if e.scale == scale), None)
    if found is None:
        raise EscError(f"there is no model for {scale} times to start from; name one.")
    return found


def none_text(purpose: str) -> str:
    """Say that there is no model for a kind of images, what others gain on them, and what to do; empty if there is one."""
    if models_for(purpose):
        return ""
    images = find_purpose(purpose).images
    measured = [(entry, gain) for entry in models_for() for gain in entry.gains if akin(gain.purpose, purpose)]
    if not measured:
        told = "None was measured on them either."
    else:
        best, first = measured[0]
        gains = [gain for entry, gain in measured if entry is best and gain.on == first.on]
        told = f"Against bicubic, {best.name} (for {find_purpose(best.purpose).images}) gained "
        told += " and ".join(f"{gain.db:+.2f} dB ({gain.reduction})" for gain in gains) + f" on {first.on}."
    return f"No model here has learned from {images}. {told} Fine-tune one on your own images."
