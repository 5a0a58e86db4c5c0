"""A weights file through the program: what is taken is a network of the stated numbers that makes a picture."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from esc_plugin import Upscaler
from esc_plugin.network import ESC
from esc_plugin.weights.dialects import to_dialect
from esc_plugin.weights.glance import may_be_esc
from esc_plugin.weights.model import Model, read_model

from ..test_heads import BASE, every_config
from .case import check

State = dict[str, Tensor]
RIB = {"proj_hidden": 32, "position": "rib", "position_rank": 2, "rib_hidden": 4, "rib_freqs": 1, "last_norm": True}
#: A network of every head, and of every way to know positions.
CONFIGS = (
    *every_config(),
    replace(BASE, position="flash", position_rank=2),
    replace(BASE, **RIB),
)
IMAGE = np.random.default_rng(0).integers(0, 250, (8, 9, 3), np.uint8)


@cache
def states() -> tuple[State, ...]:
    """Return parameters as the program of each member of the family names them."""
    torch.manual_seed(0)
    return tuple(to_dialect({n: v.clone() for n, v in ESC(config).state_dict().items()}, config) for config in CONFIGS)


@cache
def files() -> tuple[bytes, ...]:
    """Return the same as safetensors."""
    return tuple(save({name: value.contiguous() for name, value in state.items()}) for state in states())


def used(path: Path) -> Model:
    """Open a file and upscale with it; a `WrongError` if that is no picture of the right size, or depends on the memory."""
    may_be_esc(path)
    model = read_model(path)
    upscaler = Upscaler(model, device="cpu", precision="float32")
    made = upscaler(IMAGE, axes="YXS")
    expected = tuple(n * model.scale for n in IMAGE.shape[:2])
    check(made.shape[:2] == expected, f"a network for x{model.scale} makes {made.shape}")
    check(all(p.dtype == torch.float32 for p in model.network.parameters()), "its parameters are not float32")
    part = upscaler(IMAGE, axes="YXS", region=((0, expected[0]), (0, expected[1])))
    check(np.abs(part.astype(int) - made).max() <= 1, "a region that is all of it differs from the whole")
    return model


def equal(model: Model, state: State) -> bool:
    """Whether a network has the values of a state dict, by whatever names."""
    own = sorted(_digest(value) for value in model.network.state_dict().values())
    return own == sorted(_digest(value) for value in state.values())


def _digest(value: Tensor) -> tuple[tuple[int, ...], bytes]:
    plain = value.detach().float().contiguous() if value.is_floating_point() else value.detach().contiguous()
    return tuple(plain.shape), plain.numpy().tobytes()
