"""Upscale Image (ESC)."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..esc_plugin.device import PRECISIONS
from .host import ComfyHost
from .schema import CATEGORY, schema
from .upscale import MODEL_SCALE, TARGETS, Request, upscale


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
                "seamless upscale",
                "low vram upscale",
            ],
            description=(
                "Upscales images of any size with an ESC model, without tiles and so without seams: the result is the same "
                "for any amount of memory. Other upscale models run in ComfyUI's overlapping tiles."
            ),
            inputs=[
                io.UpscaleModel.Input(
                    "upscale_model",
                    tooltip="From Load ESC Model or ComfyUI's Load Upscale Model. ESC models are recognised by themselves.",
                ),
                io.Image.Input(
                    "image", tooltip="One image or a batch, which is worked on image by image. Transparency is kept."
                ),
                io.Combo.Input(
                    "target",
                    options=list(TARGETS),
                    default=MODEL_SCALE,
                    tooltip=(
                        "How large the result is: as large as the model makes it, a factor, or a width and height in "
                        "pixels. Sizes between the model's own are resized from the next larger one."
                    ),
                ),
                io.Float.Input(
                    "factor",
                    default=2.0,
                    min=0.1,
                    max=16.0,
                    step=0.1,
                    tooltip="Enlargement of width and height. Used if target is factor.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=32768,
                    tooltip="Width in pixels; 0 keeps the proportions. Used if target is width and height.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=32768,
                    tooltip="Height in pixels; 0 keeps the proportions. Used if target is width and height.",
                ),
                io.Float.Input(
                    "memory_limit",
                    default=0.0,
                    min=0.0,
                    max=1024.0,
                    step=0.25,
                    tooltip=(
                        "Most memory to work with, in GiB: of the graphics card, or of the computer if there is none. "
                        "0 takes what is free. Less memory makes an ESC model slower, never different."
                    ),
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", *PRECISIONS],
                    default="auto",
                    tooltip="Number format of the model's work. 16 bits take half the memory and are a little less exact.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The enlarged images, with their transparency.")],
        )

    @classmethod
    def execute(cls, upscale_model: Any, image: Any, **request: Any) -> io.NodeOutput:
        """Upscale a batch (B, H, W, 3 or 4) in 0..1 as the widgets say."""
        return io.NodeOutput(upscale(upscale_model, image, Request(**request), ComfyHost()))
