"""How a result was made, as a small record that every written file carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .arrays.levels import Levels
    from .upscaler import Upscaler

SOFTWARE = "esc-plugin"


def record_of_command(command: str, **facts: Any) -> dict[str, Any]:
    """Return a record that says which command of this version made a file, and what else is known."""
    return {"software": f"{SOFTWARE} {__version__}", "command": command} | facts


def provenance_of(
    upscaler: Upscaler, image: Any, size: tuple[int, int], levels: Sequence[Levels], options: dict[str, Any]
) -> dict[str, Any]:
    """Return the record of an upscaled image; call it afterwards, when the precision is what was really used.

    Parameters
    ----------
    image : array
        What was upscaled.
    size : tuple of int
        Height and width of the result in pixels.
    levels : sequence of Levels
        By channel.
    options : dict
        What else `Upscaler.__call__` was given.
    """
    model = upscaler.model
    facts = {"model": model.name, "sha256": model.sha256, "source": _public(model.source), "model_scale": model.scale}
    facts |= {"size": list(size), "precision": upscaler.precision_for(image), "levels": [list(pair.pair) for pair in levels]}
    return record_of_command("upscale", **facts, **{key: value for key, value in options.items() if value is not None})


def is_record(value: Any) -> bool:
    """Whether a value is a record of this program, of whatever version."""
    return isinstance(value, dict) and str(value.get("software", "")).partition(" ")[0] == SOFTWARE


def _public(source: str) -> str:
    """Leave out the folder of a file: results are shown to others."""
    path = Path(source)
    return path.name if path.is_absolute() or path.exists() else source
