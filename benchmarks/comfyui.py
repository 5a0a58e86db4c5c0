"""Upscale Image (ESC) beside ComfyUI's own Upscale Image (using Model), in one process.

    PYTHONPATH=. python benchmarks/comfyui.py --comfyui path/to/ComfyUI --json comfyui.json

Each model is a file that both load: the pack's loader and node against the core's loader and node, called as ComfyUI calls
them. What is no ESC network ("Compact") opens with the core's loader for both. They take turns, round after round, so that a
machine whose speed drifts slows them alike; a ratio is of two runs of one round, below 1 where the pack takes less. Beside
the time that passes, the time of all processors is compared, which other work on the machine stretches less. The core's
node computes in float32; of the pack "auto" is what people get (bfloat16 for models that it was measured to be harmless
for, where the processor has it), "float32" the same arithmetic. The peak is what a run took beyond what the process had
before it.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.util
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from speed import PEERS, declare_torchvision, ours, peak_bytes, peer
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]

#: What ran: the label of a candidate, and what it calls with an image.
Candidates = dict[str, Callable[[Tensor], Tensor]]


def start_core(core: Path) -> None:
    """Make the core's modules importable, for work on the CPU."""
    declare_torchvision()
    os.chdir(core)
    sys.path.insert(0, str(core))
    import comfy.cli_args

    comfy.cli_args.args.cpu = True


def load_pack() -> Any:
    """Load this checkout as ComfyUI loads a pack, and return its package."""
    import folder_paths  # noqa: F401  # by which the pack knows where it is

    spec = importlib.util.spec_from_file_location("esc_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec
    assert spec.loader
    pack = importlib.util.module_from_spec(spec)
    sys.modules["esc_pack"] = pack
    spec.loader.exec_module(pack)
    return pack


def write_model(name: str, folder: Path) -> str:
    """Put a model's file into a folder and return its name: one on offer, or a network of the paper with random weights."""
    from safetensors.torch import save_file

    own, _, scale = name.rpartition("-x")
    file = f"{name}.safetensors"
    network = peer(own, int(scale)) if own in PEERS else ours(own, int(scale))[1].network
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / file)
    return file


def candidates(name: str, folder: Path, precisions: list[str]) -> Candidates:
    """Return the nodes with a model loaded, by what to call them."""
    from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel, UpscaleModelLoader
    from esc_pack.nodes.load_node import LoadModel
    from esc_pack.nodes.upscale_node import UpscaleImage

    file = write_model(name, folder)
    theirs = UpscaleModelLoader.execute(file)[0]
    mine = theirs if name.rpartition("-x")[0] in PEERS else LoadModel.execute(file)[0]
    found: Candidates = {"core": lambda image: ImageUpscaleWithModel.execute(theirs, image)[0]}
    node = UpscaleImage.PREPARE_CLASS_CLONE(None)
    for precision in precisions:
        found[precision] = partial(run_ours, node, mine, precision)
    return found


def run_ours(node: Any, model: Any, precision: str, image: Tensor) -> Tensor:
    out: Tensor = node.execute(model, image, precision=precision, size={"size": "model scale"})[0]
    return out


def picture(side: int) -> Tensor:
    """Return an image (1, side, side, 3) of 8 bits, coarse and fine."""
    torch.manual_seed(0)
    coarse = F.interpolate(torch.rand(1, 3, 16, 16), (side, side), mode="bicubic")
    fine = F.interpolate(torch.rand(1, 3, side // 2, side // 2), (side, side), mode="bilinear")
    return (0.7 * coarse + 0.3 * fine).clamp(0, 1).mul(255).round().div(255).movedim(1, -1).contiguous()


def measured(run: Callable[[], object]) -> tuple[float, float, float]:
    """Return seconds, seconds of all processors, and peak MiB of a run."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    idle, wall, cpu = psutil.Process().memory_info().rss, time.perf_counter(), time.process_time()
    run()
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    return *seconds, (peak_bytes() - idle) / 2**20


def compare(name: str, side: int, threads: int, found: Candidates, repeat: int) -> dict[str, Any]:
    """Run all candidates in turn, and return what each took in each round."""
    torch.set_num_threads(threads)
    image, small = picture(side), picture(64)
    for run in found.values():
        run(small)
    rounds: dict[str, list[tuple[float, float, float]]] = {label: [] for label in found}
    for i in range(repeat):
        for label in list(found)[:: 1 if i % 2 else -1]:
            rounds[label].append(measured(partial(found[label], image)))
    return {"model": name, "side": side, "threads": threads, "rounds": rounds}


def rows(result: dict[str, Any]) -> list[str]:
    """Return a row of the table for each candidate of the pack."""
    rounds = result["rounds"]
    core, found = list(zip(*rounds["core"], strict=True)), []
    for label in list(rounds)[1:]:
        own = list(zip(*rounds[label], strict=True))
        ratios = [[a / b for a, b in zip(own[i], core[i], strict=True)] for i in (0, 1)]
        cells = [f"{statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in ratios]
        times = [f"{statistics.median(core[i]):.2f} / {statistics.median(own[i]):.2f}" for i in (0, 1)]
        peaks = f"{max(core[2]):.0f} / {max(own[2]):.0f}"
        about = f"{result['model']}, {label} | {result['side']} | {result['threads']}"
        found.append(f"| {about} | {times[0]} | {cells[0]} | {times[1]} | {cells[1]} | {peaks} |")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--comfyui", type=Path, default=os.environ.get("COMFYUI"), help="folder of a ComfyUI; or $COMFYUI")
    parser.add_argument("--models", nargs="+", default=["esc-nano-x2", "esc-nano-x4", "ESC-lt-x4", "Compact-x4"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512, 1024, 2048])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--precisions", nargs="+", default=["auto", "float32"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--most", type=float, default=60, help="megapixels of a result; larger ones are skipped")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if not args.comfyui:
        parser.error("say where a ComfyUI is: --comfyui FOLDER")
    json_file = args.json.absolute() if args.json else None
    start_core(args.comfyui.absolute())
    load_pack()
    import folder_paths

    logging.disable(logging.WARNING)
    results = []
    print(f"load before: {os.getloadavg()[0]:.1f}, of {os.cpu_count()} cores")
    print("| model, precision | side | threads | s, core / pack | ratio | CPU s, core / pack | ratio | MiB, core / pack |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        folder_paths.add_model_folder_path("upscale_models", folder, is_default=True)
        for name in args.models:
            found = candidates(name, Path(folder), args.precisions)
            for side in args.sizes:
                if (side * int(name.rpartition("-x")[2])) ** 2 > args.most * 1e6:
                    continue
                for threads in args.threads:
                    result = compare(name, side, threads, found, args.repeat)
                    results.append(result)
                    print("\n".join(rows(result)), flush=True)
    print(f"load after: {os.getloadavg()[0]:.1f}")
    if json_file:
        json_file.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
