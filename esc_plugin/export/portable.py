"""A network of constant filters only, as other runtimes want it."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network import ESC, EscConfig
from ..network.block import Block
from ..network.conv_attention import DYNAMIC_SIZE, ConvAttn
from ..network.layers import Crop


class PortableConvAttn(ConvAttn):
    """`ConvAttn` with nothing but constant filters, as runtimes want them, and for any batch.

    A filter per image would need a group per image, and the number of groups is written into the graph. So the dynamic
    kernel is applied by hand: nine shifted copies of each channel, weighted by its taps and added up.
    """

    shifts: Tensor
    ones: Tensor

    def __init__(self, config: EscConfig) -> None:
        super().__init__(config)
        taps = DYNAMIC_SIZE**2
        shifts = torch.eye(taps).view(taps, 1, DYNAMIC_SIZE, DYNAMIC_SIZE).repeat(config.pdim, 1, 1, 1)
        self.register_buffer("shifts", shifts, persistent=False)
        self.register_buffer("ones", torch.ones(config.pdim, taps, 1, 1), persistent=False)

    def kernel(self, large: tuple[Tensor, ...], mean: Tensor) -> tuple[Tensor, ...]:
        """Return the shared kernel as it is, and the dynamic one, (B, P, 3, 3)."""
        return (*large, self.plk(mean))

    def forward(self, x: Tensor, kernel: tuple[Tensor, ...], crop: Crop) -> Tensor:
        """See `ConvAttn`."""
        *pointwise, spatial, dynamic = kernel
        mixed, rest = x[:, : self.pdim], crop(x[:, self.pdim :])
        for weight in pointwise:
            mixed = F.conv2d(mixed, weight)
        shifted = F.conv2d(mixed, self.shifts, padding=DYNAMIC_SIZE // 2, groups=self.pdim)  # (B, 9 P, h, w)
        local = F.conv2d(shifted * dynamic.reshape(-1, self.shifts.shape[0], 1, 1), self.ones, groups=self.pdim)
        large = F.conv2d(mixed, spatial, padding=self.halo, groups=self.pdim if pointwise else 1)
        out: Tensor = self.aggr(torch.cat([crop(large + local), rest], 1))
        return out


def portable(network: ESC) -> ESC:
    """Return a copy that computes the same and can be exported."""
    copy = ESC(network.config)
    blocks = cast("list[Block]", list(copy.blocks))
    for block in blocks:
        block.pconvs = nn.ModuleList(PortableConvAttn(network.config) for _ in block.pconvs)
    copy.load_state_dict(network.state_dict())
    copy.eval().requires_grad_(False)
    for block in blocks:
        # Made in the graph from the small table: runtimes fold it when they load, and the file stays small.
        block.attn.keep_bias(False)
    return copy
