"""What a model gains over bicubic on images of a kind: ``python benchmarks/gains.py MODEL FOLDER [NAME...]`` (8 bits).

Each image is reduced in three ways and measured by `esc_plugin.measure.evaluate`; the means are the ``gains`` of
``manifest.yaml``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from esc_plugin import Upscaler
from esc_plugin.arrays.bicubic import imresize
from esc_plugin.batch.find import find_originals
from esc_plugin.measure.evaluate import evaluate
from esc_plugin.measure.photo import read_photo
from esc_plugin.measure.scores import mean

#: Photons at white in a binned pixel of the noisy reduction.
PHOTONS = 1000


def bicubic(image: np.ndarray, scale: int) -> np.ndarray:
    return imresize(image, (image.shape[0] // scale, image.shape[1] // scale))


def binned(image: np.ndarray, scale: int) -> np.ndarray:
    return _levels(_bin(image, scale))


def noisy(image: np.ndarray, scale: int) -> np.ndarray:
    return _levels(np.random.default_rng(0).poisson(_bin(image, scale) / 255 * PHOTONS) / PHOTONS * 255)


def _bin(image: np.ndarray, scale: int) -> np.ndarray:
    height, width = image.shape[0] // scale, image.shape[1] // scale
    return image.reshape(height, scale, width, scale, -1).mean((1, 3)).squeeze()


def _levels(image: np.ndarray) -> np.ndarray:
    return image.round().clip(0, 255).astype(np.uint8)


def _true(path: Path, scale: int) -> np.ndarray:
    """Return the image cut to whole pixels of its reduction, without transparency, and gray where it has no colour."""
    pixels = read_photo(path)
    pixels = pixels[: pixels.shape[0] // scale * scale, : pixels.shape[1] // scale * scale]
    gray = pixels.ndim == 2 or (pixels[..., :3] == pixels[..., :1]).all()
    return pixels.reshape(*pixels.shape[:2], -1)[..., 0] if gray else pixels[..., :3]


def main() -> None:
    model, folder, *names = sys.argv[1:]
    upscaler = Upscaler(model, precision="float32")
    scale = upscaler.model.scale
    images = {
        path.stem: _true(path, scale)
        for path in find_originals([Path(folder)], recursive=False)
        if path.stem.startswith(tuple(names) or "")
    }
    print("| reduction | images | model, dB | bicubic, dB | gain, dB |\n|---|---|---|---|---|")
    for reduce in (bicubic, binned, noisy):
        with tempfile.TemporaryDirectory() as work:
            high, low = Path(work, "high"), Path(work, "low")
            for place in (high, low):
                place.mkdir()
            for stem, image in images.items():
                Image.fromarray(image).save(high / f"{stem}.png")
                Image.fromarray(reduce(image, scale)).save(low / f"{stem}.png")
            found = mean(evaluate(upscaler, high, low))
        figures = (found.psnr_y, found.bicubic_psnr_y, found.psnr_y - found.bicubic_psnr_y)
        print(f"| {reduce.__name__} | {len(images)} | " + " | ".join(f"{value:.2f}" for value in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
