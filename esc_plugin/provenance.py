"""How a result was made, as a small record that every written file carries."""

from __future__ import annotations

from typing import Any

from .version import __version__

#: By this name records are known, of whatever version.
SOFTWARE = "esc-plugin"


def record_of_command(command: str, **facts: Any) -> dict[str, Any]:
    """Return a record that says which command of this version made a file, and what else is known."""
    return {"software": f"{SOFTWARE} {__version__}", "command": command} | facts


def is_record(value: Any) -> bool:
    """Whether a value is a record of this program, of whatever version."""
    return isinstance(value, dict) and str(value.get("software", "")).partition(" ")[0] == SOFTWARE
