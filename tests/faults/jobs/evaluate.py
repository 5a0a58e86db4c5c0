"""A model is measured on a folder of pictures."""

from __future__ import annotations

from ..job import Job
from .upscale import picture


def job() -> Job:
    """Return the job."""
    arguments = ("evaluate", "esc-nano-x2", "true", "-o", "figures.csv", "--overwrite", "--device", "cpu")
    return Job(arguments, {f"true/{number}.png": picture(64, 80, number) for number in range(3)})
