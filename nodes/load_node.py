"""Load ESC Model."""

from __future__ import annotations

from comfy_api.latest import io

from ..esc_plugin.errors import EscError
from .host import ComfyHost, ComfyModelFolders, attach_patcher
from .models import load_choice, model_choices
from .schema import CATEGORY, schema

#: What importing spandrel raises where it, or the torchvision that it needs, is missing or doesn't fit torch.
BROKEN_IMPORT = (ImportError, RuntimeError)


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
