"""A stack of two planes of half a megapixel is upscaled in less memory than its feature maps take."""

from __future__ import annotations

import io

import numpy as np
import tifffile

from ..job import Job
from . import hub


def stack() -> bytes:
    """Return a TIFF of 16 bits (2, 700, 700)."""
    blocks = np.random.default_rng(0).integers(0, 2**16, (2, 35, 35), np.uint16)
    tifffile.imwrite(file := io.BytesIO(), blocks.repeat(20, 1).repeat(20, 2), metadata={"axes": "ZYX"}, compression="zlib")
    return file.getvalue()


def job() -> Job:
    """Return the job."""
    return Job(
        (
            "upscale",
            "stack.tif",
            "-o",
            "large.tif",
            "--model",
            "small.safetensors",
            "--memory",
            "160MB",
            "--overwrite",
            "--device",
            "cpu",
        ),
        {"stack.tif": stack(), "small.safetensors": hub.weights()},
    )
