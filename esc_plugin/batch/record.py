"""How a result was made, as the record that its file carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..provenance import record_of_command

if TYPE_CHECKING:
    from ..arrays.levels import Levels
    from ..survey import Survey
    from ..upscaler import Upscaler


def record_of_result(
    upscaler: Upscaler,
    image: Any,
    size: tuple[int, int],
    levels: Sequence[Levels],
    options: dict[str, Any],
    name: str | None = None,
    survey: Survey | None = None,
) -> dict[str, Any]:
    """Return the record of an upscaled image; call it afterwards, when the precision is what was really used.

    Parameters
    ----------
    image : array
        What was upscaled; its values' type decides the precision.
    size : tuple of int
        Height and width of the result in pixels.
    levels : sequence of Levels
        By channel.
    options : dict
        What else `Upscaler.__call__` was given.
    name : str, optional
        Of the image's file, without its folder.
    survey : Survey, optional
        What the image was upscaled with, whose runs say in which precision.
    """
    import torch  # which has run by now

    model, models = upscaler.model, [part.model for part in upscaler.parts]
    source = " + ".join(_public(part.source) for part in models)
    facts = {"model": model.name, "sha256": model.sha256, "source": source, "model_scale": model.scale}
    facts |= {
        "torch": str(torch.__version__),
        "size": list(size),
        "precision": _precision(upscaler, image, survey),
        "levels": [list(pair.pair) for pair in levels],
    }
    if reason := next(filter(None, (part.reason for part in upscaler.parts)), ""):
        facts["model_choice"] = reason
    if windows := [part.config.window_size for part in models if part.config.position == "rib"]:
        # No parameter tells it, and another one gives another picture.
        facts["window_size"] = windows[0] if len(windows) == 1 else windows
    known = {"image": name} | facts | options
    return record_of_command("upscale", **{key: value for key, value in known.items() if value is not None})


def _precision(upscaler: Upscaler, image: Any, survey: Survey | None) -> str:
    return ", ".join(sorted(survey.precisions if survey else ())) or upscaler.precision_for(image)


def _public(source: str) -> str:
    """Leave out the folder of a file: results are shown to others."""
    path = Path(source)
    return path.name if path.is_absolute() or path.exists() else source
