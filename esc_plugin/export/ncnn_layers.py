"""A network as pnnx converts and ncnn runs it: one image, few axes, plain operators.

pnnx follows sizes as expressions, but no list of indices and no fifth axis beside the one for the batch. So the pixels of
a window become channels and back (`torch.nn.functional.pixel_unshuffle`), borders are always padded by as much as the last
window can lack, and what is too much is cut off.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network.attention import Bias
from ..network.heads.dysample import DYSAMPLE_GROUPS, DySample
from ..network.layers import ImagePad, ReflectConv2d
from ..network.window_attention import WindowAttention
from . import portable
from .portable import PORTABLE, Form, Layers


def average(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 1, 1)."""
    return F.adaptive_avg_pool2d(x, 1)


class NcnnAttention(WindowAttention):
    """`WindowAttention` with ncnn's own attention, head by head."""

    def bias(self) -> Bias:
        """Return nothing; each head makes its own."""
        return Bias()

    def forward(self, x: Tensor, norm: nn.Module, bias: Bias) -> Tensor:
        """See `WindowAttention`."""
        (height, width), w, dim = x.shape[-2:], self.window_size, self.to_out.in_channels
        x = pad_to_multiple(x, w)
        rows, columns = x.shape[-2] // w, x.shape[-1] // w
        windows = norm(F.pixel_unshuffle(x, w).reshape(1, dim, w * w, -1))  # (1, C, w w, windows)
        parts = self.to_qkv(windows).split(dim // self.num_heads, 1)  # queries of each head, keys, values
        biases = self._matrices(average(windows[:, :1]).reshape(1, 1) * 0 + 1).split(1, 1)
        heads = zip(*(parts[i : i + self.num_heads] for i in range(0, len(parts), self.num_heads)), biases, strict=True)
        out = torch.cat([_attend(query, key, value, bias) for query, key, value, bias in heads], 1)
        image = F.pixel_shuffle(out.reshape(1, dim * w * w, rows, columns), w)
        return image[:, :, :height, :width]

    def _matrices(self, one: Tensor) -> Tensor:
        """Return the bias of all heads, (1, heads, w w, w w), made in the graph, so that the file stays small.

        `one` is 1. pnnx makes everything beforehand that hangs on no input.
        """
        w, side, heads = self.window_size, 2 * self.window_size, self.num_heads
        if self.position == "table":
            table = F.pad(self._table, (0, 1, 0, 1))
            return self._spread(F.linear(one, table.reshape(-1, 1)).reshape(1, heads, side, side))
        factors = self._make_bias()
        assert factors.query is not None
        assert factors.key is not None
        query = F.linear(one, factors.query.reshape(-1, 1)).reshape(1, heads, w * w, self.rank)
        return torch.matmul(query, factors.key.transpose(1, 2)[None])

    def _spread(self, table: Tensor) -> Tensor:
        """(1, heads, 2 w, 2 w) -> (1, heads, w w, w w): for each query and key, the element at their distance.

        Rows ``k - q + w - 1`` for all q and k: all rows are repeated with a period of 2 w and read again in lines of one
        less, so that each line is shifted by one more. Then the same with the columns.
        """
        w, side, heads = self.window_size, 2 * self.window_size, self.num_heads
        run = slice(w - 1, w - 1 + w * (side - 1))
        rows = table.repeat(1, 1, w, 1)[:, :, run].reshape(1, heads * w, side - 1, side)[:, :, :w]
        both = rows.repeat(1, 1, 1, w)[:, :, :, run].reshape(1, heads * w, w, w, side - 1)[..., :w]
        # (1, heads row_q, row_k, column_q, column_k)
        return both.permute(0, 1, 3, 2, 4).reshape(1, heads, w * w, w * w)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """(1, d, w w, windows), three of one head, and (1, 1, w w, w w) -> (1, d, w w, windows)."""
    query, key, value = (x.permute(0, 3, 2, 1) for x in (query, key, value))
    # Windows take the place of heads, which have one bias each in ncnn: so one head at a time.
    return F.scaled_dot_product_attention(query, key, value, bias).permute(0, 3, 2, 1)


def pad_to_multiple(x: Tensor, factor: int) -> Tensor:
    """Reflect-pad (1, C, H, W), at least as large as `factor`, on the right and at the bottom."""
    rows, columns = ((size + factor - 1) // factor * factor for size in x.shape[-2:])
    return F.pad(x, (0, factor - 1, 0, factor - 1), mode="reflect")[:, :, :rows, :columns]


class _ReflectConv2d(ReflectConv2d):
    def forward(self, x: Tensor, activation: str = "none") -> Tensor:
        pad = self.kernel_size[0] // 2
        return F.conv2d(F.pad(x, (pad,) * 4, mode="reflect"), self.weight, self.bias, groups=self.groups)


class _ImagePad(ImagePad):
    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(pad_to_multiple(x, self.factor), self.factor)


class _DySample(DySample):
    """Positions are counted by running sums, as long as the map is."""

    def offsets(self, x: Tensor) -> Tensor:
        offset: Tensor = self.offset(x) * self.scope(x, "sigmoid") * 0.5 + self.init_pos
        return offset  # (1, 2 groups s s, h, w)

    def sample(self, x: Tensor, offsets: Tensor, top: int, left: int) -> Tensor:
        blank = x[:, :1] * 0 + 1
        places = [torch.cumsum(blank, dim) for dim in (3, 2)]  # from 1 on, x first
        shifts = F.pixel_shuffle(offsets, self.scale)  # (1, 2 groups, s h, s w)
        width, parts = x.shape[1] // DYSAMPLE_GROUPS, []
        for group in range(DYSAMPLE_GROUPS):
            axes = []
            for axis, place in enumerate(places):
                size = F.adaptive_max_pool2d(place, 1)
                middle = F.interpolate(place - 0.5, scale_factor=float(self.scale), mode="nearest")
                channel = axis * DYSAMPLE_GROUPS + group
                axes.append((middle + shifts[:, channel : channel + 1]) * 2 / size - 1)
            grid = torch.cat(axes, 1).permute(0, 2, 3, 1)  # (1, s h, s w, 2)
            values = x[:, group * width : (group + 1) * width]
            parts.append(F.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False))
        return torch.cat(parts, 1)


#: See `esc_plugin.export.portable.replaced`.
LAYERS: Layers = PORTABLE | {
    WindowAttention: NcnnAttention,
    ReflectConv2d: _ReflectConv2d,
    ImagePad: _ImagePad,
    DySample: _DySample,
}


class NcnnForm(Form):
    """`Form` with means as ncnn has them."""

    def mean(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return average(x).reshape(1, -1)


class Whole(NcnnForm, portable.Whole):
    """``data`` (1, 3, H, W) in 0..1 -> ``output`` (1, 3, s H, s W), not clipped.

    The names are those that Real-ESRGAN-ncnn-vulkan and Upscayl ask for.
    """

    inputs, outputs = ("data",), ("output",)


class Regions(NcnnForm, portable.Regions):
    """`portable.Regions`, but ``found`` is (1, L, P): ncnn drops a first axis of 1, its blobs have height L and width P."""

    def folded(self, interior: Tensor) -> Tensor:
        """See `portable.Regions`; ncnn has no slices with steps."""
        return F.max_pool2d(interior, 1, self.network.config.unshuffle)

    def joined(self, rows: list[Tensor]) -> Tensor:
        """See `portable.Regions`."""
        return torch.cat([row.reshape(1, 1, -1) for row in rows], 1)


MODULES: dict[str, type[Whole] | type[Regions]] = {"whole": Whole, "regions": Regions}
