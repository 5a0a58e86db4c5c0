"""A network as other runtimes want it: one image, constant filters, at most four axes, and, if asked, means from outside."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network import ESC
from ..network.attention import Bias
from ..network.conv_attention import DYNAMIC_SIZE, ConvAttn
from ..network.grid import Geometry
from ..network.layers import Crop, Sides, reflect_pad
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

    def forward(self, x: Tensor, kernel: tuple[Tensor, ...], crop: Crop, beyond: Sides) -> Tensor:
        """See `ConvAttn`. A graph has the whole image, so that all of the halo lies beyond it."""
        *large, dynamic = kernel
        mixed, rest = x[:, : self.pdim], crop(x[:, self.pdim :])
        *pointwise, spatial = large
        for weight in pointwise:
            mixed = F.conv2d(mixed, weight)
        widely = self.mix_widely(mixed, spatial, self.pdim if pointwise else 1)
        out: Tensor = self.aggr(torch.cat([crop(widely + self.mix_nearby(mixed, dynamic)), rest], 1))
        return out

    def mix_widely(self, mixed: Tensor, spatial: Tensor, groups: int) -> Tensor:
        """Apply the shared kernel."""
        return F.conv2d(mixed, spatial, padding=self.halo, groups=groups)

    def mix_nearby(self, mixed: Tensor, dynamic: Tensor) -> Tensor:
        """Apply the dynamic kernel."""
        return F.conv2d(mixed, dynamic, padding=DYNAMIC_SIZE // 2, groups=self.pdim)


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


def attend_plainly(qkv: Tensor, bias: Tensor, window: int) -> Tensor:
    """Attend inside windows by matrix products and a softmax, head by head: (1, 3 C, H, W) -> (1, C, H, W).

    The bias is (heads, w w, w w). All tensors are (1, ., ., .): some runtimes know no batch, and drop the first axis.
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
    """`WindowAttention` of one image, with the bias as a matrix, (heads, w w, w w), made where the graph is."""

    def bias(self) -> Bias:
        """See `WindowAttention`."""
        bias = self._make_bias()
        return bias if bias.query is None or bias.key is None else Bias(matrix=bias.query @ bias.key.transpose(-2, -1))

    def forward(self, x: Tensor, norm: nn.Module, bias: Bias) -> Tensor:
        """See `WindowAttention`."""
        return self.attend(self.to_qkv(norm(x)), cast(Tensor, bias.matrix))

    def attend(self, qkv: Tensor, bias: Tensor) -> Tensor:
        """See `attend_plainly`. How a runtime does that best differs."""
        return attend_plainly(qkv, bias, self.window_size)


#: By class: what takes the place of a layer. It holds the same parameters and computes the same, but in another way.
Layers = dict[type[nn.Module], type[nn.Module]]
PORTABLE: Layers = {ConvAttn: PortableConvAttn, WindowAttention: PortableAttention}


def replaced(network: ESC, layers: Layers = PORTABLE) -> ESC:
    """Return a copy that computes the same, of one image at a time, and can be exported."""
    made = deepcopy(network).cpu().float().eval().requires_grad_(False)
    for module in made.modules():
        module.__class__ = layers.get(type(module), type(module))
    return made


class Form(nn.Module):
    """What is exported: a network as `replaced` made it, run as a whole, and what of that a runtime may want otherwise."""

    def __init__(self, network: ESC, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def run(self, image: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
        """Upscale (1, 3, H, W); `mean` makes (1, P) of (1, P, h, w) where a dynamic kernel asks for it."""
        geometry = self.geometry(image)
        return run_whole(self.network.program(geometry), geometry, image, mean)

    def geometry(self, image: Tensor) -> Geometry:
        """Lay out the run."""
        height, width = image.shape[-2:]
        if self.network.any_scale:  # sizes may be unknown until the graph runs, the ratio is not
            output, ratio = (self.scale * height, self.scale * width), (self.scale, self.scale)
            return Geometry((height, width), output, self.network.config.unshuffle, ratio)
        return self.network.geometry(height, width)

    def mean(self, x: Tensor) -> Tensor:
        """(1, C, h, w) -> (1, C)."""
        return x.mean((2, 3))


class Whole(Form):
    """Form "whole": ``image`` (1, 3, H, W) in 0..1 -> ``upscaled`` (1, 3, s H, s W), not clipped."""

    inputs, outputs = ("image",), ("upscaled",)

    def forward(self, image: Tensor) -> Tensor:
        """Upscale a whole image."""
        return self.run(image, self.mean)


class Regions(Form):
    """Form "regions": a crop of an image, with means that come from elsewhere.

    All that couples distant pixels of a network are the means that its dynamic kernels are made from. Given those of the
    whole image, a crop becomes what it is in the whole image, but near its cut borders.

    Inputs are ``image`` (1, 3, H, W) in 0..1, a crop; ``means`` (L, P), a row for each ConvAttn in their order; and
    ``interior`` (1, 1, H, W), 1 where pixels of the crop count, else 0. Outputs are ``upscaled`` (1, 3, s H, s W), not
    clipped, and ``found`` (L, P), the means of the interior.
    """

    inputs, outputs = ("image", "means", "interior"), ("upscaled", "found")

    def forward(self, image: Tensor, means: Tensor, interior: Tensor) -> tuple[Tensor, Tensor]:
        """Upscale a crop and tell its means."""
        counts = self.folded(interior)
        share = self.mean(counts).clamp(min=1e-12)
        found: list[Tensor] = []

        def given(x: Tensor) -> Tensor:
            found.append(self.mean(x * counts) / share)
            return means[len(found) - 1 : len(found)]

        return self.run(image, given), self.joined(found)

    def folded(self, interior: Tensor) -> Tensor:
        """Bring (1, 1, H, W) to the grid of the features."""
        fold = self.network.config.unshuffle
        return interior[:, :, ::fold, ::fold]

    def joined(self, rows: list[Tensor]) -> Tensor:
        """L times (1, P) -> (L, P)."""
        return torch.cat(rows)


#: By the names of `esc_plugin.export.formats.FORMS`.
MODULES: dict[str, type[Whole] | type[Regions]] = {"whole": Whole, "regions": Regions}
