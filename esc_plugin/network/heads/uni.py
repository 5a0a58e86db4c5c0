"""traiNNer-redux's UniUpsample, the head of ESC-Real-M: a menu of methods, and a note in the file of which it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..config import EscConfig
from ..layers import ConvTranspose2d
from ..state_dict import KeyCondition, State
from .dysample import DYSAMPLE_GROUPS, DySampleHead, check_sampling, read_kernel
from .head import Head, HeadKind
from .sequential import PixelAttention, SequentialHead, conv3, upsampling_steps

#: The methods in the order of the index that `MetaUpsample` stores.
UNI_METHODS = (
    "conv",
    "pixelshuffledirect",
    "pixelshuffle",
    "nearest+conv",
    "dysample",
    "transpose+conv",  # from version 3 on
    "lda",  # known, not supported
    "pa_up",
)
#: How many of them version 2 has.
VERSION_2_METHODS = 5


def _make(config: EscConfig) -> Head:
    dim, mid, scale = config.dim, config.mid_dim, config.head_scale
    head: Head
    if config.dysample_kernel:
        head = DySampleHead(dim, mid or dim, scale, config.dysample_kernel)
    else:
        head = SequentialHead(_layers(config.uni_method, dim, mid, scale), scale)
    head.register_buffer("MetaUpsample", _meta(config))
    return head


def _meta(config: EscConfig) -> Tensor:
    """Note what can't be read off the shapes, as the trainers do, so that their programs open our files."""
    inner = config.mid_dim if config.uni_method == "pa_up" else config.dim
    method = UNI_METHODS.index(config.uni_method)
    values = [config.uni_version, method, config.head_scale, inner, 3, config.mid_dim, DYSAMPLE_GROUPS]
    return torch.tensor(values, dtype=torch.uint8)


def _layers(method: str, dim: int, mid: int, scale: int) -> Iterator[nn.Module]:
    """Yield the layers, at the positions that the trainers give them."""
    steps = upsampling_steps(scale)
    if scale == 1 or method == "conv":
        yield conv3(dim, 3)
    elif method == "pixelshuffledirect":
        yield from (conv3(dim, 3 * scale**2), nn.PixelShuffle(scale))
    elif method == "pixelshuffle":
        yield from (conv3(dim, mid), nn.LeakyReLU(0.01))
        for step in steps:
            yield from (conv3(mid, mid * step**2), nn.PixelShuffle(step))
        yield conv3(mid, 3)
    elif method == "nearest+conv":
        for step in steps:
            yield from (conv3(dim, dim), nn.Upsample(scale_factor=step), nn.LeakyReLU(0.2))
        yield from (conv3(dim, dim), nn.LeakyReLU(0.2), conv3(dim, 3))
    elif method == "transpose+conv":
        yield from _transposed(dim, scale)
        yield conv3(3, 3)
    elif method == "pa_up":
        for step in steps:
            yield from (nn.Upsample(scale_factor=step), conv3(dim, mid), PixelAttention(mid), nn.LeakyReLU(0.2))
            yield from (conv3(mid, mid), nn.LeakyReLU(0.2))
            dim = mid
        yield conv3(mid, 3)
    else:
        raise ValueError(f"the upsampling method {method!r} is not supported.")


def _transposed(dim: int, scale: int) -> Iterator[nn.Module]:
    if scale == 3:
        yield ConvTranspose2d(dim, 3, 3, 3)
        return
    if scale == 4:
        yield from (ConvTranspose2d(dim, dim, 4, 2, "gelu"), nn.Identity())
    yield ConvTranspose2d(dim, 3, 4, 2)


def _read(state: State) -> dict[str, Any]:
    meta = state["to_img.MetaUpsample"]
    if meta.dtype != torch.uint8 or meta.shape != (7,):
        raise ValueError(f"to_img.MetaUpsample is {meta.dtype} of {tuple(meta.shape)}, not 7 bytes")
    version, index, scale, _, _, mid, groups = meta.tolist()
    methods = UNI_METHODS[:VERSION_2_METHODS] if version == 2 else UNI_METHODS
    if version not in (2, 3) or index >= len(methods):
        raise ValueError(f"its UniUpsample is version {version}, method {index}; known are versions 2 and 3, methods 0 to 7")
    method = methods[index]
    if method == "lda":
        raise ValueError('its upsampling method "lda" (LDA-AQU) is not supported; every other UniUpsample method is')
    if scale not in (1, 2, 3, 4):
        raise ValueError(f"its UniUpsample has scale {scale}; 1 to 4 are possible")
    values = {"uni_method": method, "uni_version": version, "scale": scale, "mid_dim": mid}
    if method == "dysample" and scale > 1:
        if groups != DYSAMPLE_GROUPS:
            raise ValueError(f"its dynamic sampling has {groups} groups, not {DYSAMPLE_GROUPS}")
        values["dysample_kernel"] = read_kernel(state, 0 if "to_img.0.offset.weight" in state else 2)
    return values


def _check(config: EscConfig) -> None:
    if config.uni_method not in UNI_METHODS:
        raise ValueError(f"uni_method={config.uni_method!r} is not one of {', '.join(UNI_METHODS)}.")
    if config.dysample_kernel:
        check_sampling(config)


UNI = HeadKind(
    name="uni",
    keys=KeyCondition.has_all("to_img.MetaUpsample"),
    read=_read,
    make=_make,
    check=_check,
    deep_skip=True,
)
