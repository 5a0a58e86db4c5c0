"""The small layers that every member of the family shares."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Cuts a tensor back to what was asked for, once neighbours are no longer needed.
Crop = Callable[[Tensor], Tensor]
#: Pixels on the left, on the right, above and below, in torch's order.
Sides = tuple[int, int, int, int]


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


#: What may follow a convolution at each value, by the names that oneDNN's operators in torch take.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "gelu": F.gelu,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
}


#: Convolutions up to this edge may leave it to oneDNN to pad.
PADDED_BY_ONEDNN = 3


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: int | Sides = 0,
    groups: int = 1,
    activation: str = "none",
) -> Tensor:
    """Convolve (B, C, H, W), so many zeros beyond its border, and apply one of `ACTIVATIONS`.

    On a CPU this is oneDNN's work at any size. `torch.nn.functional.conv2d` has other programs for small tensors, for a
    single thread, for other strides in memory, and so have activations for the last few values. They round otherwise, and a
    part of an image would differ in its last bits from the same part of the whole. oneDNN also applies the activation while
    the output is still in registers; of kernels as large as 13x13 the sum would then depend on the size again, so those
    have none. torch has this operator for its compiler; it has no gradient.

    Where oneDNN itself pads for a large kernel, it may leave out the taps that see zeros, and adds the others up in another
    order: which way it goes depends on the width, and on how many threads there are for how many rows. So large kernels
    are given the zeros, and there is one way; elsewhere too, because only a chunk at the border has zeros on some sides.
    """
    sides = (padding,) * 4 if isinstance(padding, int) else padding
    ours = _is_for_onednn(x, weight, bias)
    is_large = weight.shape[-1] > PADDED_BY_ONEDNN and not needs_gradient(x, weight) and not torch.compiler.is_compiling()
    if len(set(sides)) > 1 or is_large:
        x, sides = _with_zeros(x, sides), (0, 0, 0, 0)
    if not ours:
        return ACTIVATIONS[activation](F.conv2d(x, weight, bias, padding=sides[0], groups=groups))
    size = ([sides[0], sides[0]], [1, 1], [1, 1], groups)
    operator = torch.ops.mkldnn._convolution_pointwise
    out: Tensor = operator(_channels_last(x), weight, bias, *size, activation, [], "none")
    return out


def _with_zeros(x: Tensor, sides: Sides) -> Tensor:
    """Return (B, C, H, W) with zeros around it, in memory as (B, H, W, C)."""
    return F.pad(x.permute(0, 2, 3, 1), (0, 0, *sides)).permute(0, 3, 1, 2) if any(sides) else x


def _channels_last(x: Tensor) -> Tensor:
    """Return (B, C, H, W) in memory as (B, H, W, C), said clearly: by its strides a single pixel could be of any order."""
    _, c, h, w = x.shape
    return x.contiguous(memory_format=torch.channels_last).as_strided(x.shape, (h * w * c, 1, w * c, c))


def needs_gradient(*tensors: Tensor | None) -> bool:
    """Whether what is made of these will be asked for gradients."""
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors if t is not None)


def _is_for_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    if x.device.type != "cpu" or torch.compiler.is_compiling() or needs_gradient(x, weight, bias):
        return False
    return x.dtype == weight.dtype and _has_fused_convolution(x.dtype) and not torch.is_autocast_enabled("cpu")


@cache
def _has_fused_convolution(dtype: torch.dtype) -> bool:
    operators = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not hasattr(operators, "_convolution_transpose_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and operators._is_mkldnn_bf16_supported())


class Conv2d(nn.Conv2d):
    """A convolution with an odd kernel that keeps the size, by `convolve`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=bias)

    def forward(self, x: Tensor, activation: str = "none") -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        return convolve(x, self.weight, self.bias, self.kernel_size[0] // 2, self.groups, activation)


class ConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that makes an image `stride` times larger, and one of `ACTIVATIONS`.

    oneDNN adds the taps in an order that depends on the size of the image. So on a CPU it is a convolution that makes all
    output pixels of an input pixel; to those belong at most 3x3 input pixels.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, activation: str = "none") -> None:
        super().__init__(inputs, outputs, kernel, stride, (kernel - stride) // 2)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) -> (B, C', stride H, stride W)."""
        if not _is_for_onednn(x, self.weight, self.bias):
            return ACTIVATIONS[self.activation](super().forward(x))
        stride = self.stride[0]
        bias = None if self.bias is None else self.bias.repeat_interleave(stride**2)
        return F.pixel_shuffle(convolve(x, self._sub_pixels(), bias, 1, activation=self.activation), stride)

    def _sub_pixels(self) -> Tensor:
        """Return the filters, (C' stride stride, C, 3, 3), read off what a single pixel amid 3x3 turns into."""
        inputs = self.in_channels
        pixel = torch.zeros(inputs, inputs, 3, 3, dtype=self.weight.dtype)
        pixel[:, :, 1, 1] = torch.eye(inputs)
        response: Tensor = F.conv_transpose2d(
            pixel, self.weight, stride=self.stride, padding=cast("tuple[int, int]", self.padding)
        )
        response = response.unflatten(3, (3, -1)).unflatten(2, (3, -1)).flip(2, 4)
        # (C, C', 3, stride, 3, stride)
        return response.permute(1, 3, 5, 0, 2, 4).reshape(-1, inputs, 3, 3)


class ConvFFN(nn.Module):
    """1x1 expansion, GELU, depthwise 3x3 with a residual, 1x1 back. Halo 1."""

    halo = 1

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.proj = Conv2d(dim, hidden, 1)
        self.dwc = Conv2d(hidden, hidden, 3, groups=hidden)
        self.aggr = Conv2d(hidden, dim, 1)
        self.cost = 2 * dim * hidden + 9 * hidden
        self.values_per_pixel = 2 * dim + 3 * hidden

    def forward(self, x: Tensor, crop: Crop) -> Tensor:
        """(B, C, h, w) with a halo of 1 -> (B, C, h', w') without."""
        x = self.proj(x, "gelu")
        out: Tensor = self.aggr(crop(self.dwc(x, "gelu").add_(x)))
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


class ReflectConv2d(Conv2d):
    """The same with reflected borders, for images smaller than its padding too."""

    def forward(self, x: Tensor, activation: str = "none") -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        pad = self.kernel_size[0] // 2
        return convolve(reflect_pad(x, pad, pad, pad, pad), self.weight, self.bias, 0, self.groups, activation)


class ImagePad(nn.Module):
    """Reflect-pad on the right and at the bottom to a multiple of `factor` and fold the pixels into channels."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3 f f, ceil(H / f), ceil(W / f))."""
        h, w = x.shape[-2:]
        return F.pixel_unshuffle(reflect_pad(x, 0, -w % self.factor, 0, -h % self.factor), self.factor)
