"""A network as other runtimes want it: one image, constant filters, at most four axes, and, if asked, means from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network import ESC, EscConfig
from ..network.attention import Bias
from ..network.block import Block
from ..network.conv_attention import DYNAMIC_SIZE, ConvAttn
from ..network.grid import Geometry
from ..network.layers import Crop, reflect_pad
from ..network.program import run_whole
from ..network.window_attention import WindowAttention


class PortableConvAttn(ConvAttn):
    """`ConvAttn` of one image: the dynamic kernel is a depthwise convolution beside the large one, which stays constant."""

    def kernel(self, large: tuple[Tensor, ...], mean: Tensor) -> tuple[Tensor, ...]:
        """Return the shared kernel as it is, and the dynamic one, (P, 1, 3, 3)."""
        _, reduce, _, expand = cast("tuple[nn.Module, nn.Conv2d, nn.Module, nn.Conv2d]", tuple(self.plk.dwc_proj))
        hidden = F.gelu(F.linear(mean, reduce.weight.flatten(1), reduce.bias))
        dynamic = F.linear(hidden, expand.weight.flatten(1), expand.bias)
        return (*large, dynamic.reshape(self.pdim, 1, DYNAMIC_SIZE, DYNAMIC_SIZE))

    def forward(self, x: Tensor, kernel: tuple[Tensor, ...], crop: Crop) -> Tensor:
        """See `ConvAttn`."""
        *pointwise, spatial, dynamic = kernel
        mixed, rest = x[:, : self.pdim], crop(x[:, self.pdim :])
        for weight in pointwise:
            mixed = F.conv2d(mixed, weight)
        large = F.conv2d(mixed, spatial, padding=self.halo, groups=self.pdim if pointwise else 1)
        local = F.conv2d(mixed, dynamic, padding=DYNAMIC_SIZE // 2, groups=self.pdim)
        out: Tensor = self.aggr(torch.cat([crop(large + local), rest], 1))
        return out


#: ``attend(qkv, bias, window)``: softmax attention inside windows, (1, 3 C, H, W) -> (1, C, H, W), where the bias is
#: (heads, w w, w w). How a runtime does that best differs.
Attend = Callable[[Tensor, Tensor, int], Tensor]


def attend_plainly(qkv: Tensor, bias: Tensor, window: int) -> Tensor:
    """Attend by matrix products and a softmax, head by head; see `Attend`.

    All tensors are (1, ., ., .): some runtimes know no batch, and drop the first axis.
    """
    (height, width), w = qkv.shape[-2:], window
    if height % w or width % w:
        qkv = reflect_pad(qkv, 0, -width % w, 0, -height % w)
    channels, rows, columns = qkv.shape[1], qkv.shape[2] // w, qkv.shape[3] // w
    depth = channels // 3 // len(bias)
    windows = F.pixel_unshuffle(qkv, w).reshape(1, channels, w * w, rows * columns)
    queries, keys, values = (range(i, i + channels // 3, depth) for i in range(0, channels, channels // 3))
    found = []
    for head, starts in enumerate(zip(queries, keys, values, strict=True)):
        query, key, value = (windows[:, start : start + depth] for start in starts)  # (1, d, w w, windows)
        scores = (query * depth**-0.5).permute(0, 3, 2, 1) @ key.permute(0, 3, 1, 2) + bias[head]
        found.append((torch.softmax(scores, -1) @ value.permute(0, 3, 2, 1)).permute(0, 3, 2, 1))
    joined = torch.cat(found, 1).reshape(1, channels // 3 * w * w, rows, columns)
    return F.pixel_shuffle(joined, w)[:, :, :height, :width]


class PortableAttention(WindowAttention):
    """`WindowAttention` of one image, with any `Attend`."""

    matrix: Tensor | None

    def __init__(self, config: EscConfig, attend: Attend) -> None:
        super().__init__(config)
        self.attend = attend
        self.register_buffer("matrix", None, persistent=False)

    def store_bias(self) -> None:
        """Make the matrix of the bias a part of what is exported."""
        self.matrix = self._matrix()

    def bias(self) -> Bias:
        """Return the bias as a matrix, (heads, w w, w w)."""
        return Bias(matrix=self._matrix() if self.matrix is None else self.matrix)

    def _matrix(self) -> Tensor:
        bias = self._make_bias()
        if bias.query is None or bias.key is None:
            return cast(Tensor, bias.matrix)
        return bias.query @ bias.key.transpose(-2, -1)

    def forward(self, x: Tensor, norm: nn.Module, bias: Bias) -> Tensor:
        """See `WindowAttention`."""
        return self.attend(self.to_qkv(norm(x)), cast(Tensor, bias.matrix), self.window_size)


def _geometry(network: ESC, image: Tensor, scale: int) -> Geometry:
    height, width = image.shape[-2:]
    if network.any_scale:  # sizes may be unknown until the graph runs, the ratio is not
        return Geometry((height, width), (scale * height, scale * width), network.config.unshuffle, (scale, scale))
    return network.geometry(height, width)


class Whole(nn.Module):
    """Form "whole": ``image`` (1, 3, H, W) in 0..1 -> ``upscaled`` (1, 3, s H, s W), not clipped."""

    inputs, outputs = ("image",), ("upscaled",)

    def __init__(self, network: ESC, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, image: Tensor) -> Tensor:
        """Upscale a whole image."""
        geometry = _geometry(self.network, image, self.scale)
        return run_whole(self.network.program(geometry), geometry, image, lambda x: x.mean((2, 3)))


class Regions(nn.Module):
    """Form "regions": a crop of an image, with means that come from elsewhere.

    All that couples distant pixels of a network are the means that its dynamic kernels are made from. Given those of the
    whole image, a crop becomes what it is in the whole image, but near its cut borders.

    Inputs are ``image`` (1, 3, H, W) in 0..1, a crop; ``means`` (L, P), a row for each ConvAttn in their order; and
    ``interior`` (1, 1, H, W), 1 where pixels of the crop count, else 0. Outputs are ``upscaled`` (1, 3, s H, s W), not
    clipped, and ``found`` (L, P), the means of the interior.
    """

    inputs, outputs = ("image", "means", "interior"), ("upscaled", "found")

    def __init__(self, network: ESC, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, image: Tensor, means: Tensor, interior: Tensor) -> tuple[Tensor, Tensor]:
        """Upscale a crop and tell its means."""
        geometry = _geometry(self.network, image, self.scale)
        fold = self.network.config.unshuffle
        counts = interior[:, :, ::fold, ::fold]  # on the grid of the features
        share = counts.mean((2, 3)).clamp(min=1e-12)
        found: list[Tensor] = []

        def given(x: Tensor) -> Tensor:
            found.append((x * counts).mean((2, 3)) / share)
            return means[len(found) - 1 : len(found)]

        upscaled = run_whole(self.network.program(geometry), geometry, image, given)
        return upscaled, torch.cat(found)


#: By the names of `esc_plugin.export.formats.FORMS`.
MODULES: dict[str, type[Whole] | type[Regions]] = {"whole": Whole, "regions": Regions}


def portable(network: ESC, attend: Attend = attend_plainly, *, stored_bias: bool = False) -> ESC:
    """Return a copy that computes the same, of one image at a time, and can be exported.

    Parameters
    ----------
    network : ESC
        It is not changed.
    attend : callable
        See `Attend`.
    stored_bias : bool
        Store the attention's bias as a matrix, ``heads x window size**4`` values a block, for runtimes that can't make it
        from its small table when they load.
    """
    copy = ESC(network.config)
    for block in cast("list[Block]", list(copy.blocks)):
        block.attn = PortableAttention(network.config, attend)
        block.pconvs = nn.ModuleList(PortableConvAttn(network.config) for _ in block.pconvs)
    copy.load_state_dict(network.state_dict())
    copy.eval().requires_grad_(False)
    for block in cast("list[Block]", list(copy.blocks)):
        block.attn.keep_bias(False)
        if stored_bias:
            cast(PortableAttention, block.attn).store_bias()
    return copy
