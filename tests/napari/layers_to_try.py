"""The kinds of layers that users have, each small, with properties that aren't the defaults."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np

LOOKS: dict[str, Any] = {"gamma": 0.7, "opacity": 0.8, "blending": "additive", "interpolation2d": "linear"}
GRAY_LOOKS = {**LOOKS, "colormap": "magma", "contrast_limits": (40.0, 900.0)}
MICROMETERS = {2: ("micrometer",) * 2, 3: ("micrometer",) * 3}


def pixels(*shape: int, dtype: str = "uint16", high: int = 1000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def lengths(region: tuple[slice, ...]) -> list[int]:
    """Return how many pixels a region has, per axis."""
    return [part.stop - part.start for part in region]


def kinds() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return data and keyword arguments of `napari.layers.Image`, by name."""
    affine = np.array([[0.9, 0.2, 5], [-0.1, 1.1, -3], [0, 0, 1]])
    stack = pixels(2, 3, 2, 20, 24)
    levels = [pixels(64, 48), pixels(64, 48)[::2, ::2], pixels(64, 48)[::4, ::4]]
    return {
        "gray uint16": (pixels(21, 30), GRAY_LOOKS),
        "RGB uint8": (pixels(18, 25, 3, dtype="uint8", high=256), {**LOOKS, "rgb": True}),
        "RGBA uint8": (np.dstack([pixels(9, 12, 3, dtype="uint8", high=256), np.full((9, 12), 255, "u1")]), {"rgb": True}),
        "float32 with NaN": (
            np.where(pixels(16, 17) > 950, np.nan, pixels(16, 17) / 7).astype("f4"),
            {"contrast_limits": (0, 99)},
        ),
        "TZCYX dask": (
            da.from_array(stack, chunks=(1, 1, 1, 20, 24)),
            {
                **GRAY_LOOKS,
                "scale": (2.0, 1.5, 1.0, 0.4, 0.4),
                "translate": (0, -2, 0, 10, 20),
                "axis_labels": ("t", "z", "c", "y", "x"),
                "units": ("second", "micrometer", "pixel", "micrometer", "micrometer"),
            },
        ),
        "multiscale": (levels, {**GRAY_LOOKS, "multiscale": True, "scale": (0.5, 0.25), "units": MICROMETERS[2]}),
        "rotated, sheared, affine": (
            pixels(15, 22),
            {**GRAY_LOOKS, "scale": (1.5, 0.5), "translate": (7, -4), "rotate": 25, "shear": (0.3,), "affine": affine},
        ),
        "anisotropic ZYX": (
            pixels(3, 14, 18),
            {**GRAY_LOOKS, "scale": (2.0, 0.3, 0.1), "axis_labels": ("z", "y", "x"), "units": MICROMETERS[3]},
        ),
    }
