"""What a user sets once: on napari's Preferences page from napari 0.9 on, in a small JSON file of our own before."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

#: Section and default of each preference; the sections are those of napari.yaml.
DEFAULTS: dict[str, tuple[str, Any]] = {
    "device": ("compute", "auto"),
    "memory_gb": ("compute", 0.0),
    "models_folder": ("compute", ""),
    "show_note": ("panel", True),
}


def preference(name: str) -> Any:
    """Return a preference: a word, a number or a switch, as in `DEFAULTS`."""
    section, default = DEFAULTS[name]
    if (page := _page(section)) is not None:
        return getattr(page, name)
    value = _read_file().get(name, default)
    # Someone may have edited the file.
    return value if isinstance(value, type(default)) or isinstance(value, int) is isinstance(default, float) else default


def set_preference(name: str, value: Any) -> None:
    """Change a preference, for this session and those to come."""
    if (page := _page(DEFAULTS[name][0])) is not None:
        setattr(page, name, value)
        return
    path = preferences_file()
    with suppress(OSError):  # a preference isn't worth an error: it then lasts as long as the session doesn't ask again
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(_read_file() | {name: value}, indent=1), encoding="utf-8")
        beside.replace(path)


def use_models_folder() -> None:
    """Let the catalogue look into the folder that the user has set."""
    if folder := preference("models_folder"):
        os.environ["ESC_MODELS_DIR"] = folder


def memory_limit() -> int | None:
    """Return the most memory that a run may use, in bytes; ``None`` for most of what is free."""
    return int(preference("memory_gb") * 2**30) or None


def preferences_file() -> Path:
    """Return where the preferences are kept for a napari without a page for them."""
    return user_config_path("esc-plugin", appauthor=False) / "napari.json"


def _page(section: str) -> Any:
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    with suppress(KeyError):  # the plugin is imported but not registered, as in a notebook or a test
        return getattr(get_plugin_settings("esc-plugin"), section)
    return None


def _read_file() -> dict[str, Any]:
    try:
        content = json.loads(preferences_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
