"""The degradations by name. A new one is a file like `classic`, and a line in `MAKERS`."""

from __future__ import annotations

import inspect
from typing import Any

from ..recipe import RecipeError
from .any_scale import AnyScale
from .classic import Bicubic
from .maker import PairMaker
from .microscopy import Microscopy
from .photo import Photo
from .real import Real

#: By the name that a recipe gives as ``data.pairs``.
MAKERS: dict[str, type[PairMaker]] = {
    "bicubic": Bicubic,
    "photo": Photo,
    "real": Real,
    "microscopy": Microscopy,
    "any-scale": AnyScale,
}


def make_maker(name: str, scale: int, patch: int, options: dict[str, Any]) -> PairMaker:
    """Return the pair maker of a recipe.

    Raises
    ------
    RecipeError
        If there is none of that name, or an option is unknown or has a value that can't be.
    """
    if name not in MAKERS:
        raise RecipeError(f"data.pairs: {name!r} is not one of {', '.join(MAKERS)}.")
    maker = MAKERS[name]
    known = [p for p in inspect.signature(maker).parameters if p not in ("scale", "patch")]
    if unknown := sorted(set(options) - set(known)):
        raise RecipeError(f"data.options.{unknown[0]}: unknown; {name} knows {', '.join(known) or 'none'}.")
    try:
        return maker(scale, patch, **options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"data.options: {error}") from None
