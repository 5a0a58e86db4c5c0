"""What regions, workers and very large images cost.

    PYTHONPATH=. python benchmarks/large.py regions --side 1200
    PYTHONPATH=. python benchmarks/large.py workers --side 3000
    PYTHONPATH=. python benchmarks/large.py giant --side 30000
    PYTHONPATH=. python benchmarks/large.py slide --microseconds 4.2

`regions`: the engine over a whole image, and the same result region by region with a survey, in one run.
`workers`: rendering into a store by one process with all threads, and by two with one thread each.
`giant`: a sparse 16-bit OME-Zarr is made, surveyed from samples, and regions of 1000 x 1000 are rendered; memory and files.
`slide`: what 100k x 100k pixels come to, by arithmetic, from the microseconds of an input pixel that the others measured.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from timing import peak_bytes, timed

from esc_plugin import Upscaler
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.zarr_store import ShardedImage

MODEL = "esc-nano-x2"


def texture(side: int, seed: int = 0) -> np.ndarray:
    """Return smoothed noise, (side, side) uint16."""
    rough = np.random.default_rng(seed).random((side // 8 + 2, side // 8 + 2)).astype(np.float32)
    smooth = rough.repeat(8, 0).repeat(8, 1)[:side, :side]
    return (smooth * 4000 + np.random.default_rng(seed + 1).random((side, side)) * 200).astype(np.uint16)


def seconds(work: Any) -> float:
    return timed(work)[1]


def regions(side: int) -> None:
    upscaler, image = Upscaler(MODEL, device="cpu"), texture(side)
    upscaler(image[:128, :128])
    survey = upscaler.survey(image)
    whole = upscaler(image, survey=None)
    engine = seconds(lambda: upscaler(image))
    print(f"| {side} x {side}, all at once by the engine | {engine:.1f} s | 1 |")
    print(f"| its survey alone | {seconds(lambda: upscaler.survey(image)):.1f} s | |")
    target = 2 * side
    for edge in (512, 1024, 2048):
        out = np.empty_like(whole)

        def render(edge: int = edge, out: np.ndarray = out) -> None:
            for top, left in product(range(0, target, edge), repeat=2):
                place = (top, min(top + edge, target)), (left, min(left + edge, target))
                out[slice(*place[0]), slice(*place[1])] = upscaler(image, region=place, survey=survey)

        took = seconds(render)
        print(f"| regions of {edge} | {took:.1f} s | {took / engine:.2f} | equal: {np.array_equal(out, whole)} |")


def workers(side: int) -> None:
    from esc_plugin.cluster.render import render

    upscaler, image = Upscaler(MODEL, device="cpu"), texture(side)
    survey = upscaler.survey(image)
    with tempfile.TemporaryDirectory() as folder:
        source = make_image(Path(folder) / "in.ome.zarr", image)
        times = {}
        for count in (1, 2):
            axes = Axes("yx", (1.0, 1.0), (0.0, 0.0), ("pixel", "pixel"))
            shape = (2 * side, 2 * side)
            store = ShardedImage.create(
                Path(folder) / f"{count}.ome.zarr", shape, np.uint16, axes, job={"of": count}, shard=1024
            )
            times[count] = seconds(lambda store=store, count=count: render(upscaler, source, survey, store, workers=count))
            print(f"| {count} workers | {times[count]:.1f} s | {times[1] / times[count]:.2f} |")


def make_image(path: Path, image: np.ndarray) -> Any:
    """Write an OME-Zarr and return its lazily read pixels."""
    from esc_plugin.files import read_picture
    from esc_plugin.files.ome_image import save_image

    save_image(path, image, Axes("yx", (1.0, 1.0), (0.0, 0.0), ("pixel", "pixel")))
    return read_picture(path, lazy=True).pixels


def giant(side: int, samples: int = 200_000) -> None:
    import zarr

    from esc_plugin.files import read_picture

    folder = Path(tempfile.mkdtemp())
    try:
        group = zarr.open_group(str(folder / "giant.zarr"), mode="w")
        array = group.create_array(
            "0", shape=(side, side), chunks=(512, 512), shards=(2048, 2048), dtype="uint16", fill_value=300
        )
        rng, piece = np.random.default_rng(0), texture(2048)
        for _ in range(24):
            top, left = (int(rng.integers(0, side // 2048)) * 2048 for _ in range(2))
            array[top : top + 2048, left : left + 2048] = piece[: side - top, : side - left]
        image = read_picture(folder / "giant.zarr" / "0", lazy=True).pixels
        upscaler = Upscaler(MODEL, device="cpu")
        survey, took = timed(lambda: upscaler.survey(image, intensity=(0, 4500), pixels=samples))
        print(f"| survey of {samples:,} pixels, {survey.sampling} | {took:.1f} s |")
        print(f"| peak memory of that | {peak_bytes() / 2**30:.2f} GiB |")
        tops = [int(rng.integers(0, 2 * side - 1000)) for _ in range(8)]
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # whoever renders needs no more than this
            pool.submit(render_regions, folder / "giant.zarr" / "0", survey.to_json(), tops).result()
    finally:
        shutil.rmtree(folder)


def render_regions(path: Path, text: str, places: list[int]) -> None:
    from esc_plugin.files import read_picture
    from esc_plugin.survey import Survey

    survey, image = Survey.from_json(text), read_picture(path, lazy=True).pixels
    upscaler = Upscaler(MODEL, device="cpu")
    for number, (top, left) in enumerate(zip(places[::2], places[1::2], strict=True)):
        place = (top, top + 1000), (left, left + 1000)
        took = seconds(lambda place=place: upscaler(image, intensity=(0, 4500), region=place, survey=survey))
        print(f"| region {number + 1} of 1000 x 1000 | {took:.1f} s |")
    print(f"| peak memory of rendering | {peak_bytes() / 2**30:.2f} GiB |", flush=True)


def slide(microseconds: float) -> None:
    side, block = 100_000, 2048
    tasks = (2 * side // block + 1) ** 2
    reach = 112
    read = tasks * (block // 2 + 2 * reach) ** 2 * 3
    written = (2 * side) ** 2 * 3 * 4 / 3
    print(f"| tasks | {tasks:,} |\n| read | {read / 1e9:.0f} GB |\n| written, with the pyramid | {written / 1e9:.0f} GB |")
    total = side**2 * microseconds * 1e-6
    for count in (1, 8, 64, 256):
        rate = (read + written) / (total / count)
        print(f"| {count} workers | {total / count / 3600:.1f} h | {rate / 1e6:.0f} MB/s |")
    print(f"| a link of 1 GB/s is full from | {1e9 * total / (read + written):.0f} workers |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["regions", "workers", "giant", "slide"])
    parser.add_argument("--side", type=int, default=1200)
    parser.add_argument("--microseconds", type=float, default=4.0)
    given = parser.parse_args()
    slide(given.microseconds) if given.what == "slide" else globals()[given.what](given.side)


if __name__ == "__main__":
    main()
