"""A folder of small pictures of many formats is upscaled into another one; what is done already is left out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from ..job import Job


def noise(shape: tuple[int, ...], seed: int, dtype: type = np.uint8) -> np.ndarray:
    """Return random values of a type's whole range."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype)


def encoded(pixels: np.ndarray, form: str, **options: Any) -> bytes:
    """Return a file of pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    """Return a TIFF file of pixels."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def job() -> Job:
    """Return the job."""
    pictures = {
        "colour.png": encoded(noise((40, 48, 3), 0), "png"),
        "clear.png": encoded(noise((40, 48, 4), 1), "png"),
        "deep.png": encoded(noise((40, 48), 2, np.uint16), "png"),
        "photo.jpg": encoded(noise((40, 48, 3), 3), "jpeg", quality=95),
        "web.webp": encoded(noise((40, 48, 3), 4), "webp", lossless=True),
        "gray.bmp": encoded(noise((40, 48), 5), "bmp"),
        "pages.tif": tiff(noise((3, 32, 40), 6, np.uint16), photometric="minisblack"),
        "more/below.tif": tiff(noise((40, 48, 3), 7), photometric="rgb"),
    }
    arguments = (
        "upscale",
        "in",
        "-o",
        "out/",
        "--recursive",
        "--skip-existing",
        "--model",
        "esc-nano-x2",
        "--device",
        "cpu",
    )
    inputs = {f"in/{name}": content for name, content in pictures.items()}
    return Job(arguments, inputs, most_errors=len(inputs))
