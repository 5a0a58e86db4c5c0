"""What a shorter precision costs a model, and what it gains here: the evidence behind `harmless` in manifest.yaml.

    PYTHONPATH=. python benchmarks/precision.py esc-nano-x2 path/to/Set5/HR

For each image of the folder, reduced by MATLAB's bicubic: PSNR on Y in float32 and in the shorter precision, the difference
of the two results at the 99.9th percentile in levels of 255, and the ratio of the times. A precision is called harmless to
a model if it loses less than 0.01 dB on average and differs by less than one level.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np
import torch
from timing import timed

from esc_plugin import Upscaler, load_model
from esc_plugin.arrays.bicubic import imresize
from esc_plugin.files import read_picture
from esc_plugin.measure.scores import luma, psnr

LEAST_LOSS_DB, LEVEL = 0.01, 1.0


def run(upscaler: Upscaler, image: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the result in levels, not rounded, and the seconds."""
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    upscaler.run(batch)
    out, seconds = timed(lambda: upscaler.run(batch))
    return out[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--precision", default="bfloat16")
    args = parser.parse_args()
    model = load_model(args.model)
    upscalers = [Upscaler(model, precision=precision) for precision in ("float32", args.precision)]
    losses, levels, ratios = [], [], []
    for path in sorted(args.folder.iterdir()):
        truth = np.asarray(read_picture(path).pixels)
        if truth.ndim != 3:
            continue
        size = tuple(n // model.scale for n in truth.shape[:2])
        truth = truth[: size[0] * model.scale, : size[1] * model.scale, :3]
        (full, slow), (short, quick) = (run(upscaler, imresize(truth, size)) for upscaler in upscalers)
        shave = slice(model.scale, -model.scale)
        figures = [psnr(luma(np.rint(x).astype(np.uint8))[shave, shave], luma(truth)[shave, shave]) for x in (full, short)]
        losses.append(figures[0] - figures[1])
        levels.append(float(np.percentile(np.abs(full - short), 99.9)))
        ratios.append(slow / quick)
        text = f"{figures[0]:.4f} dB, {losses[-1]:+.4f} lost, {levels[-1]:.2f} levels, {ratios[-1]:.2f} x faster"
        print(f"{path.name}: {text}")
    loss, level = statistics.fmean(losses), max(levels)
    verdict = "harmless" if loss < LEAST_LOSS_DB and level < LEVEL else "not harmless"
    text = f"{loss:+.4f} dB lost, {level:.2f} levels, {statistics.median(ratios):.2f} x faster"
    print(f"{args.model} in {args.precision}: {text}: {verdict}")


if __name__ == "__main__":
    main()
