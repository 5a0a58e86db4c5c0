"""The small layers that every member of the family shares."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Cuts a tensor back to what was asked for, once neighbours are no longer needed.
Crop = Callable[[Tensor], Tensor]


def random_parameter(*shape: int, std: float = 0.0) -> nn.Parameter:
    """Make a parameter of normally distributed numbers, or, without `std`, of orthogonal filters.

    On the meta device it has no numbers; to pretend that it draws some, torch would import half of its compiler.
    """
    values = torch.empty(shape)
    if not values.is_meta:
        nn.init.normal_(values, std=std) if std else nn.init.orthogonal_(values)
    return nn.Parameter(values)


class LayerNorm(nn.LayerNorm):
    """Layer norm over the channels at each pixel of (B, C, H, W), eps 1e-6."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; in channels_last memory nothing is copied."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def conv_gelu(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Compute ``gelu(conv(x))``, on a CPU in one pass over the memory.

    oneDNN applies the GELU while a convolution's output is still in registers. torch has that operator for its compiler; it
    has no gradient.
    """
    learning = torch.is_grad_enabled() and (x.requires_grad or conv.weight.requires_grad)
    if x.device.type != "cpu" or learning or not _has_fused_gelu(x.dtype) or torch.compiler.is_compiling():
        return F.gelu(conv(x))
    x = x.contiguous(memory_format=torch.channels_last)
    size = (conv.padding, conv.stride, conv.dilation, conv.groups)
    out: Tensor = torch.ops.mkldnn._convolution_pointwise(x, conv.weight, conv.bias, *size, "gelu", [], "none")
    return out


@cache
def _has_fused_gelu(dtype: torch.dtype) -> bool:
    operators = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not hasattr(operators, "_convolution_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and operators._is_mkldnn_bf16_supported())


class ConvFFN(nn.Module):
    """1x1 expansion, GELU, depthwise 3x3 with a residual, 1x1 back. Halo 1."""

    halo = 1

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(dim, hidden, 1)
        self.dwc = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.aggr = nn.Conv2d(hidden, dim, 1)
        self.cost = 2 * dim * hidden + 9 * hidden
        self.values_per_pixel = 2 * dim + 3 * hidden

    def forward(self, x: Tensor, crop: Crop) -> Tensor:
        """(B, C, h, w) with a halo of 1 -> (B, C, h', w') without."""
        x = conv_gelu(self.proj, x)
        out: Tensor = self.aggr(crop(conv_gelu(self.dwc, x).add_(x)))
        return out


def reflect_pad(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Reflect-pad (B, C, H, W) without repeating the edge, by any amount.

    `torch.nn.functional.pad` refuses a pad as large as the image; here the reflection goes on back and forth, as
    ``numpy.pad(mode="reflect")`` does, and a single row or column is repeated.
    """
    h, w = x.shape[-2:]
    known = isinstance(h, int) and isinstance(w, int)  # an exported graph learns its sizes only when it runs
    if known and max(top, bottom) < h and max(left, right) < w:
        return F.pad(x, (left, right, top, bottom), mode="reflect") if max(left, right, top, bottom) else x
    rows = _reflected(h, top, bottom, x.device)
    columns = _reflected(w, left, right, x.device)
    return x.index_select(-2, rows).index_select(-1, columns)


def _reflected(size: int, before: int, after: int, device: torch.device) -> Tensor:
    index = torch.arange(-before, size + after, device=device)
    period = torch.full_like(index, 2 * size - 2)
    index = index.remainder(period.clamp(min=1))  # a single row is repeated
    return torch.minimum(index, period - index)


class ReflectConv2d(nn.Conv2d):
    """A "same" convolution with reflected borders, for images smaller than its padding too."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        pad = self.kernel_size[0] // 2
        return F.conv2d(reflect_pad(x, pad, pad, pad, pad), self.weight, self.bias, groups=self.groups)


class ImagePad(nn.Module):
    """Reflect-pad on the right and at the bottom to a multiple of `factor` and fold the pixels into channels."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3 f f, ceil(H / f), ceil(W / f))."""
        h, w = x.shape[-2:]
        return F.pixel_unshuffle(reflect_pad(x, 0, -w % self.factor, 0, -h % self.factor), self.factor)
