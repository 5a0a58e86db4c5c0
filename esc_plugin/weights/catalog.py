"""The models on offer, read from ``manifest.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ..errors import EscError

PURPOSES = ("clean photo", "real photo", "microscopy")


@dataclass(frozen=True)
class CatalogEntry:
    """One model on offer.

    Attributes
    ----------
    name : str
        What users type.
    scale : int
        Output pixels per input pixel.
    family : str
        Name of the architecture, such as ``"ESC-lt"``.
    purpose : {"clean photo", "real photo", "microscopy"}
        What it is for.
    summary : str
        One line for menus.
    license : str
        SPDX identifier of the weights' licence.
    bundled : str
        File name inside the package, or empty.
    sha256 : str
        Of the file, or empty where unknown.
    training : str
        What it was trained on, and how long.
    figures : dict of str to float
        PSNR on Y in dB by benchmark, and bicubic's, as ``"Set5"`` and ``"Set5 bicubic"``.
    """

    name: str
    scale: int
    family: str
    purpose: str
    summary: str
    license: str
    bundled: str = ""
    sha256: str = ""
    training: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    def path(self) -> Path:
        """Return where the bundled file is."""
        return Path(str(files(__package__) / "bundled" / self.bundled))


@cache
def list_models() -> list[CatalogEntry]:
    """Return the models on offer, in the manifest's order.

    Raises
    ------
    EscError
        If the manifest is damaged; the text names the entry and the field.
    """
    return [_entry(values) for values in _manifest()["models"]]


def find_model(name: str) -> CatalogEntry | None:
    """Return the entry of that name, if there is one."""
    return next((entry for entry in list_models() if entry.name == name), None)


def _manifest() -> dict[str, Any]:
    packaged = Path(str(files("esc_plugin" if __package__ is None else __package__.rpartition(".")[0]))) / "manifest.yaml"
    # In a clone or an editable install the manifest lies at the top, where people see it.
    path = packaged if packaged.is_file() else packaged.parent.parent / "manifest.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _entry(values: dict[str, Any]) -> CatalogEntry:
    known = {f.name for f in fields(CatalogEntry)}
    if unknown := sorted(set(values) - known):
        raise EscError(f"manifest.yaml: {values.get('name')!r} has unknown fields {unknown!r}; known are {sorted(known)!r}.")
    entry = CatalogEntry(**values)
    if entry.purpose not in PURPOSES:
        raise EscError(f"manifest.yaml: {entry.name!r} has purpose {entry.purpose!r}, not one of {PURPOSES!r}.")
    return entry
