"""Schemas of nodes that every version of ComfyUI takes, newer fields left out where it doesn't know them."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from comfy_api.latest import io


def category_of(stock_node: str, default: str) -> str:
    """Return the category of one of ComfyUI's own nodes, which changes with its version: ours stand beside it."""
    registered = getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {})
    return str(getattr(registered.get(stock_node), "CATEGORY", default))


CATEGORY = category_of("ImageUpscaleWithModel", "image/upscaling")
LOADERS = category_of("UpscaleModelLoader", "loaders")
#: Arguments that only newer versions of `io.Schema` know. An unknown one would cost this node and all after it.
SCHEMA_FIELDS = {field.name for field in dataclasses.fields(io.Schema)}


def schema(**values: Any) -> io.Schema:
    """Make a schema of those values that this version of ComfyUI knows."""
    return io.Schema(**{name: value for name, value in values.items() if name in SCHEMA_FIELDS})
