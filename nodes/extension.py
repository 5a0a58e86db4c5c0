"""The pack as ComfyUI loads it: which nodes there are, and what its own nodes learn."""

from __future__ import annotations

import logging

from comfy_api.latest import ComfyExtension, io

from ..esc_plugin import errors
from .load_node import BROKEN_IMPORT, LoadModel
from .upscale_node import PreviewUpscale, UpscaleImage
from .video_node import UpscaleVideo

logger = logging.getLogger(__name__)


class EscExtension(ComfyExtension):
    """All nodes of this pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the nodes."""
        return [LoadModel, UpscaleImage, PreviewUpscale, UpscaleVideo]


def teach_spandrel() -> None:
    """Have ComfyUI's own nodes, and all others that use spandrel, load ESC files. Without spandrel the pack still loads."""
    try:
        from .spandrel_support import register

        register()
    except BROKEN_IMPORT as error:
        logger.warning("ComfyUI's own upscale nodes can't load ESC models, because spandrel can't be imported: %s", error)


def name_errors() -> None:
    """Have errors shown by a name of their own: ComfyUI's name for a pack is the path of its folder."""
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.EscError):
            kind.__module__ = "esc_plugin"


async def comfy_entrypoint() -> EscExtension:
    """Return the extension; ComfyUI calls this once."""
    return EscExtension()


name_errors()
teach_spandrel()
