"""Time of one upscale on this machine, beside plain versions and what else a user would pick.

    PYTHONPATH=. python benchmarks/speed.py --size 256 --repeat 5 --json benchmarks/results/speed.json

All candidates run in turn, round after round, so that a machine whose speed drifts slows them alike; medians are compared.
"plain" is a plain reading of the paper (tests/oracle.py) with the attention written out, "fused" the same with torch's
scaled_dot_product_attention. "ours" is what `Upscaler.run` does. The peers come from spandrel, with random weights; the
ceilings are a large matrix product and a large convolution.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esc_plugin.estimate import work
from esc_plugin.network import ESC, EscConfig, released
from esc_plugin.upscaler import Upscaler
from esc_plugin.weights.load import load_model
from esc_plugin.weights.model import Model

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.oracle import esc_forward

PEERS: dict[str, tuple[str, str, dict]] = {
    "SwinIR-light": (
        "SwinIR.__arch.SwinIR",
        "SwinIR",
        {
            "window_size": 8,
            "embed_dim": 60,
            "depths": [6] * 4,
            "num_heads": [6] * 4,
            "mlp_ratio": 2,
            "upsampler": "pixelshuffledirect",
        },
    ),
    "ATD-light": (
        "ATD.__arch.atd_arch",
        "ATD",
        {
            "embed_dim": 48,
            "depths": (6,) * 4,
            "num_heads": (4,) * 4,
            "window_size": 16,
            "category_size": 128,
            "num_tokens": 64,
            "reducted_dim": 8,
            "convffn_kernel_size": 7,
            "mlp_ratio": 1.0,
            "upsampler": "pixelshuffledirect",
        },
    ),
    "OmniSR": ("OmniSR.__arch.OmniSR", "OmniSR", {"res_num": 5}),
    "SPAN": ("SPAN.__arch.span", "SPAN", {"num_in_ch": 3, "num_out_ch": 3}),
    "RealPLKSR": ("PLKSR.__arch.RealPLKSR", "RealPLKSR", {}),
    "Compact": ("Compact.__arch.SRVGG", "SRVGGNetCompact", {}),
}
SCALE_NAMES = {"OmniSR": "up_scale", "RealPLKSR": "upscaling_factor"}


#: Keeps the schemas alive that a torchvision built for CUDA wants before it can be imported beside a torch for CPUs.
LIBRARY = torch.library.Library("torchvision", "DEF")


def declare_torchvision() -> None:
    """Declare them, unless torchvision fits this torch."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def peer(name: str, scale: int) -> nn.Module:
    declare_torchvision()
    module, cls, options = PEERS[name]
    make = getattr(importlib.import_module(f"spandrel.architectures.{module}"), cls)
    return make(**options, **{SCALE_NAMES.get(name, "upscale"): scale}).eval()


def ours(name: str, scale: int, precision: str = "float32") -> tuple[Upscaler, Model]:
    if name.startswith("esc-"):
        model = load_model(f"{name}-x{scale}")
    else:
        config: EscConfig = released(name, scale)
        network = ESC(config).eval().requires_grad_(False)
        model = Model(network, config, name, "random", "")
    return Upscaler(model, device="cpu", precision=precision), model


def ceilings(dtype: torch.dtype, repeat: int) -> dict[str, float]:
    """Return the GFLOP/s of a large matrix product and a large 3x3 convolution."""
    a = torch.rand(2048, 2048).to(dtype)
    x = torch.rand(1, 64, 512, 512).to(dtype).to(memory_format=torch.channels_last)
    w = torch.rand(64, 64, 3, 3).to(dtype)
    flops = {"matmul": 2 * 2048**3, "convolution": 2 * 9 * 64 * 64 * 512 * 512}
    runs = {"matmul": lambda: a @ a, "convolution": lambda: F.conv2d(x, w, padding=1)}
    return {name: flops[name] / median_time(run, repeat) / 1e9 for name, run in runs.items()}


def median_time(run: Callable[[], object], repeat: int) -> float:
    run()
    return statistics.median(timed(run) for _ in range(repeat))


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def candidates(names: list[str], scale: int, image: Tensor, precisions: list[str], peers: list[str]) -> dict[str, tuple]:
    """Return what to run, and the FLOP of it where it is known."""
    side = image.shape[-1]
    found: dict[str, tuple] = {}
    for name in names:
        if name == "ESC-Real" and scale != 4:
            continue
        upscaler, model = ours(name, scale)
        flops = 2 * work(upscaler, (side, side), (side * scale, side * scale))
        if model.config.head == "classic":
            state = model.network.state_dict()
            options = {"scale": scale, "window": model.config.window_size, "heads": model.config.num_heads}
            found[f"{name} plain"] = (lambda s=state, o=options: esc_forward(s, image, **o), flops)
            found[f"{name} fused"] = (lambda s=state, o=options: esc_forward(s, image, **o, fused=True), flops)
        for precision in precisions:
            upscaler, _ = ours(name, scale, precision)
            found[f"{name} ours {precision}"] = (lambda u=upscaler: u.run(image), flops)
    for name in peers:
        network = peer(name, scale)
        found[name] = (lambda n=network: n(image), 0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", default=["ESC-lt", "ESC", "ESC-FP", "ESC-Real", "esc-nano"])
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.manual_seed(0)
    image = torch.rand(1, 3, args.size, args.size)
    rows: dict[str, dict] = {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            rates = ceilings(dtype, 3)
            print(f"ceiling in {dtype}: " + ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in rates.items()))
            rows[f"ceiling {dtype}"] = rates
        runs = candidates(args.models, args.scale, image, args.precisions, args.peers)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(args.repeat + 1):
            for name, (run, _flops) in runs.items():
                times[name].append(timed(run))
        print(f"\n| {args.size}x{args.size}, x{args.scale} | seconds | GFLOP/s |\n|---|---|---|")
        for name, (_run, flops) in runs.items():
            seconds = statistics.median(times[name][1:])
            rows[name] = {"seconds": seconds, "gflops": flops / seconds / 1e9}
            rate = f"{rows[name]['gflops']:.0f}" if flops else ""
            print(f"| {name} | {seconds:.2f} | {rate} |", flush=True)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
