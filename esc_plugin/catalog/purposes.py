"""Kinds of images that models are made for, as data; menus, manifests and cards are filled from here. Imports no torch."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import EscError
from ..texts import quoted

#: What a model may say that is for any microscope, as ours did before there were kinds of them.
MICROSCOPY = "microscopy"


class Purpose(NamedTuple):
    """A kind of images.

    Attributes
    ----------
    key : str
        As manifests and cards have it.
    title : str
        For menus.
    images : str
        Inside a sentence.
    broader : str
        Another key under which models count for this kind too.
    kind : str
        How a fine-tuning makes small images of them, see `esc_plugin.train.wish.KINDS`. Empty where no reduction does: none
        makes a bad photo of a good one.
    short : str
        What people may say instead; the beginning of a key will do, too.
    """

    key: str
    title: str
    images: str
    broader: str = ""
    kind: str = ""
    short: str = ""


PURPOSES = (
    Purpose("clean photo", "Photo: clean", "clean photos", kind="photo"),
    Purpose("real photo", "Photo: noisy, compressed, blurred", "noisy, compressed or blurred photos", short="photo"),
    Purpose("drawing", "Drawing, anime", "drawings", kind="photo"),
    Purpose("fluorescence", "Fluorescence", "fluorescence images", MICROSCOPY, "microscopy"),
    Purpose("brightfield", "Brightfield, stained tissue", "brightfield images", MICROSCOPY, "microscopy"),
    Purpose("electron microscopy", "Electron microscopy", "electron micrographs", MICROSCOPY, "microscopy"),
)
#: What a manifest may say.
KEYS = (*(purpose.key for purpose in PURPOSES), MICROSCOPY)


def find_purpose(key: str) -> Purpose:
    """Return the kind of images of a key; of a broader or a foreign key one under its own name, which no menu has."""
    return next((p for p in PURPOSES if p.key == key), Purpose(key, key.capitalize(), f"{key} images".strip()))


def purpose_named(text: str) -> str:
    """Return the key of a kind of images that people may name in short: ``"clean"``, ``"photo"``, ``"fluo"``.

    Raises
    ------
    EscError
        If there is none, or several.
    """
    exact = [key for key in KEYS if text in (key, find_purpose(key).short)] if text else []
    found = exact or [key for key in KEYS if text and key.startswith(str(text))]
    if len(found) == 1:
        return found[0]
    raise EscError(f"a kind of images must be one of {', '.join(KEYS)}, or the beginning of one, not {quoted(text)}.")


def akin(one: str, other: str) -> bool:
    """Tell whether two kinds of images are the same, or one is broader and holds the other."""
    return "" not in (one, other) and (
        one == other or one == find_purpose(other).broader or other == find_purpose(one).broader
    )
