"""A model is written for ONNX Runtime, and tried there before the file is kept."""

from __future__ import annotations

from ..job import Job
from .hub import weights


def job() -> Job:
    """Return the job."""
    arguments = ("export", "mine.safetensors", "mine.onnx", "--overwrite")
    return Job(arguments, {"mine.safetensors": weights()}, packages=("onnx", "onnxscript", "onnxruntime"))
