"""How far results with sampled means are from those with exact ones, and how far the survey says that they are.

    PYTHONPATH=. python benchmarks/survey.py path/to/images

The folder holds ``train_tiles`` (photographs of 256 x 256, which are put side by side) and ``microscopy``. Everything is
compared as the network's output, before it is rounded: root mean square over the whole result, in 0..1.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import log10
from pathlib import Path

import numpy as np
from PIL import Image

from esc_plugin import Upscaler
from esc_plugin.arrays.synthetic import fluorescence
from esc_plugin.engine.cells import EDGE

SAMPLES = 4, 16, 32
#: Rows and columns of an image.
LARGEST = 768


def pictures(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and images, floating in 0..1, (Y, X) or (Y, X, S)."""
    tiles = sorted((folder / "train_tiles").iterdir())
    for start in (0, 600):
        yield f"mosaic of photographs from no. {start}", mosaic(tiles[start:], 3, 3)
    for name in ("zebrafish_16bit.png", "nuclei_cc0/nuclei_00.png"):
        yield Path(name).stem, unit(np.asarray(Image.open(folder / "microscopy" / name))[:LARGEST, :LARGEST])
    yield "synthetic filaments", unit(fluorescence(planes=6, edge=LARGEST)["filaments"][3])


def mosaic(tiles: list[Path], rows: int, columns: int) -> np.ndarray:
    """Put photographs side by side."""
    parts = [np.asarray(Image.open(tile).convert("RGB")) for tile in tiles[: rows * columns]]
    return unit(np.block([[[part] for part in parts[i * columns : (i + 1) * columns]] for i in range(rows)]))


def unit(image: np.ndarray) -> np.ndarray:
    values = image[..., :3].astype(np.float32) if image.ndim == 3 else image.astype(np.float32)
    return (values - values.min()) / (values.max() - values.min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="esc-nano-x2")
    parser.add_argument("--scale", type=float)
    args = parser.parse_args()
    upscaler = Upscaler(args.model, precision="float32")
    print("| image | samples | predicted, dB | actual, dB | actual / predicted |")
    print("|---|---|---|---|---|")
    ratios = []
    for name, image in pictures(args.folder):
        options = {"intensity": (0, 1), "scale": args.scale}
        exact = upscaler(image, **options)
        for count in SAMPLES:
            survey = upscaler.survey(image, pixels=count * EDGE**2, **options)
            actual = float(np.sqrt(np.mean((upscaler(image, survey=survey, **options) - exact) ** 2, dtype=np.float64)))
            ratios.append(actual / survey.difference)
            size = f"{name}, {image.shape[1]} x {image.shape[0]}"
            print(
                f"| {size} | {count} | {survey.sampling.psnr:.1f} | {-20 * log10(actual):.1f} | {ratios[-1]:.2f} |",
                flush=True,
            )
    print(f"\nactual / predicted: {min(ratios):.2f} to {max(ratios):.2f}, median {np.median(ratios):.2f}")


if __name__ == "__main__":
    main()
