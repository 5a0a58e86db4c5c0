"""ComfyUI loads a clone of this repository as a node pack; this file hands it the nodes. Nothing else imports it."""

import sys

#: Help pages of the nodes, relative to this file.
WEB_DIRECTORY = "./web"

# Test runners execute this file too, outside of ComfyUI and without a package.
if __package__ and "folder_paths" in sys.modules:
    from .nodes.extension import comfy_entrypoint

    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
