"""The head of ESC-Real, known from Real-ESRGAN and SwinIR: nearest neighbours and convolutions, four times."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from ..config import EscConfig
from ..state_dict import KeyCondition
from .head import HeadKind
from .sequential import SequentialHead, conv3

#: The only scale that it has.
SCALE = 4


def _layers(dim: int) -> Iterator[nn.Module]:
    for _ in range(2):
        yield from (nn.Upsample(scale_factor=2), conv3(dim, dim), nn.LeakyReLU(0.2))
    yield from (conv3(dim, dim), nn.LeakyReLU(0.2), conv3(dim, 3))


def _check(config: EscConfig) -> None:
    if config.head_scale != SCALE:
        raise ValueError(f"scale={config.scale!r} is impossible for head='real', which makes images {SCALE} times larger.")


REAL = HeadKind(
    name="real",
    keys=KeyCondition.has_all("to_img.1.weight", "to_img.4.weight", KeyCondition.has_none("to_img.MetaUpsample")),
    read=lambda _: {"scale": SCALE},
    make=lambda config: SequentialHead(_layers(config.dim), SCALE),
    check=_check,
    deep_skip=True,
)
