"""A picture is upscaled by a model that comes with the package."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ..job import Job


def picture(height: int, width: int, seed: int = 0) -> bytes:
    """Return a PNG file of random blocks, in colour."""
    blocks = np.random.default_rng(seed).integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    pixels = blocks.repeat(8, 0).repeat(8, 1)[:height, :width]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def job() -> Job:
    """Return the job."""
    return Job(
        ("upscale", "a.png", "-o", "a_x2.png", "--model", "esc-nano-x2", "--overwrite", "--device", "cpu"),
        {"a.png": picture(96, 120)},
    )
