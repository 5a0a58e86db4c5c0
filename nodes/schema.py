"""Schemas of nodes that every version of ComfyUI takes, and the inputs that several nodes have."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from comfy_api.latest import io

from .options import MENUS
from .size_question import MODEL_SCALE, QUESTION, Field


def category_of(stock_node: str, default: str) -> str:
    """Return the category of one of ComfyUI's own nodes, which changes with its version: ours stand beside it."""
    registered = getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {})
    return str(getattr(registered.get(stock_node), "CATEGORY", default))


CATEGORY = category_of("ImageUpscaleWithModel", "image/upscaling")
LOADERS = category_of("UpscaleModelLoader", "loaders")
#: Arguments that only newer versions of `io.Schema` know. An unknown one would cost this node and all after it.
SCHEMA_FIELDS = {field.name for field in dataclasses.fields(io.Schema)}

MODEL_TOOLTIP = "From Load ESC Model or ComfyUI's Load Upscale Model. ESC models are recognised by themselves."
SIZE_TOOLTIP = (
    "How large the result is. Unless the model renders any size itself, it runs as often as is needed, and a Lanczos filter "
    "goes the rest of the way: down, or up by 1.25 at most."
)


def schema(**values: Any) -> io.Schema:
    """Make a schema of those values that this version of ComfyUI knows."""
    return io.Schema(**{name: value for name, value in values.items() if name in SCHEMA_FIELDS})


def made(field: Field, tooltip: str = "") -> Any:
    """Return the input of a field, with another tooltip if one is given."""
    values = field.values | ({"tooltip": tooltip} if tooltip else {})
    return getattr(io, field.kind).Input(field.id, **values)


def advanced(declared: Any) -> Any:
    """Return an input that front ends show on demand; of 2025 they always show it, and don't know the argument."""
    declared.advanced = True
    return declared


def size_inputs() -> list[Any]:
    """Return the question for the size: one menu that shows the fields that matter, or where ComfyUI can't, all of them.

    It comes last in every node: workflows store values of widgets by position, and so all before it have one position.
    """
    if hasattr(io, "DynamicCombo"):
        options = [io.DynamicCombo.Option(choice, [made(field) for field in fields]) for choice, fields in QUESTION.items()]
        return [io.DynamicCombo.Input("size", options=options, tooltip=SIZE_TOOLTIP)]
    menu = io.Combo.Input("size", options=list(QUESTION), default=MODEL_SCALE, tooltip=SIZE_TOOLTIP)
    used: dict[str, tuple[Field, list[str]]] = {}
    for choice, fields in QUESTION.items():
        for field in fields:
            used.setdefault(field.id, (field, []))[1].append(choice)
    return [menu] + [
        made(field, f"{field.values['tooltip']} Used if size is {' or '.join(choices)}.") for field, choices in used.values()
    ]


def work_inputs() -> list[Any]:
    """Return how it shall be done: what most people never touch."""
    return [
        io.Float.Input(
            "memory_limit",
            display_name="memory limit (GiB)",
            default=0.0,
            min=0.0,
            max=1024.0,
            step=0.25,
            tooltip=(
                "Most memory to work with, in GiB: of the graphics card, or of the computer if there is none. "
                "0 takes what is free. Less memory makes an ESC model slower, never different."
            ),
        ),
        advanced(
            io.Combo.Input(
                "passes",
                options=list(MENUS["passes"]),
                default=MENUS["passes"][0],
                tooltip=(
                    "How often the model runs. auto: as often as the size needs, which is never for an image that is large "
                    "enough. 1 with a smaller size cleans the image; 2 or more run the model on what it made."
                ),
            )
        ),
        advanced(
            io.Boolean.Input(
                "consistency",
                display_name="keep colours",
                default=False,
                tooltip=(
                    "Keep the colours: the average over each pixel of the image stays what it was. For whole factors, and "
                    "images without transparency."
                ),
            )
        ),
        advanced(
            io.Boolean.Input(
                "linear_light",
                display_name="linear light",
                default=False,
                tooltip="Resize what the model made in linear light, so that fine bright lines keep their brightness.",
            )
        ),
        advanced(
            io.Combo.Input(
                "alpha",
                display_name="transparency by",
                options=["network", "lanczos"],
                default="network",
                tooltip="What enlarges transparency: the model, or a Lanczos filter.",
            )
        ),
        advanced(
            io.Combo.Input(
                "precision",
                options=list(MENUS["precision"]),
                default=MENUS["precision"][0],
                tooltip="Number format of the model's work. 16 bits take half the memory and are a little less exact.",
            )
        ),
    ]


def blend_inputs() -> list[Any]:
    """Return what may be blended in."""
    return [
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="Where the model counts: white all of it, black the enlarged image. Of the image's proportions.",
        ),
        io.UpscaleModel.Input(
            "second_model",  # a display_name would be shown in every language
            optional=True,
            tooltip="Another model to blend with, of any scale: a sharp one with a soft one, say.",
        ),
        io.Float.Input(
            "strength",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="How much of the result is the models'. The rest is the image, enlarged by a Lanczos filter.",
        ),
    ]


def share_input() -> Any:
    """Return how much the second model counts."""
    return advanced(
        io.Float.Input(
            "second_share",
            display_name="share of second model",
            default=0.5,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="How much of the result is the second model's. Used if there is one.",
        )
    )
