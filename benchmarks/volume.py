"""What planes between planes are worth: ``python benchmarks/volume.py [--order] STACK...`` (TIFF, finely sampled along z).

Stacks are made coarse along z in three ways, and brought back by interpolation and by `upscale_volume`. It needs scipy.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from esc_plugin import Upscaler
from esc_plugin.arrays.synthetic import GAIN, OFFSET, PHOTONS, READ_NOISE
from esc_plugin.arrays.taps import LANCZOS, TRIANGLE, Kernel, make_filter
from esc_plugin.files import read_picture
from esc_plugin.network.grid import Region
from esc_plugin.volume import upscale_volume

EDGE, FACTORS = 60, (2, 3, 4)
#: Blur of the microscope, standard deviation in voxels of the finely sampled stack; along z, of the coarse step.
BLUR, AXIAL_BLUR = 1.3, 0.8
CUBIC = Kernel(
    lambda x: np.select([np.abs(x) < 1, np.abs(x) < 2], [1.5 * np.abs(x) ** 3 - 2.5 * x**2 + 1, _outer(np.abs(x))]),
    reach=2,
    extends=True,
)
FILTERS = {"linear": TRIANGLE, "cubic": CUBIC, "Lanczos": LANCZOS}


def _outer(x: np.ndarray) -> np.ndarray:
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2


def nuclei(rng: np.random.Generator) -> np.ndarray:
    """Return textured ellipsoids, the same along all axes, 0..1."""
    shape, places = (EDGE,) * 3, np.indices((EDGE,) * 3)
    texture = ndimage.gaussian_filter(rng.standard_normal(shape), 1.6)
    texture, light = np.clip(0.62 + 0.2 * texture / texture.std(), 0.1, 1.2), np.zeros(shape)
    for _ in range(10):
        centre, turn = rng.uniform(8, EDGE - 8, 3), np.linalg.qr(rng.standard_normal((3, 3)))[0]
        inside = np.tensordot(turn, places - centre[:, None, None, None], 1) / rng.uniform(8, 16, 3)[:, None, None, None]
        light = np.where((inside**2).sum(0) < 1, texture * rng.uniform(0.6, 1), light)
    return ndimage.gaussian_filter(light, BLUR)


def filaments(rng: np.random.Generator) -> np.ndarray:
    """Return bent fibres in all directions, 0..1."""
    light = np.zeros((EDGE,) * 3)
    for _ in range(100):
        position, heading = rng.uniform(0, EDGE, 3), rng.standard_normal(3)
        for _ in range(200):
            heading = (heading / np.linalg.norm(heading)) + rng.normal(0, 0.05, 3)
            position += 0.6 * heading
            voxel = np.rint(position).astype(int)
            if ((voxel >= 0) & (voxel < EDGE)).all():
                light[tuple(voxel)] += 1
    light = ndimage.gaussian_filter(light, BLUR)
    return np.clip(light / np.quantile(light, 0.997), 0, 1.6)


def counts(light: np.ndarray, photons: float, rng: np.random.Generator | None = None) -> np.ndarray:
    """Return what a camera counts, with its noise if there is a generator for it."""
    expected = photons * light + 1.5
    if rng is None:
        return OFFSET + GAIN * expected
    return OFFSET + GAIN * rng.poisson(expected) + rng.normal(0, READ_NOISE, light.shape)


def coarse(truth: np.ndarray, factor: int, how: str) -> np.ndarray:
    """Return a stack with planes further apart by a factor."""
    groups = truth.reshape(-1, factor, *truth.shape[1:])
    if how == "averaged":
        return groups.mean(1)
    if how == "blurred":
        groups = blurred(truth, factor).reshape(groups.shape)
    return groups[:, (factor - 1) // 2 : factor // 2 + 1].mean(1)  # the middle plane, or both


def blurred(truth: np.ndarray, factor: int) -> np.ndarray:
    return ndimage.gaussian_filter1d(truth, AXIAL_BLUR * factor, axis=0, mode="nearest")


def interpolated(stack: np.ndarray, factor: int, kernel: Kernel) -> np.ndarray:
    flat = stack.reshape(len(stack), -1).astype(np.float32)
    target = len(stack) * factor, flat.shape[1]
    return make_filter(kernel, flat.shape, target, Region(0, 0, *target))(flat).reshape(-1, *stack.shape[1:])


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(np.ptp(truth) ** 2 / np.mean((result - truth) ** 2)))


def row(upscaler: Upscaler, stack: np.ndarray, truth: np.ndarray, factor: int, how: str) -> list[str]:
    stack = np.rint(stack).clip(0, 65535).astype(np.uint16)
    found = [psnr(interpolated(stack, factor, kernel), truth) for kernel in FILTERS.values()]
    made = {name: upscale_volume(upscaler, stack, factor=factor, sections=name) for name in ("XZ", "YZ")}
    both = upscale_volume(upscaler, stack, factor=factor)
    kept = upscale_volume(upscaler, stack, factor=factor, consistency=True)
    found += [psnr(result.astype(float), truth) for result in (*made.values(), both, kept)]
    signal = stack.mean() - stack.min()
    bias = [f"{100 * (result.mean() - stack.mean()) / signal:+.2f}" for result in (both, kept)]
    limit = f"{psnr(blurred(truth, factor), truth):.1f}" if how == "blurred" else ""
    return [f"{value:.1f}" for value in found] + bias + [limit]


def orders(upscaler: Upscaler, truth: np.ndarray, factor: int) -> list[str]:
    """Return what comes of rows and columns doubled before the planes are, and after."""
    z, y, x = (n // 4 * 4 for n in truth.shape)
    truth = truth[:z, :y, :x]
    small = truth.reshape(z // factor, factor, y // 2, 2, x // 2, 2).mean((1, 3, 5))
    stack = np.rint(small).clip(0, 65535).astype(np.uint16)
    options = {"intensity": upscaler.levels(stack, axes="ZYX")}
    first = upscaler(upscale_volume(upscaler, stack, factor=factor, **options), axes="ZYX", scale=2, **options)
    last = upscale_volume(upscaler, upscaler(stack, axes="ZYX", scale=2, **options), factor=factor, **options)
    return [f"{psnr(result.astype(float), truth):.2f}" for result in (first, last)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stacks", nargs="*", type=Path)
    parser.add_argument("--order", action="store_true", help="rows and columns enlarged too: before or after")
    asked = parser.parse_args()
    upscaler, rng = Upscaler("esc-nano-x2"), np.random.default_rng(3)
    made = {"nuclei": nuclei(rng), "filaments": filaments(rng)}
    truths = {name: counts(light, PHOTONS[name]) for name, light in made.items()}
    for path in asked.stacks:  # z is blurred in any microscope, so that y stands in for it
        stack = np.asarray(read_picture(path).pixels).astype(float)
        truths[path.stem] = stack.transpose(1, 0, 2)[: stack.shape[1] // 12 * 12]
    if asked.order:
        print("| stack, planes | z first | XY first |\n|---|---|---|")
        for name, truth in truths.items():
            for factor in (2, 4):
                print(f"| {name}, {factor} | {' | '.join(orders(upscaler, truth, factor))} |", flush=True)
        return
    names = [*FILTERS, "XZ", "YZ", "both", "consistent", "both, bias %", "consistent, bias %", "limit"]
    print(f"| stack, planes | {' | '.join(names)} |")
    print("|---" * 11 + "|")
    for name, truth in truths.items():
        noisy = ["with noise"] if name in made else []
        for how in ("averaged", "thin", "blurred", *noisy):
            for factor in FACTORS:
                if how == "thin" and factor == 2:  # the middle of two is their mean
                    continue
                stack = coarse(truth, factor, "averaged" if how == "with noise" else how)
                if how == "with noise":
                    light = coarse(made[name], factor, "averaged")
                    stack = counts(light, PHOTONS[name], np.random.default_rng(factor))
                print(f"| {name}, {how}, {factor} | {' | '.join(row(upscaler, stack, truth, factor, how))} |", flush=True)


if __name__ == "__main__":
    main()
