"""How large the result shall be: the choices of the nodes' size menu, each with its fields. It runs without ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..esc_plugin.arrays.framing import MODES, PRESETS, Framing
from ..esc_plugin.arrays.sizes import LARGEST_SCALE
from ..esc_plugin.errors import ImageError
from ..esc_plugin.texts import quoted

MODEL_SCALE, FACTOR, LONGEST, SHORTEST = "model scale", "factor", "longest edge", "shortest edge"
MEGAPIXELS, SIZE, PRESET = "megapixels", "width and height", "preset"

#: The longest side that can be asked for.
LARGEST = 65536


@dataclass(frozen=True)
class Field:
    """A widget: the name of its class in `comfy_api.latest.io`, its id, and what that class takes."""

    kind: str
    id: str
    values: dict[str, Any]


def _pixels(field: str, default: int, tooltip: str, least: int = 1) -> Field:
    return Field("Int", field, {"default": default, "min": least, "max": LARGEST, "tooltip": tooltip})


HOW = Field(
    "Combo",
    "how",
    {
        "options": list(MODES),
        "default": MODES[0],
        "tooltip": (
            "fit: the largest result inside of this size, proportions kept. fill: exactly this size, proportions kept, what "
            "sticks out is cut off evenly. stretch: exactly this size, the proportions change."
        ),
    },
)
#: Options of `Framing` that the page calls otherwise.
NAMES = {"factor": "scale", "how": "mode", "longest_at_most": "longest"}
#: The choices, in the order of the menu, with the fields that matter for each.
QUESTION: dict[str, tuple[Field, ...]] = {
    MODEL_SCALE: (),
    FACTOR: (
        Field(
            "Float",
            "factor",
            {
                "default": 2.0,
                "min": 0.05,
                "max": float(LARGEST_SCALE),
                "step": 0.05,
                "round": 0.001,
                "tooltip": (
                    "Enlargement of width and height. The model runs at least once: 1 cleans the image at its own size, "
                    "which models for real photos are good at."
                ),
            },
        ),
    ),
    LONGEST: (_pixels("longest", 3840, "Pixels of the longer side; the other one follows."),),
    SHORTEST: (
        _pixels("shortest", 2160, "Pixels of the shorter side; the other one follows."),
        _pixels(
            "longest_at_most", 0, "If the longer side would get more pixels than this, it gets so many. 0: no limit.", 0
        ),
    ),
    MEGAPIXELS: (
        Field(
            "Float",
            "megapixels",
            {"default": 8.0, "min": 0.01, "max": 1024.0, "step": 0.5, "round": 0.01, "tooltip": "Millions of pixels."},
        ),
    ),
    SIZE: (
        _pixels("width", 1920, "Width in pixels; 0 lets it follow from the height.", 0),
        _pixels("height", 1080, "Height in pixels; 0 lets it follow from the width.", 0),
        HOW,
    ),
    PRESET: (
        Field(
            "Combo",
            "preset",
            {
                "options": list(PRESETS),
                "default": "4K",
                "tooltip": "A size of screens, turned upright for images that are.",
            },
        ),
        HOW,
    ),
}


def asked_for(size: str | Mapping[str, Any] | None, fields: Mapping[str, Any]) -> Framing:
    """Return what the menu and its fields ask for.

    Parameters
    ----------
    size : str or mapping, optional
        The choice; of hosts that show only the fields that matter, with these fields. Such hosts hand nothing on of a choice
        that they don't know.
    fields : mapping
        All fields, of other hosts.

    Raises
    ------
    ImageError
        If there is no such choice, or it makes no sense; hosts don't always check that.
    """
    given = dict(fields) | (dict(size) if isinstance(size, Mapping) else {"size": size})
    choice = given.get("size")
    if not isinstance(choice, str) or choice not in QUESTION:
        shown = "missing, or none that there is" if choice is None else quoted(choice)
        raise ImageError(f"size is {shown}; it must be one of {', '.join(QUESTION)}.")
    asked = {NAMES.get(field.id, field.id): _said(field, given) for field in QUESTION[choice]}
    if choice == SIZE and asked["width"] is asked["height"] is None:
        raise ImageError(f"size is {SIZE!r}, but both are 0; set one of them, or both.")
    return Framing(**asked)


def _said(field: Field, given: Mapping[str, Any]) -> Any:
    """Return what a field says; None if it is 0 and that leaves the question open."""
    value = given.get(field.id, field.values["default"])
    return None if value == field.values.get("min") == 0 else value
