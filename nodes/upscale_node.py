"""Upscale Image (ESC), and Preview Upscale (ESC), which makes a part of the same picture."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..esc_plugin.network.grid import Region
from .host import ComfyHost
from .options import Options
from .schema import CATEGORY, MODEL_TOOLTIP, blend_inputs, schema, share_input, size_inputs, work_inputs
from .upscale import upscale, upscale_a_part


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
