"""Upscale Image (ESC), and Preview Upscale (ESC), which makes a part of the same picture."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..esc_plugin.network.grid import Region
from .host import ComfyHost
from .options import MENUS, Options
from .schema import CATEGORY, schema
from .size_question import MODEL_SCALE, QUESTION, Field
from .upscale import upscale, upscale_a_part

#: What both nodes take.
MODEL_TOOLTIP = "From Load ESC Model or ComfyUI's Load Upscale Model. ESC models are recognised by themselves."
SIZE_TOOLTIP = (
    "How large the result is. Unless the model renders any size itself, it runs as often as is needed, and a Lanczos filter "
    "goes the rest of the way: down, or up by 1.25 at most."
)


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


class UpscaleImage(io.ComfyNode):
    """Upscale Image (ESC)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Name the node, its inputs and its outputs."""
        return schema(
            node_id="ESC_UpscaleImage",
            display_name="Upscale Image (ESC)",
            category=CATEGORY,
            search_aliases=[
                "esc",
                "upscale",
                "enlarge",
                "super resolution",
                "tiled upscale",
                "low vram upscale",
                "4k",
            ],
            description=(
                "Upscales images to any size with an ESC model, in the memory there is. The image isn't cut into tiles, so "
                "the result is the same for any amount of memory. Other upscale models run in ComfyUI's overlapping tiles."
            ),
            inputs=[
                io.UpscaleModel.Input("upscale_model", tooltip=MODEL_TOOLTIP),
                io.Image.Input(
                    "image", tooltip="One image or a batch, which is worked on image by image. Transparency is kept."
                ),
                *blend_inputs(),
                *work_inputs(),
                share_input(),
                *size_inputs(),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The enlarged images, with their transparency.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, upscale_model: Any, image: Any, **widgets: Any) -> io.NodeOutput:
        """Upscale a batch (B, H, W, 3 or 4) in 0..1 as the widgets say."""
        host = ComfyHost(cls.hidden.unique_id)
        return io.NodeOutput(upscale(upscale_model, image, Options.of(widgets), host))


class PreviewUpscale(io.ComfyNode):
    """Preview Upscale (ESC)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Name the node, its inputs and its outputs."""
        side: dict[str, Any] = {"min": 1, "max": 16384, "default": 256}
        return schema(
            node_id="ESC_PreviewUpscale",
            display_name="Preview Upscale (ESC)",
            category=CATEGORY,
            search_aliases=["esc", "preview", "crop", "detail", "region", "part"],
            description=(
                "Makes a part of what Upscale Image (ESC) would make, pixel by pixel the same: the model looks at the whole "
                "image first, which is remembered, so that another part of the same image comes at once."
            ),
            inputs=[
                io.UpscaleModel.Input("upscale_model", tooltip="An ESC model."),
                io.Image.Input("image", tooltip="The whole image."),
                io.Int.Input("x", default=0, min=0, max=65535, tooltip="Left edge of the part, in pixels of the image."),
                io.Int.Input("y", default=0, min=0, max=65535, tooltip="Upper edge of the part, in pixels of the image."),
                io.Int.Input(
                    "part_width", display_name="width of part", tooltip="Width of the part, in pixels of the image.", **side
                ),
                io.Int.Input(
                    "part_height",
                    display_name="height of part",
                    tooltip="Height of the part, in pixels of the image.",
                    **side,
                ),
                *blend_inputs(),
                *work_inputs(),
                share_input(),
                *size_inputs(),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The part, enlarged.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, upscale_model: Any, image: Any, x: int, y: int, part_width: int, part_height: int, **widgets: Any
    ) -> io.NodeOutput:
        """Upscale a part of each image of a batch."""
        host, part = ComfyHost(cls.hidden.unique_id), Region(y, x, y + part_height, x + part_width)
        return io.NodeOutput(upscale_a_part(upscale_model, image, part, Options.of(widgets), host))
