"""Where a model of the user's own is put, so that it is on offer as soon as it is there. Imports no torch."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

from ..errors import EscError
from .menu import find_model, models_folder

#: Characters of a name; with what is added to it, file systems take no more than 255 bytes.
LONGEST = 50
#: What Windows takes for devices, whatever follows a point.
DEVICES = ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)))


def proposed_name(images: str, scale: int) -> str:
    """Return a name for a new model that isn't taken, from what the images are called; a scale of 0 is unknown."""
    stem = re.sub(r"\W+", "-", images).strip("-")[: LONGEST - 10].strip("-") or "model"
    factor = f"-x{scale}" if scale else ""
    names = (f"{stem}{factor}" if n == 1 else f"{stem}-{n}{factor}" for n in count(1))
    return next(name for name in names if not (find_model(name) or (models_folder() / name).exists()))


def new_model_folder(name: str) -> Path:
    """Return the folder inside the models folder that a new model goes into; it isn't made.

    Parameters
    ----------
    name : str
        Of the model, in menus and as `load_model` takes it.

    Raises
    ------
    EscError
        If it is no name, or there is something of that name: nothing is ever replaced.
    """
    if not re.fullmatch(rf"\w[\w.-]{{0,{LONGEST - 1}}}", name) or name.endswith("."):
        raise EscError(
            f"a model's name is made of up to {LONGEST} letters, digits, '-', '_' and '.', as in 'nuclei-x2', not {name!r}."
        )
    if name.partition(".")[0].casefold() in DEVICES:
        raise EscError(f"a model can't be called {name!r}, which Windows takes for a device; choose another name.")
    if found := find_model(name):
        raise EscError(f"there is a model {found.name!r} already; choose another name than {name!r}.")
    folder = models_folder() / name
    if folder.exists() or folder.is_symlink():
        raise EscError(f"{str(folder)!r} is there already; choose another name than {name!r}.")
    return folder
