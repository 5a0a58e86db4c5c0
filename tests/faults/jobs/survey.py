"""A whole picture is looked at, so that regions of its result can be made."""

from __future__ import annotations

from ..job import Job
from .upscale import picture


def job() -> Job:
    """Return the job."""
    arguments = ("survey", "a.png", "-o", "survey.json", "--overwrite", "--model", "esc-nano-x2", "--device", "cpu")
    return Job(arguments, {"a.png": picture(96, 120)})
