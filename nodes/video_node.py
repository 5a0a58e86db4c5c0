"""Upscale Video (ESC)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import InputImpl, io

from .host import ComfyHost
from .options import Options
from .schema import CATEGORY, MODEL_TOOLTIP, schema, size_inputs, work_inputs
from .video import upscale_video


class UpscaleVideo(io.ComfyNode):
    """Upscale Video (ESC)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Name the node, its inputs and its outputs."""
        return schema(
            node_id="ESC_UpscaleVideo",
            display_name="Upscale Video (ESC)",
            category=CATEGORY,
            search_aliases=["esc", "video upscale", "film", "movie", "super resolution", "low memory video"],
            description=(
                "Upscales a video frame by frame with an ESC model, in the memory of a few frames however long it is. "
                "Sound, timing, colours and tags are kept."
            ),
            inputs=[
                io.UpscaleModel.Input("upscale_model", tooltip=f"{MODEL_TOOLTIP} Other models can't be used here."),
                io.Video.Input("video", tooltip="From Load Video, Create Video or any other node that makes one."),
                io.Boolean.Input(
                    "steady",
                    default=False,
                    tooltip=(
                        "All frames between two cuts share what the model knows of the whole picture, from five of them: "
                        "for models that flicker. Those of the pack don't."
                    ),
                ),
                *(part for part in work_inputs() if part.id != "alpha"),
                *size_inputs(),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The enlarged video, in a temporary file.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, upscale_model: Any, video: Any, steady: bool = False, **widgets: Any) -> io.NodeOutput:
        """Upscale a video as the widgets say."""
        host, folder = ComfyHost(cls.hidden.unique_id), Path(folder_paths.get_temp_directory())
        path = upscale_video(upscale_model, video, Options.of(widgets), steady, folder, host)
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)))
