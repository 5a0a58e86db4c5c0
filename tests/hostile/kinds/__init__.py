"""The kinds of hostile input: a module each, with ``case(rng) -> Case``, listed here.

A case is made by its `random.Random` alone. What is slow to make, such as good files to be damaged, is made once.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from random import Random

from ..case import Case

#: By name, the packages that a kind needs and a plain installation lacks.
KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("png", "jpeg", "webp", "avif", "stills", "xmp", "survey", "call"), ()),
    "tiff": ("imagecodecs",),
    **dict.fromkeys(("zarr", "claim"), ("zarr", "yaozarrs")),
    **dict.fromkeys(("state", "safetensors", "pickle", "archive", "notes", "manifest", "recipe", "hub", "http"), ()),
    "command": ("typer", "rich", "matplotlib"),
    "comfy": ("spandrel", "torchvision"),
    "cluster": ("zarr", "yaozarrs"),
    "film": ("av",),
    "layer": ("napari", "dask", "zarr"),
}


def available() -> list[str]:
    """Return the kinds whose packages are installed."""
    return [name for name, packages in KINDS.items() if all(map(find_spec, packages))]


def maker(name: str) -> Callable[[Random], Case]:
    """Import a kind, and return what makes its cases."""
    made: Callable[[Random], Case] = import_module(f".{name}", __name__).case
    return made
