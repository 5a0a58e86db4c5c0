"""What hot pixels cost under each rule for the levels of intensity: ``python benchmarks/levels.py IMAGE...`` (16 bits)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from esc_plugin import Upscaler
from esc_plugin.arrays.bicubic import imresize
from esc_plugin.files import read_picture

RULES = ("minmax", "range", "percentile", "percentile:1,99", "auto")
COUNTS = (0, 1, 100)
#: Output pixels around a hot one that don't count.
NEAR = 6


def psnr(image: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    error = image.astype(float)[where] - truth[where]
    return float(10 * np.log10(float(np.ptp(truth)) ** 2 / np.mean(error**2)))


def with_hot_pixels(image: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    hot, far = image.copy(), np.ones((2 * image.shape[0], 2 * image.shape[1]), bool)
    for y, x in np.random.default_rng(0).integers(4, min(image.shape) - 4, (count, 2)):
        hot[y, x] = 65535
        far[max(2 * y - NEAR, 0) : 2 * y + NEAR + 2, max(2 * x - NEAR, 0) : 2 * x + NEAR + 2] = False
    return hot, far


def main() -> None:
    upscaler = Upscaler("esc-nano-x2")
    print("| image, hot pixels | " + " | ".join(RULES) + " |")
    print("|---|" + "---|" * len(RULES))
    for path in map(Path, sys.argv[1:]):
        truth = np.asarray(read_picture(path).pixels)[:512, :512].astype(np.uint16)
        image = imresize(truth, (truth.shape[0] // 2, truth.shape[1] // 2))
        for count in COUNTS:
            hot, far = with_hot_pixels(image, count)
            found = [psnr(upscaler(hot, intensity=rule), truth, far) for rule in RULES]
            print(f"| {path.stem}, {count} | " + " | ".join(f"{value:.2f}" for value in found) + " |", flush=True)


if __name__ == "__main__":
    main()
