"""The head that neosr gives to real-world models: two convolutions after each doubling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from ..config import EscConfig
from ..state_dict import KeyCondition, State
from .head import HeadKind
from .sequential import SequentialHead, conv3, upsampling_steps


def _layers(dim: int, scale: int) -> Iterator[nn.Module]:
    for step in upsampling_steps(scale):
        yield from (nn.Upsample(scale_factor=step), conv3(dim, dim), nn.LeakyReLU(0.2))
        yield from (conv3(dim, dim), nn.LeakyReLU(0.2))
    yield conv3(dim, 3)


def _read(state: State) -> dict[str, Any]:
    # Two convolutions a doubling, and the last one.
    doublings = len([key for key in state if key.startswith("to_img.") and key.endswith(".weight")]) // 2
    return {"scale": 2**doublings}


def _check(config: EscConfig) -> None:
    scale = config.head_scale
    if scale < 2 or scale & (scale - 1):
        raise ValueError(f"scale={config.scale!r} is impossible for head='neosr', which doubles: 2, 4, 8, ... are possible.")


NEOSR = HeadKind(
    name="neosr",
    keys=KeyCondition.has_all("to_img.1.weight", "to_img.3.weight", KeyCondition.has_none("to_img.MetaUpsample")),
    read=_read,
    make=lambda config: SequentialHead(_layers(config.dim, config.head_scale), config.head_scale),
    check=_check,
    deep_skip=True,
)
