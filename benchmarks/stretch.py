"""What a second pass of a network is worth where one has made nearly enough: ``python benchmarks/stretch.py FOLDER``.

Each image is reduced by bicubic interpolation and enlarged back, with one pass that a filter enlarges further and with two
that it shrinks; PSNR is that of the luma without a border of 8 pixels.
"""

from __future__ import annotations

import sys

import numpy as np
from timing import timed

from esc_plugin import Upscaler
from esc_plugin.arrays.bicubic import imresize
from esc_plugin.batch.find import find_originals
from esc_plugin.measure.photo import read_photo
from esc_plugin.measure.scores import luma, psnr

#: By how much the output of one pass has to be stretched.
STRETCHES = (1.04, 1.1, 1.2, 1.25, 1.3, 1.5)
BORDER = 8


def compared(upscaler: Upscaler, image: np.ndarray, factor: float, passes: int) -> tuple[float, float]:
    """Return the PSNR in dB of an image that was reduced by a factor and enlarged again, and the seconds that took."""
    height, width = image.shape[:2]
    small = imresize(image, (round(height / factor), round(width / factor)))
    found, seconds = timed(lambda: upscaler(small, size=(height, width), passes=passes, intensity="range"))
    inside = slice(BORDER, -BORDER)
    return psnr(luma(found)[inside, inside], luma(image)[inside, inside]), seconds


def main() -> None:
    folder, *names = sys.argv[1:]
    images = [read_photo(path) for path in find_originals([folder])]
    images = [image if image.ndim == 2 else image[..., :3] for image in images]
    for name in names or ["esc-nano-x2"]:
        upscaler = Upscaler(name, precision="float32")
        scale = upscaler.model.scale
        print(
            f"\n{name}\n\n| factor | stretch | 1 pass dB | 2 passes dB | 1 pass s | 2 passes s |\n|---|---|---|---|---|---|"
        )
        for stretch in STRETCHES:
            found = [[compared(upscaler, image, scale * stretch, passes) for image in images] for passes in (1, 2)]
            (one, first), (two, second) = (np.mean(pairs, 0) for pairs in found)
            print(f"| {scale * stretch:g} | {stretch:g} | {one:.2f} | {two:.2f} | {first:.2f} | {second:.2f} |", flush=True)


if __name__ == "__main__":
    main()
