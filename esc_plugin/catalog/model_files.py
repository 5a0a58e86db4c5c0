"""Which files of a folder or a repository make a model: one with weights, and ``config.json``. Imports no torch."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import HubError
from ..texts import quoted
from .manifest import SUFFIXES


def weights_in(folder: Path) -> list[Path]:
    """Return the weights files in a folder, sorted by name; one per stem, the preferred kind."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith(".")]
    found.sort(key=lambda p: (p.stem.lower(), SUFFIXES.index(p.suffix.lower())))
    return [p for i, p in enumerate(found) if i == 0 or p.stem.lower() != found[i - 1].stem.lower()]


def models_in(folder: Path) -> dict[str, Path]:
    """Return the weights files in a folder by name: files, and those of folders that `Model.save_pretrained` wrote."""
    found = {path.stem: path for path in weights_in(folder)}
    for inner in sorted(folder.iterdir()) if folder.is_dir() else []:
        with suppress(OSError):  # of a folder that may not be entered
            if not inner.name.startswith(".") and (inner / "config.json").is_file() and len(held := weights_in(inner)) == 1:
                found.setdefault(inner.name, held[0])
    return found


def choose_weights(files: list[str], where: str) -> str:
    """Return the one weights file among several files, safetensors before others.

    Raises
    ------
    HubError
        If there is none, or there are several of the best kind; the text lists them.
    """
    for kinds in (SUFFIXES[:1], SUFFIXES[1:]):
        found = sorted(name for name in files if Path(name).suffix.lower() in kinds)
        if len(found) == 1 or "model.safetensors" in found:
            return found[0] if len(found) == 1 else "model.safetensors"
        if found:
            some = ", ".join(quoted(f"{where}/{name}") for name in found[:6])
            raise HubError(f"{where!r} has {len(found)} weights files; choose one: {some}.")
    raise HubError(f"{where!r} has no weights file ({', '.join(SUFFIXES)}) among its {len(files)} files.")


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration that a ``config.json`` states; empty if it is not there, or none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
