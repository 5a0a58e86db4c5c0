"""The nodes as ComfyUI knows them: names, sockets and widgets."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from comfy_api.latest import ComfyExtension, io

from ..esc_plugin.device import PRECISIONS
from ..esc_plugin.errors import EscError
from .host import ComfyHost, ComfyModelFolders, attach_patcher
from .models import load_choice, model_choices
from .upscale import MODEL_SCALE, TARGETS, Request, upscale

logger = logging.getLogger(__name__)

CATEGORY = "image/upscaling"
#: Arguments that only newer versions of `io.Schema` know. An unknown one would cost this node and all after it.
SCHEMA_FIELDS = {field.name for field in dataclasses.fields(io.Schema)}
#: What importing spandrel raises where it, or the torchvision that it needs, is missing or doesn't fit torch.
BROKEN_IMPORT = (ImportError, RuntimeError)


def schema(**values: Any) -> io.Schema:
    """Make a schema of those values that this version of ComfyUI knows."""
    return io.Schema(**{name: value for name, value in values.items() if name in SCHEMA_FIELDS})


class LoadModel(io.ComfyNode):
    """Load ESC Model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Name the node, its inputs and its outputs."""
        return schema(
            node_id="ESC_LoadModel",
            display_name="Load ESC Model",
            category=CATEGORY,
            search_aliases=["esc", "upscale model loader", "super resolution", "hugging face upscaler"],
            description=(
                "Loads an ESC super-resolution model: one on offer, any ESC file in your upscale_models folders, "
                "or one from the Hugging Face Hub. Other upscale nodes take its output too."
            ),
            inputs=[
                io.Combo.Input(
                    "model",
                    options=model_choices(ComfyModelFolders().files()),
                    tooltip=(
                        "Models on offer come first; those that are not here yet are downloaded into models/upscale_models. "
                        "Your own ESC files follow, in any format their trainers write."
                    ),
                ),
                io.String.Input(
                    "hub_id",
                    default="",
                    optional=True,
                    placeholder="org/repo or org/repo/file.safetensors",
                    tooltip="A model on the Hugging Face Hub. If this is filled in, it is used instead of the menu.",
                ),
            ],
            outputs=[
                io.UpscaleModel.Output(
                    display_name="upscale_model",
                    tooltip="For Upscale Image (ESC) and for every other node that takes an upscale model.",
                )
            ],
        )

    @classmethod
    def execute(cls, model: str, hub_id: str = "") -> io.NodeOutput:
        """Load the model that was chosen in the menu or named on the Hub, and describe it for the wire."""
        try:
            from .spandrel_support import describe
        except BROKEN_IMPORT as error:
            raise EscError(f"an upscale model needs spandrel, which can't be imported: {error}") from None
        with ComfyHost().download_callbacks() as (progress, cancel):
            loaded = load_choice(model, hub_id, ComfyModelFolders(), progress=progress, cancel=cancel)
        return io.NodeOutput(attach_patcher(describe(loaded.network)))


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


class EscExtension(ComfyExtension):
    """All nodes of this pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the nodes."""
        return [LoadModel, UpscaleImage]


def teach_spandrel() -> None:
    """Have ComfyUI's own nodes, and all others that use spandrel, load ESC files. Without spandrel the pack still loads."""
    try:
        from .spandrel_support import register

        register()
    except BROKEN_IMPORT as error:
        logger.warning("ComfyUI's own upscale nodes can't load ESC models, because spandrel can't be imported: %s", error)


async def comfy_entrypoint() -> EscExtension:
    """Return the extension; ComfyUI calls this once."""
    return EscExtension()


teach_spandrel()
