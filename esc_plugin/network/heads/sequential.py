"""Heads that are layers in a row, numbered as in the trainers' files, and the layers that they share."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, log2
from typing import cast

from torch import Tensor, nn

from ..layers import Conv2d
from ..program import Chunk
from .head import Head


class PixelAttention(nn.Module):
    """Multiply by a sigmoid gate made by a 1x1 convolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(Conv2d(dim, dim, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        conv = cast(Conv2d, self.conv[0])
        gate: Tensor = conv(x, "sigmoid")
        return x * gate


class SequentialHead(Head):
    """Convolutions and upsampling in a row; halo, values and cost follow from the layers."""

    def __init__(self, layers: Iterable[nn.Module], scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.values_per_pixel, self.cost = 0.0, 0.0
        reach, channels = 0.0, 0
        at = 1  # pixels along the edge of a feature pixel at this layer
        for number, layer in enumerate(layers):
            self.add_module(str(number), layer)
            if isinstance(layer, nn.ConvTranspose2d):
                reach += 1 / at
                at *= layer.stride[0]
                channels = layer.out_channels
                self.cost += at**2 * layer.weight.numel() / layer.stride[0] ** 2
            elif isinstance(layer, nn.Conv2d):
                reach += (layer.kernel_size[0] // 2) / at
                channels = layer.out_channels
                self.cost += at**2 * layer.weight.numel()
            elif isinstance(layer, nn.Upsample):
                at *= int(cast(float, layer.scale_factor))
            elif isinstance(layer, nn.PixelShuffle):
                at *= layer.upscale_factor
                channels //= layer.upscale_factor**2
            elif isinstance(layer, PixelAttention):
                self.cost += at**2 * channels**2
            self.values_per_pixel = max(self.values_per_pixel, 3.0 * channels * at**2)
        self.halo = ceil(reach)

    def forward(self, chunk: Chunk, features: Tensor) -> Tensor:
        """(B, C, h, w) with a halo -> (B, 3, s h', s w') without."""
        for layer in self.children():
            features = layer(features)
        return chunk.crop(features, self.halo, self.scale)


def conv3(inputs: int, outputs: int) -> Conv2d:
    """Make a 3x3 convolution that keeps the size."""
    return Conv2d(inputs, outputs, 3)


def upsampling_steps(scale: int) -> list[int]:
    """Split a scale into steps: 3 is one, a power of 2 is doublings."""
    return [3] if scale == 3 else [2] * int(log2(scale))
