"""Load ESC Model."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..esc_plugin.errors import EscError
from .host import ComfyHost, ComfyModelFolders, attach_patcher
from .models import find_choice, fingerprint, load_choice, model_menu
from .recognize import with_threads
from .schema import LOADERS, advanced, schema

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
            category=LOADERS,
            search_aliases=["esc", "upscale model loader", "super resolution", "hugging face upscaler"],
            description=(
                "Loads an ESC super-resolution model: one on offer, any ESC file in your upscale_models folders, "
                "or one from the Hugging Face Hub. Other upscale nodes take its output too."
            ),
            inputs=[
                _menu(),
                io.String.Input(
                    "hub_id",
                    display_name="Hugging Face model",
                    default="",
                    optional=True,
                    placeholder="org/repo, or the address of its page",
                    tooltip=(
                        "A model on the Hugging Face Hub: org/repo, org/repo/file.safetensors, or the address of its page, "
                        "pasted. If this is filled in, it is used instead of the menu."
                    ),
                ),
                advanced(
                    io.Int.Input(
                        "threads",
                        display_name="processor threads",
                        default=0,
                        min=0,
                        max=1024,
                        optional=True,
                        tooltip=(
                            "Most processor threads for an ESC model that runs on the processor; fewer leave room for other "
                            "programs. 0 takes all. The pixels are the same."
                        ),
                    )
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
    def validate_inputs(cls, model: str | None = None, hub_id: str | None = "") -> bool | str:
        """Take any model that is there: also one that an older menu, or that of another computer, called otherwise."""
        if model is not None and not (hub_id or "").strip():
            try:
                find_choice(model, ComfyModelFolders())
            except EscError as error:
                return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, model: str | None = None, hub_id: str | None = "", threads: int = 0) -> str:
        """Return what changes when the model has to be loaded anew."""
        return fingerprint(model, hub_id, ComfyModelFolders())

    @classmethod
    def execute(cls, model: str, hub_id: str = "", threads: int = 0) -> io.NodeOutput:
        """Load the model that was chosen in the menu or named on the Hub, and describe it for the wire."""
        try:
            from .spandrel_support import describe
        except BROKEN_IMPORT as error:
            raise EscError(f"an upscale model needs spandrel, which can't be imported: {error}") from None
        with ComfyHost().download_callbacks() as (progress, cancel):
            loaded = load_choice(model, hub_id, ComfyModelFolders(), progress=progress, cancel=cancel)
        return io.NodeOutput(attach_patcher(with_threads(describe(loaded.network), threads)))


def _menu() -> Any:
    """Return the menu of models; web/js/model_menu.js shows the labels in place of the values."""
    labels = model_menu(ComfyModelFolders())
    menu = io.Combo.Input(
        "model",
        options=list(labels),
        tooltip=(
            "Models on offer and your own ESC files, by what they are for. What is not here yet is downloaded into "
            "models/upscale_models. Other upscale models open with Load Upscale Model."
        ),
    )
    menu.extra_dict = {"labels": labels}  # an argument for it came later than the attribute
    return menu
