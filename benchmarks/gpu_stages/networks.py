"""The networks and images that stages run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from esc_plugin.device import PRECISIONS
from esc_plugin.engine import Plan, Run
from esc_plugin.engine.maps import Storage
from esc_plugin.network import ESC, released
from esc_plugin.upscaler import Upscaler
from esc_plugin.weights.model import Model, read_model

from .bench import Bench

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "esc_plugin" / "catalog" / "bundled"
DTYPES = {name: getattr(torch, name) for name in PRECISIONS}
#: Feature maps, of which a network may have fewer.
MAPS = ("feat", "a", "b", "c")
#: On a CPU, where free memory may not be known.
LIMIT_BYTES = 4 * 2**30


def random_model(bench: Bench, name: str, scale: int) -> Model:
    """Return a published network with random weights; for a try it has one block."""
    torch.manual_seed(0)
    config = released(name, scale)
    network = ESC(replace(config, n_blocks=1, conv_blocks=1) if bench.tiny else config)
    return Model(network.eval().requires_grad_(False), network.config, f"{name} x{scale}", "random", "")


def bundled_models() -> list[Model]:
    return [read_model(path) for path in sorted(BUNDLED.glob("*.safetensors"))]


def upscaler(bench: Bench, model: Model, precision: str = "float32", memory_limit: int | None = None) -> Upscaler:
    limit = memory_limit or (None if bench.cuda else LIMIT_BYTES)
    return Upscaler(model, device=bench.device, precision=precision, memory_limit=limit)


def engine(
    bench: Bench, network: ESC, image: Tensor, out: Tensor, chunk_bytes: int, homes: dict[str, Storage] | None = None
) -> Run:
    """Return a run of a plan that is stated instead of made; maps are on the device unless `homes` says otherwise."""
    from esc_plugin.arrays.planes import TensorImage

    geometry = network.geometry(*image.shape[-2:])
    program = network.program(geometry)
    storage: dict[str, Storage] = {name: (homes or {}).get(name, "device") for name in program.channels}
    dtype = network.last.weight.dtype
    return Run(program, geometry, Plan(storage, chunk_bytes), TensorImage(image), TensorImage(out), bench.device, dtype)


def noise(bench: Bench, height: int, width: int) -> Tensor:
    torch.manual_seed(1)
    return torch.rand(1, 3, height, width, device=bench.device)


def pictures(bench: Bench) -> list[tuple[str, np.ndarray]]:
    """Return photographs (Y, X, 3) uint8 where there are some, and made pictures otherwise."""
    from PIL import Image

    paths = [path for name in ("set5", "set14") for path in sorted((bench.shared / "data" / name / "HR").glob("*.png"))]
    side = 96 if bench.tiny else 512
    found = [(path.stem, np.asarray(Image.open(path).convert("RGB"))[:side, :side]) for path in paths]
    return found[: 2 if bench.tiny else None] or [
        (f"made {seed}", made_picture(side, seed)) for seed in range(2 if bench.tiny else 6)
    ]


def made_picture(side: int, seed: int) -> np.ndarray:
    """Return overlapping discs and stripes with soft shading, (Y, X, 3) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    image = np.stack([0.5 + 0.3 * np.sin(2 * np.pi * (x * a + y * b)) for a, b in random.uniform(0, 2, (3, 2))], -1)
    for cy, cx, r, angle, pitch in random.uniform((0, 0, 0.02, 0, 10), (1, 1, 0.2, np.pi, 60), (40, 5)):
        inside = (y - cy) ** 2 + (x - cx) ** 2 < r**2
        stripes = 0.5 + 0.5 * np.sin(2 * np.pi * pitch * (x * np.cos(angle) + y * np.sin(angle)))
        image[inside] = random.uniform(0, 1, 3) * stripes[inside][:, None]
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)
