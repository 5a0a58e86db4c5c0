"""Channels, frames and planes beside each other and alone: ``python benchmarks/channels.py IMAGE...``.

Each image is a channel beside a bright one, and so are the nuclei and the filaments of `esc_plugin.arrays.synthetic`. PSNR
is to the image before it was reduced by two; bias is the mean of a result less that of what it was made from, in % of the
mean signal above the darkest value. It needs scipy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from esc_plugin import Upscaler
from esc_plugin.arrays.bicubic import imresize
from esc_plugin.arrays.synthetic import fluorescence
from esc_plugin.files import read_picture

EDGE = 512
#: The brightest value of the bright channel.
BRIGHT = 60_000
Image = np.ndarray


def binned(image: Image) -> Image:
    """Reduce by two as a camera does it."""
    height, width = image.shape
    return np.rint(image.reshape(height // 2, 2, width // 2, 2).mean((1, 3))).astype(image.dtype)


def bicubic(image: Image) -> Image:
    """Reduce by two as the field does it."""
    return imresize(image, (image.shape[0] // 2, image.shape[1] // 2))


def cubic(image: Image) -> Image:
    """Enlarge by a cubic spline."""
    large = ndimage.zoom(image.astype(float), 2, order=3, mode="nearest", grid_mode=True)
    return np.rint(large.clip(0, 65535)).astype(image.dtype)


REDUCTIONS: dict[str, Callable[[Image], Image]] = {"bicubic": bicubic, "binned": binned}


def psnr(image: Image, truth: Image) -> float:
    error = image.astype(float) - truth
    return float(10 * np.log10(float(np.ptp(truth)) ** 2 / np.mean(error**2)))


def bias(result: Image, source: Image) -> float:
    return 100 * float(result.mean() - source.mean()) / float(source.mean() - source.min())


def pairs(paths: list[Path]) -> list[tuple[str, Image]]:
    """Return names and channels: (2, Y, X) uint16, of which the second is bright."""
    cells = fluorescence(planes=8, edge=EDGE)
    bright = cells["filaments"][4].astype(float)
    bright = np.rint(bright * BRIGHT / bright.max()).astype(np.uint16)
    found = [("synthetic nuclei", np.stack([cells["nuclei"][4], bright]))]
    for path in paths:
        image = np.asarray(read_picture(path).pixels)
        image = (image if image.ndim == 2 else image[..., 0])[:EDGE, :EDGE]
        height, width = (length // 2 * 2 for length in image.shape)
        found.append((path.stem, np.stack([image.astype(np.uint16), bright])[:, :height, :width]))
    return found


def compare(upscaler: Upscaler, name: str, truth: Image, reduction: str) -> None:
    """Print a row for each channel: with one range for both, as a channel, and alone."""
    source = np.stack([REDUCTIONS[reduction](channel) for channel in truth])
    shared = upscaler(source, axes="CYX", intensity=(float(source.min()), float(source.max())))
    together = upscaler(source, axes="CYX")
    for i, channel in enumerate((name, "beside it: bright filaments")):
        alone = upscaler(source[i])
        ways = cubic(source[i]), shared[i], together[i], alone
        cells = [f"{psnr(way, truth[i]):.2f}, {bias(way, source[i]):+.2f}" for way in ways]
        equal = "yes" if np.array_equal(together[i], alone) else "no"
        print(f"| {channel} | {reduction} | " + " | ".join(cells) + f" | {equal} |", flush=True)


def flicker(upscaler: Upscaler, name: str, stack: Image) -> None:
    """Print by how much the means of frames differ from those of the source."""
    ways = [
        np.stack([cubic(plane) for plane in stack]),
        np.stack([upscaler(plane) for plane in stack]),
        upscaler(stack, axes="TYX"),
        upscaler(stack, axes="TYX", consistency=True),
    ]
    found = [[bias(way, source) for way, source in zip(result, stack, strict=True)] for result in ways]
    print(f"| {name} | " + " | ".join(f"{min(values):+.3f} to {max(values):+.3f}" for values in found) + " |", flush=True)


def main() -> None:
    upscaler = Upscaler("esc-nano-x2")
    print("| channel | reduced | cubic | one range for both | as a channel | alone | equal bits |")
    print("|---|---|---|---|---|---|---|")
    for name, truth in pairs([Path(path) for path in sys.argv[1:]]):
        for reduction in REDUCTIONS:
            compare(upscaler, name, truth, reduction)
    print("\n| bias of frames, % | cubic | levels of each | levels of all | local averages kept |")
    print("|---|---|---|---|---|")
    cells = fluorescence(planes=8, edge=192)
    light = cells["nuclei"][4].astype(float) - 100
    film = np.stack([np.rint(100 + light.clip(0) * np.exp(-0.5 * i)) for i in range(6)]).astype(np.uint16)
    flicker(upscaler, "film that fades to a twelfth", film)
    for name, stack in cells.items():
        flicker(upscaler, f"stack of {name}", stack)


if __name__ == "__main__":
    main()
