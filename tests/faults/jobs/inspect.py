"""A report is written of what a model sees in a picture."""

from __future__ import annotations

from ..job import Job
from .upscale import picture


def job() -> Job:
    """Return the job."""
    arguments = ("inspect", "esc-nano-x2", "a.png", "-o", "report.html", "--steps", "4", "--crop", "64", "--overwrite")
    return Job(arguments, {"a.png": picture(64, 64)}, packages=("matplotlib",))
