"""A tiny network is trained, with a checkpoint after every iteration; the next run goes on from the last one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from ..job import Job, same_bytes, same_weights
from .upscale import picture

TINY = {"dim": 16, "pdim": 8, "kernel_size": 5, "n_blocks": 1, "conv_blocks": 1, "window_size": 8, "num_heads": 2}
TINY |= {"proj_hidden": 16, "conv_hidden": 16}
RECIPE = {
    "model": {"like": "ESC-nano", **TINY},
    "scale": 2,
    "data": {"pairs": "bicubic", "folders": ["photos"], "patch": 12, "batch": 2, "workers": 0},
    "loss": {"l1": 1},
    "optimizer": {"lr": 1e-3, "clip": 1},
    "iterations": 12,
    "checkpoint_every": 1,
    "precision": "float32",
}


def same(made: Path, wanted: Path) -> bool:
    """Whether a file of a training is as it would be without a break; some say how long it took."""
    if made.name == "log.csv":
        return iterations(made) >= iterations(wanted)  # a row more for each end before the last one
    if made.name == "last.ckpt":
        return same_checkpoint(made, wanted)
    if made.name == "curve.png":
        return made.stat().st_size > 0  # it shows losses since the break
    if made.suffix == ".safetensors":
        return same_weights(made, wanted)
    return same_bytes(made, wanted)


def iterations(log: Path) -> set[str]:
    """Return the iterations that have a row in a log."""
    with log.open(newline="") as file:
        return {row["iteration"] for row in csv.DictReader(file)}


def same_checkpoint(made: Path, wanted: Path) -> bool:
    """Whether two checkpoints hold the same network after as many iterations, bit by bit."""
    import torch

    one, other = (torch.load(path, map_location="cpu", weights_only=True) for path in (made, wanted))
    states = one["state_dict"], other["state_dict"]
    equal = states[0].keys() == states[1].keys() and all(torch.equal(v, states[1][k]) for k, v in states[0].items())
    return equal and one["esc"]["iteration"] == other["esc"]["iteration"]


def job() -> Job:
    """Return the job."""
    inputs = {f"photos/{number}.png": picture(64, 64, number) for number in range(3)}
    inputs["tiny.yaml"] = json.dumps(RECIPE).encode()
    growing = ("last.ckpt", "log.csv", "curve.png")
    return Job(
        ("train", "tiny.yaml", "-o", "tiny", "--device", "cpu"),
        inputs,
        resumed=tuple(f"tiny/{name}" for name in growing),
        varying=("tiny/tensorboard", "tiny/cache"),
        same=same,
        packages=("lightning",),
    )
