"""Bicubic and a model are drawn side by side."""

from __future__ import annotations

from ..job import Job
from .upscale import picture


def job() -> Job:
    """Return the job."""
    arguments = ("compare", "a.png", "-o", "both.png", "--overwrite", "--model", "esc-nano-x2", "--device", "cpu")
    return Job(arguments, {"a.png": picture(96, 120)})
