"""Upscale Image (ESC) beside ComfyUI's own Upscale Image (using Model), in one process.

    PYTHONPATH=. python benchmarks/comfyui.py --comfyui path/to/ComfyUI --json comfyui.json

Each model is a file that both load: the pack's loader and node against the core's loader and node, called as ComfyUI calls
them. What is no ESC network ("Compact") opens with the core's loader for both. They take turns, round after round; a ratio
is of two runs of one round, below 1 where the pack takes less. Rounds in which other programs computed are thrown away;
`--busy 2` lets two processes compute beside on purpose. The core's node computes in float32; of the pack "auto" is what
people get (bfloat16 for models that it was measured to be harmless for, where the processor has it), "float32" the same
arithmetic. The peak is what a run took beyond what the process had before it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from networks import declare_torchvision, is_peer, model_of, named, peer
from quiet import BusyError, Company, Others, check_quiet, quiet_rounds
from timing import Taken, in_turn, machine, measured, ratios, spread, trim
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

    file = f"{name}.safetensors"
    network = peer(name) if is_peer(name) else model_of(name).network
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / file)
    return file


def candidates(name: str, folder: Path, precisions: list[str]) -> Candidates:
    """Return the nodes with a model loaded, by what to call them."""
    from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel, UpscaleModelLoader
    from esc_pack.nodes.load_node import LoadModel
    from esc_pack.nodes.upscale_node import UpscaleImage

    file = write_model(name, folder)
    theirs = UpscaleModelLoader.execute(file)[0]
    mine = theirs if is_peer(name) else LoadModel.execute(file)[0]
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


def compare(name: str, side: int, threads: int, found: Candidates, repeat: int, others: Others) -> dict[str, Any]:
    """Run all candidates in turn, and return what each took in each round."""
    torch.set_num_threads(threads)
    image, small = picture(side), picture(64)
    for run in found.values():
        run(small)

    def one_round(number: int) -> dict[str, Taken]:
        return {label: measured_alone(partial(found[label], image)) for label in in_turn(list(found), number)}

    rounds, loads, _ = quiet_rounds(one_round, repeat, others)
    taken = {label: [each[label] for each in rounds] for label in found}
    return {"model": name, "side": side, "threads": threads, "loads": loads, "taken": taken}


def measured_alone(run: Callable[[], object]) -> Taken:
    trim()
    return measured(run)


def rows(result: dict[str, Any]) -> list[str]:
    """Return a row of the table for each candidate of the pack."""
    core, *_ = result["taken"].values()
    found = []
    for label, own in list(result["taken"].items())[1:]:
        cells = [f"{result['model']}, {label}", result["side"], result["threads"]]
        for name in ("seconds", "cpu"):
            theirs, mine = ([getattr(taken, name) for taken in each] for each in (core, own))
            cells += [f"{statistics.median(theirs):.2f} / {statistics.median(mine):.2f}", spread(ratios(mine, theirs))]
        cells.append(" / ".join(f"{max(taken.peak for taken in each) / 2**20:.0f}" for each in (core, own)))
        found.append(f"| {' | '.join(map(str, cells))} |")
    return found


def compare_all(args: argparse.Namespace, folder: Path, company: Company) -> list[dict[str, Any]]:
    """Compare all models at all sizes and numbers of threads, and print a row as soon as it is known."""
    results, others = [], Others()
    check_quiet(others)
    company.compute(args.busy)
    print(f"{machine(max(args.threads))}; beside on purpose: {args.busy} processes that compute.\n")
    print("| model, precision | side | threads | s, core / pack | ratio | CPU s, core / pack | ratio | MiB, core / pack |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in args.models:
        found = candidates(name, folder, args.precisions)
        sides = [side for side in args.sizes if (side * named(name)[1]) ** 2 <= args.most * 1e6]
        for side, threads in product(sides, args.threads):
            results.append(compare(name, side, threads, found, args.repeat, others))
            print("\n".join(rows(results[-1])), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--comfyui", type=Path, default=os.environ.get("COMFYUI"), help="folder of a ComfyUI; or $COMFYUI")
    parser.add_argument("--models", nargs="+", default=["esc-nano-x2", "esc-nano-x4", "ESC-lt-x4", "Compact-x4"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512, 1024, 2048])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--precisions", nargs="+", default=["auto", "float32"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="processes that compute beside")
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
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode(), Company(args.busy) as company:
        folder_paths.add_model_folder_path("upscale_models", folder, is_default=True)
        try:
            results = compare_all(args, Path(folder), company)
        except BusyError as error:
            sys.exit(str(error))
    loads = [load for result in results for load in result["loads"]]
    print(f"\nOther programs took {min(loads):.2f} to {max(loads):.2f} cores.")
    if json_file:
        json_file.write_text(json.dumps(results, indent=1, default=asdict), encoding="utf-8")


if __name__ == "__main__":
    main()
