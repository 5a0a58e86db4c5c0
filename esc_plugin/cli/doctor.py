"""The command for reports of faults: ``esc-sr doctor``."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..disk import without_home
from ..errors import EXTRAS, PACKAGES
from ..texts import bytes_words
from ..version import __version__
from . import options as opt
from .terminal import say_facts, write_json

#: What every installation has, and what makes files readable or things faster.
ALWAYS = (
    "torch",
    "numpy",
    "pillow",
    "tifffile",
    "huggingface-hub",
    "typer",
    "rich",
    "imagecodecs",
    "llvmlite",
    "zarr",
    "yaozarrs",
)


def doctor(as_json: opt.AsJson = False) -> None:
    """Show what belongs into a bug report: versions, device, memory and folders; no name of a user."""
    facts = facts_of_this_machine()
    if as_json:
        write_json(facts)
        return
    packages = facts.pop("packages")
    say_facts(facts | {name: found or "-" for name, found in packages.items()})


def facts_of_this_machine() -> dict[str, Any]:
    """Return versions, device, memory and folders; a package that isn't there is None."""
    from ..catalog.menu import models_folder
    from ..device import free_host_bytes, total_host_bytes
    from ..page.cache import cache_folder

    names = [*ALWAYS, *(PACKAGES.get(name, name) for extra in EXTRAS.values() for name in extra)]
    return {
        "esc-plugin": __version__,
        "installed in": without_home(Path(__file__).parents[2]),
        "python": f"{platform.python_version()} ({sys.executable and without_home(Path(sys.executable))})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "device": device_words(),
        "memory": f"{bytes_words(free_host_bytes())} free of {bytes_words(total_host_bytes())} that may be used",
        "cores": os.cpu_count(),
        "models folder": without_home(models_folder()),
        "cache folder": without_home(cache_folder()),
        "packages": {name: version_of(name) for name in dict.fromkeys(names)},
    }


def device_words() -> str:
    """Say which device is taken where none is named, and its name."""
    try:
        import torch

        from ..device import choose_device, usable_threads

        device = choose_device("auto")
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{usable_threads()} threads"
    except Exception as error:  # a torch that can't be imported is what a report would be about
        return f"none: {type(error).__name__}: {' '.join(str(error).split())}"
    return f"{device}, {name}"


def version_of(package: str) -> str | None:
    """Return the version of a package, which is not imported for that; None if it isn't there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
