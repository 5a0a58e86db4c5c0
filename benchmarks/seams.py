"""What cutting the image costs, and that cutting the work costs nothing.

    PYTHONPATH=. python benchmarks/seams.py --picture docs/images/seams.png

One 3000 x 2000 picture, one model, three ways: untiled; in the smallest chunks of work; and in overlapping tiles (512
pixels, 32 pixels overlap, blended linearly), as other programs do. Prints how far the last two are from the first, at
borders and elsewhere.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import data
from torch import Tensor

from esc_plugin.arrays.planes import TensorImage
from esc_plugin.catalog.load import load_model
from esc_plugin.engine import Plan, Run
from esc_plugin.engine.plan import LEAST_CHUNK_BYTES, regions
from esc_plugin.network import ESC

TILE, OVERLAP = 512, 32
NEAR = 4  # input pixels from a border that count as "at" it


def photo(height: int, width: int) -> Tensor:
    """Put photographs side by side and mirror them until the size is reached."""
    pictures = [
        data.astronaut()[:300, :450],
        data.coffee()[:300, :450],
        data.chelsea()[:300, :450],
        data.rocket()[:300, :450],
    ]
    sheet = np.concatenate([np.concatenate(pictures[:2], 1), np.concatenate(pictures[2:], 1)])
    sheet = np.pad(sheet, ((0, height - sheet.shape[0]), (0, width - sheet.shape[1]), (0, 0)), mode="symmetric")
    return torch.from_numpy(np.ascontiguousarray(sheet)).permute(2, 0, 1)[None].float() / 255


def chunked(network: ESC, image: Tensor) -> tuple[Tensor, Tensor]:
    """Run in the smallest chunks; also return which input pixels lie at a border of any step's chunks."""
    geometry = network.geometry(*image.shape[-2:])
    program = network.program(geometry)
    out = torch.empty(1, 3, *geometry.output)
    plan = Plan(dict.fromkeys(program.channels, "device"), LEAST_CHUNK_BYTES)
    Run(program, geometry, plan, TensorImage(image), TensorImage(out), torch.device("cpu"), torch.float32).execute()
    borders = torch.zeros(geometry.grid, dtype=torch.bool)
    for step in program.steps:
        if step.multiple > 1 or step.writes == "output":
            for region in regions(step, geometry.grid, LEAST_CHUNK_BYTES, 4):
                mark(borders, region.top, region.left)
    return out, borders


def mark(borders: Tensor, row: int, column: int) -> None:
    if row:
        borders[row - NEAR : row + NEAR] = True
    if column:
        borders[:, column - NEAR : column + NEAR] = True


def tiled(network: ESC, image: Tensor) -> tuple[Tensor, Tensor]:
    """Cut the image into overlapping tiles and blend them linearly."""
    scale, (height, width) = network.config.scale, image.shape[-2:]
    total = torch.zeros(1, 3, height * scale, width * scale)
    weight = torch.zeros(1, 1, height * scale, width * scale)
    borders = torch.zeros(height, width, dtype=torch.bool)
    for top in range(0, max(height - OVERLAP, 1), TILE - OVERLAP):
        for left in range(0, max(width - OVERLAP, 1), TILE - OVERLAP):
            part = image[..., top : top + TILE, left : left + TILE]
            out = network(part)
            ramps = [
                ramp(n, at > 0, at + n < size)
                for n, at, size in zip(part.shape[-2:], (top, left), (height, width), strict=True)
            ]
            mask = (ramps[0][:, None] * ramps[1]).repeat_interleave(scale, 0).repeat_interleave(scale, 1)
            rows, columns = slice(top * scale, (top + TILE) * scale), slice(left * scale, (left + TILE) * scale)
            total[..., rows, columns] += out * mask
            weight[..., rows, columns] += mask
            mark(borders, top + OVERLAP // 2 if top else 0, left + OVERLAP // 2 if left else 0)
    return total / weight, borders


def ramp(length: int, at_start: bool, at_end: bool) -> Tensor:
    weights = torch.ones(length)
    rise = (torch.arange(min(OVERLAP, length)) + 1) / (OVERLAP + 1)
    if at_start:
        weights[: len(rise)] *= rise
    if at_end:
        weights[-len(rise) :] *= rise.flip(0)
    return weights


def report(name: str, found: Tensor, expected: Tensor, borders: Tensor, scale: int, seconds: float) -> Tensor:
    difference = (found - expected).abs().amax(1)[0] * 255
    at = borders.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    cells = [difference[at].mean(), difference[~at].mean(), difference.max()]
    psnr = 10 * torch.log10(1 / (found - expected).square().mean())
    print(
        f"| {name} | " + " | ".join(f"{float(c):.2g}" for c in cells) + f" | {float(psnr):.1f} | {seconds:.1f} |", flush=True
    )
    return difference


def picture(path: str, differences: list[Tensor], scale: int) -> None:
    """Draw how far the chunks (left) and the tiles (right) are from the untiled result; white is a level of 255 or more."""
    # The largest difference of each block, so that a line one pixel wide doesn't get lost.
    maps = [F.max_pool2d(d[None, None], 3 * scale, ceil_mode=True)[0, 0].clamp(0, 1) * 255 for d in differences]
    gap = torch.full((maps[0].shape[0], 8), 255.0)
    sheet = torch.cat([maps[0], gap, maps[1]], 1)
    Image.fromarray(sheet.round().byte().numpy()).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", default="esc-nano-x2")
    parser.add_argument("--size", type=int, nargs=2, default=[2000, 3000], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--picture")
    args = parser.parse_args()
    network = load_model(args.model).network
    image = photo(*args.size)
    with torch.inference_mode():
        network(image[..., :256, :256])
        start = time.perf_counter()
        expected = network(image)
        whole = time.perf_counter() - start
        differences = []
        print("| levels of 255 | mean at borders | mean elsewhere | largest | PSNR to untiled, dB | seconds |")
        print("|---|---|---|---|---|---|")
        print(f"| untiled | 0 | 0 | 0 | | {whole:.1f} |")
        for name, run in (("chunks of work", chunked), ("tiles", tiled)):
            start = time.perf_counter()
            out, borders = run(network, image)
            seconds = time.perf_counter() - start
            differences.append(report(name, out, expected, borders, network.config.scale, seconds))
    if args.picture:
        picture(args.picture, differences, network.config.scale)


if __name__ == "__main__":
    main()
