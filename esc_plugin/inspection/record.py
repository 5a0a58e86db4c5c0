"""What passes through a network while it works on an image, caught by hooks on its modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from torch import Tensor, nn

from ..network import ESC
from ..network.block import Block
from ..network.conv_attention import ConvAttn


@dataclass
class Recording:
    """What was caught, by layer, in the order of the network.

    Attributes
    ----------
    features : dict of str to Tensor
        (B, C, H, W): what each attention and each ConvAttn adds to the features.
    dynamic : dict of str to Tensor
        (B, P, 3, 3): the kernel that each ConvAttn made of the image.
    """

    features: dict[str, Tensor] = field(default_factory=dict)
    dynamic: dict[str, Tensor] = field(default_factory=dict)


@contextmanager
def recording(network: ESC) -> Iterator[Recording]:
    """Record everything that passes while the context is open."""
    record = Recording()

    def keep(store: dict[str, Tensor], name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        store[name] = output.detach().clone()  # the network may add to it in place

    handles = []
    try:
        for i, block in enumerate(cast("list[Block]", list(network.blocks)), 1):
            handles.append(block.attn.to_out.register_forward_hook(partial(keep, record.features, f"{i} attention")))
            for j, module in enumerate(block.pconvs, 1):
                conv = cast(ConvAttn, module)
                handles.append(conv.register_forward_hook(partial(keep, record.features, f"{i}.{j}")))
                handles.append(conv.plk.register_forward_hook(partial(keep, record.dynamic, f"{i}.{j}")))
        yield record
    finally:
        for handle in handles:
            handle.remove()
