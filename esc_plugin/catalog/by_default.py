"""The model that is taken where none is named. Imports no torch."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import EscError, HubError
from .by_purpose import is_here, models_for, none_text
from .manifest import CatalogEntry
from .menu import bundled_models, default_rules, find_model
from .purposes import find_purpose, purpose_named
from .traits import PHOTO, DefaultRule, Traits


class Choice(NamedTuple):
    """A model that nobody has named.

    Attributes
    ----------
    entry : CatalogEntry
        The model.
    reason : str
        Why it was taken, for people.
    telling : bool
        Whether something about the image was the reason, so that it should be said.
    """

    entry: CatalogEntry
    reason: str
    telling: bool = False


def check_choice(model: Any, purpose: str | None) -> None:
    """Raise an `EscError` if both a model and a kind of images are named: either says which model is taken."""
    if model and purpose:
        raise EscError(f"a model is named, and the kind of images, {purpose!r}, would choose one; leave one of them out.")


def default_model(traits: Traits = PHOTO, factor: float | None = None, purpose: str = "") -> Choice:
    """Return the model for a picture, and why it is that one.

    The first rule of the manifests decides that a picture fits and for which there is a bundled model. Of several models of
    a purpose it is the one with the smallest scale that is enough, else the one with the largest, which then runs several
    times: the purpose counts for more than the scale.

    Parameters
    ----------
    traits : Traits
        What is known of the picture.
    factor : float, optional
        By how much it shall grow; by default by the model's own scale, which is the smallest there is then.
    purpose : str
        Take a model for this purpose instead, see `purposes.purpose_named`: a bundled one, else one that is on this machine.

    Raises
    ------
    HubError
        If there is none.
    EscError
        If a manifest is damaged, or names a model for it that isn't on offer; or there is no such purpose.
    """
    if purpose:
        key = purpose_named(purpose)
        made = bundled_models(key) or [entry for entry in models_for(key) if is_here(entry)]
        if not made:
            images = find_purpose(key).images
            raise HubError(none_text(key) or f"no model for {images} is on this machine; `esc-sr models` lists downloads.")
        return Choice(_large_enough(made, factor), f"a model for {find_purpose(key).images} was asked for")
    for rule in default_rules():
        if rule.fits(traits) and (made := _models(rule)):
            return Choice(_large_enough(made, factor), str(rule), bool(rule.conditions))
    raise HubError("no bundled model is for such an image; name one, `esc-sr models` lists them.")


def _models(rule: DefaultRule) -> list[CatalogEntry]:
    if not rule.model:
        return bundled_models(rule.purpose)
    if entry := find_model(rule.model):
        return [entry]
    raise EscError(f"a manifest names {rule.model!r} among its defaults, and there is no such model on offer.")


def _large_enough(entries: list[CatalogEntry], factor: float | None) -> CatalogEntry:
    by_scale = sorted(entries, key=lambda entry: entry.scale)
    return next((entry for entry in by_scale if entry.scale >= (factor or 0)), by_scale[-1])
