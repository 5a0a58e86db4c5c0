"""How a result was made, as a small record that every written file carries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__

if TYPE_CHECKING:
    import numpy as np

    from .upscaler import Upscaler

SOFTWARE = "esc-plugin"


def record_of_command(command: str, **facts: Any) -> dict[str, Any]:
    """Return a record that says which command of this version made a file, and what else is known."""
    return {"software": f"{SOFTWARE} {__version__}", "command": command} | facts


def provenance_of(
    upscaler: Upscaler, dtype: np.dtype, size: tuple[int, int], options: dict[str, Any], told: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the record of an upscaled image; call it afterwards, when the precision is what was really used.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the image.
    size : tuple of int
        Height and width of the result in pixels.
    options : dict
        What `Upscaler.__call__` was given.
    told : dict, optional
        What it told in return, such as the levels; that comes before what was asked for.
    """
    model = upscaler.model
    facts = {"model": model.name, "sha256": model.sha256, "source": _public(model.source), "model_scale": model.scale}
    facts |= {"size": list(size), "precision": str(upscaler.suited_to(dtype).dtype).removeprefix("torch.")}
    known = facts | options | (told or {})
    return record_of_command("upscale", **{key: value for key, value in known.items() if value is not None})


def is_record(value: Any) -> bool:
    """Whether a value is a record of this program, of whatever version."""
    return isinstance(value, dict) and str(value.get("software", "")).partition(" ")[0] == SOFTWARE


def _public(source: str) -> str:
    """Leave out the folder of a file: results are shown to others."""
    path = Path(source)
    return path.name if path.is_absolute() or path.exists() else source
