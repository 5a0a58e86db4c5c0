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
        *large, dynamic = kernel
        mixed, rest = x[:, : self.pdim], crop(x[:, self.pdim :])
        *pointwise, spatial = large
        for weight in pointwise:
            mixed = F.conv2d(mixed, weight)
        widely = self.mix_widely(mixed, spatial, self.pdim if pointwise else 1)
        local = F.conv2d(mixed, dynamic, padding=DYNAMIC_SIZE // 2, groups=self.pdim)
        out: Tensor = self.aggr(torch.cat([crop(widely + local), rest], 1))
        return out

    def mix_widely(self, mixed: Tensor, spatial: Tensor, groups: int) -> Tensor:
        """Apply the shared kernel."""
        return F.conv2d(mixed, spatial, padding=self.halo, groups=groups)


#: So many columns of a folded kernel are applied at once: fewer take less memory, more are faster.
COLUMNS = 3


class FoldedConvAttn(PortableConvAttn):
    """The same with fewer multiplications, 7 x 7 for 13 x 13, as the shared kernel equals its flips.

    Rows as far above a pixel as below it have the same weights, so they are added before, and columns to the left and to the
    right after what lies between them: products of matrices at each pixel.
    """

    def mix_widely(self, mixed: Tensor, spatial: Tensor, groups: int) -> Tensor:
        """Apply the shared kernel."""
        if groups > 1:  # a depthwise kernel has few multiplications
            return super().mix_widely(mixed, spatial, groups)
        halo = self.halo
        quarter = spatial[:, :, halo:, halo:].permute(3, 0, 2, 1)  # (columns, outputs, rows, inputs)
        padded = F.pad(mixed, (halo, halo, halo, halo))
        rows = torch.cat([_folded(padded, away, halo, 2) for away in range(halo + 1)], 1)
        total = None
        for first in range(0, halo + 1, COLUMNS):
            filters = quarter[first : first + COLUMNS].reshape(-1, rows.shape[1], 1, 1)
            for away, column in enumerate(F.conv2d(rows, filters).split(self.pdim, 1), first):
                term = _folded(column, away, halo, 3)
                total = term if total is None else total + term
        return cast(Tensor, total)


def _folded(x: Tensor, away: int, halo: int, axis: int) -> Tensor:
    """Add what lies `away` before and after each place of an axis, which has a margin of `halo` at both ends."""
    length = x.shape[axis]
    before, after = (x.narrow(axis, start, length - 2 * halo) for start in (halo - away, halo + away))
    return before + after if away else before


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


def portable(
    network: ESC,
    attend: Attend = attend_plainly,
    *,
    conv_attn: type[PortableConvAttn] = PortableConvAttn,
    stored_bias: bool = False,
) -> ESC:
    """Return a copy that computes the same, of one image at a time, and can be exported.

    Parameters
    ----------
    network : ESC
        It is not changed.
    attend : callable
        See `Attend`.
    conv_attn : type
        How the large kernel is applied.
    stored_bias : bool
        Store the attention's bias as a matrix, ``heads x window size**4`` values a block, for runtimes that can't make it
        from its small table when they load.
    """
    copy = ESC(network.config)
    for block in cast("list[Block]", list(copy.blocks)):
        block.attn = PortableAttention(network.config, attend)
        block.pconvs = nn.ModuleList(conv_attn(network.config) for _ in block.pconvs)
    copy.load_state_dict(network.state_dict())
    copy.eval().requires_grad_(False)
    for block in cast("list[Block]", list(copy.blocks)):
        block.attn.keep_bias(False)
        if stored_bias:
            cast(PortableAttention, block.attn).store_bias()
    return copy
