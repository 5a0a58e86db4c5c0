"""A PyTorch file becomes safetensors."""

from __future__ import annotations

from ..job import Job, same_weights
from .download import weights


def job() -> Job:
    """Return the job."""
    return Job(("convert", "mine.pth", "mine.safetensors", "--overwrite"), {"mine.pth": weights()}, same=same_weights)
