"""Make README's first picture with the bundled models: ``python docs/images/before_after.py``.

It needs scikit-image and mahotas, inside of which the pictures come. No bundled model has learned from them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from mahotas import demos
from PIL import Image
from skimage import data, io

from esc_plugin import Upscaler
from esc_plugin.measure.compare import Comparison, Detail, compare, write_comparison
from esc_plugin.measure.degradation import Degradation

PATH = Path(__file__).with_name("before-after.png")
#: Of a detail, in pixels, and how large each of them is shown: three of them fill the width of a package's page.
SIDE, ZOOM = 130, 2


def main() -> None:
    """Draw a photo and a micrograph, one above the other."""
    photo = row(data.astronaut(), "esc-nano-real-x2", "noise=10,jpeg=80", 165, 60)
    cells = row(nuclei(), "esc-nano-fluorescence-x2", "bin,photons=100", 290, 78)
    sheet = Image.fromarray(np.concatenate([np.asarray(photo), np.asarray(cells)]))
    write_comparison(PATH, sheet, Upscaler("esc-nano-real-x2", device="cpu"))


def row(image: np.ndarray, model: str, degrade: str, left: int, top: int) -> Image.Image:
    """Draw bicubic interpolation, the model and the original; the input itself has too few pixels to be looked at."""
    upscaler = Upscaler(model, device="cpu", precision="float32")
    found = compare(image, upscaler, degradation=Degradation.parse(degrade), detail=Detail(left, top, SIDE, SIDE))
    print(model, degrade, f"{found.bicubic:.2f} -> {found.model:.2f} dB")
    before, after, original = found.panels[1:]
    before = replace(before, title="before", note=f"interpolated, {before.note}")
    return Comparison((before, replace(after, title="after"), original)).draw(ZOOM)


def nuclei() -> np.ndarray:
    """Return some nuclei of about the same brightness, with room for photons between 8 bits."""
    return io.imread(demos.image_path("nuclear.png"))[580:1000, 700:1200, 0].astype(np.uint16) * 257


if __name__ == "__main__":
    main()
