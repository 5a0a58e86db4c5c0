"""Schemas of nodes that every version of ComfyUI takes, newer fields left out where it doesn't know them."""

from __future__ import annotations

import dataclasses
from typing import Any

from comfy_api.latest import io

CATEGORY = "image/upscaling"
#: Arguments that only newer versions of `io.Schema` know. An unknown one would cost this node and all after it.
SCHEMA_FIELDS = {field.name for field in dataclasses.fields(io.Schema)}


def schema(**values: Any) -> io.Schema:
    """Make a schema of those values that this version of ComfyUI knows."""
    return io.Schema(**{name: value for name, value in values.items() if name in SCHEMA_FIELDS})
