"""What a user sets once, on napari's Preferences page."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from napari.settings import get_plugin_settings

#: In which section of napari.yaml a preference stands, and what it is where the plugin isn't registered: in a notebook.
DEFAULTS: dict[str, tuple[str, Any]] = {
    "device": ("compute", "auto"),
    "memory_gb": ("compute", 0.0),
    "threads": ("compute", 0),
    "models_folder": ("compute", ""),
    "show_note": ("panel", True),
}


def preference(name: str) -> Any:
    """Return a preference: a word, a number or a switch, as in `DEFAULTS`."""
    section, default = DEFAULTS[name]
    page = _page(section)
    return default if page is None else getattr(page, name)


def set_preference(name: str, value: Any) -> None:
    """Change a preference, for this session and those to come."""
    if (page := _page(DEFAULTS[name][0])) is not None:
        setattr(page, name, value)


def use_models_folder() -> None:
    """Let the catalogue look into the folder that the user has set."""
    if folder := preference("models_folder"):
        os.environ["ESC_MODELS_DIR"] = folder


def limits() -> dict[str, Any]:
    """Return where a run computes, and the most that it may use, as `Settings` name it."""
    memory = int(preference("memory_gb") * 2**30) or None
    return {"device": preference("device"), "memory_limit": memory, "threads": preference("threads")}


def _page(section: str) -> Any:
    with suppress(KeyError):  # the plugin is imported but not registered, as in a notebook or a test
        return getattr(get_plugin_settings("esc-plugin"), section)
    return None
