"""Time and memory of one upscale on this machine, beside plain versions and what else a user would pick.

    PYTHONPATH=. python benchmarks/speed.py --size 256 --repeat 5 --json speed.json

Each candidate lives in a process of its own, as for a user: what one leaves in the allocator doesn't help or hinder another.
They run in turn, round after round, so that a machine whose speed drifts slows them alike; medians are compared. "plain" is
a plain reading of the paper (tests/oracle.py) with the attention written out, "fused" the same with torch's
scaled_dot_product_attention; "ours" is what `Upscaler.run` does in the precision named. The peers come from spandrel, with
random weights. The peak is what the process took beyond what it had with the network loaded. Ceilings are a large matrix
product and a large convolution.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F
from torch import nn

from esc_plugin.catalog.load import load_model
from esc_plugin.device import PRECISIONS
from esc_plugin.measure.duration import work
from esc_plugin.network import ESC, EscConfig, released
from esc_plugin.upscaler import Upscaler
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


def prepare(kind: str, name: str, scale: int, side: int) -> tuple[Callable[[], object], float]:
    """Return what to run, and the FLOP of it where it is known, otherwise 0.

    `kind` is "plain", "fused", "peer", or the precision of ours.
    """
    image = torch.rand(1, 3, side, side)
    if kind == "peer":
        network = peer(name, scale)
        return lambda: network(image), 0
    upscaler, model = ours(name, scale, kind if kind in PRECISIONS else "float32")
    flop = 2 * work(upscaler, (side, side), (side * scale, side * scale))
    if kind in PRECISIONS:
        return lambda: upscaler.run(image), flop
    state = model.network.state_dict()
    options = {"scale": scale, "window": model.config.window_size, "heads": model.config.num_heads}
    return lambda: esc_forward(state, image, **options, fused=kind == "fused"), flop


def serve(kind: str, name: str, scale: int, side: int) -> None:
    """Be a candidate: tell the FLOP, then run once for each line of input and tell seconds and peak bytes so far."""
    torch.manual_seed(0)
    with torch.inference_mode():
        run, flop = prepare(kind, name, scale, side)
        idle = psutil.Process().memory_info().rss
        print(flop, flush=True)
        for _ in sys.stdin:
            seconds = timed(run)
            print(seconds, peak_bytes() - idle, flush=True)


def peak_bytes() -> int:
    """Return the most resident memory so far, on Linux. What getrusage tells includes the process that started this one."""
    match = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert match
    return int(match[1]) * 1024


class Candidate:
    """A process that runs one network when told to."""

    def __init__(self, kind: str, name: str, scale: int, side: int) -> None:
        self.label = name if kind == "peer" else f"{name} {kind}"
        command = [sys.executable, __file__, "--serve", kind, name, str(scale), str(side)]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds: list[float] = []
        self.flop, self.peak = float(self._line()), 0.0

    def _line(self) -> str:
        assert self.child.stdout
        return self.child.stdout.readline()

    def run(self) -> None:
        assert self.child.stdin
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        seconds, self.peak = (float(value) for value in self._line().split())
        self.seconds.append(seconds)

    def row(self) -> dict[str, float]:
        """Sum up all rounds but the first, which warmed up."""
        seconds = statistics.median(self.seconds[1:])
        return {"seconds": seconds, "peak_mib": self.peak / 2**20, "gflops": self.flop / seconds / 1e9}


def candidates(args: argparse.Namespace) -> list[Candidate]:
    found = []
    for name in args.models:
        classic = not name.startswith(("ESC-FP", "ESC-Real"))
        kinds = (["plain", "fused"] if classic else []) + args.precisions
        if name != "ESC-Real" or args.scale == 4:
            found += [Candidate(kind, name, args.scale, args.size) for kind in kinds]
    return found + [Candidate("peer", name, args.scale, args.size) for name in args.peers]


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:4], *map(int, sys.argv[4:6]))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", default=["ESC-lt", "ESC", "ESC-FP", "ESC-Real", "esc-nano"])
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows: dict[str, dict] = {}
    for dtype in (torch.float32, torch.bfloat16):
        rates = ceilings(dtype, 3)
        print(f"ceiling in {dtype}: " + ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in rates.items()))
        rows[f"ceiling {dtype}"] = rates
    found = candidates(args)
    for _ in range(args.repeat + 1):
        for candidate in found:
            candidate.run()
    print(f"\n| {args.size}x{args.size}, x{args.scale} | seconds | peak MiB | GFLOP/s |\n|---|---|---|---|")
    for candidate in found:
        row = rows[candidate.label] = candidate.row()
        candidate.child.kill()
        rate = f"{row['gflops']:.0f}" if row["gflops"] else ""
        print(f"| {candidate.label} | {row['seconds']:.2f} | {row['peak_mib']:.0f} | {rate} |", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
