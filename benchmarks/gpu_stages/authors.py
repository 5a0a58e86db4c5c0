"""The networks of the paper as their authors compute them: the whole image at once, the bias by a table, nothing merged.

A reading of the paper, for comparison, with torch's fused functions for layer norms and attention.
`attention` is `by_sdpa`, which adds a matrix to the scores, or `ByFlex`, which looks each value up in the table.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

#: ``attention(q, k, v, table, window) -> out``, all (windows, n, w w, d).
Attention = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]


def by_sdpa(q: Tensor, k: Tensor, v: Tensor, table: Tensor, window: int) -> Tensor:
    at = torch.arange(window * window, device=q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=_looked_up(table, at[:, None], at[None], window)[None])


def _looked_up(table: Tensor, q: Tensor, k: Tensor, window: int) -> Tensor:
    rows, columns = k // window - q // window + window - 1, k % window - q % window + window - 1
    return table[:, rows * (2 * window - 1) + columns]


class ByFlex:
    """Compiled by torch, once for each shape; needs Triton."""

    def __init__(self) -> None:
        from torch.nn.attention.flex_attention import flex_attention

        self.flex = torch.compile(flex_attention, dynamic=False)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, table: Tensor, window: int) -> Tensor:
        def add_bias(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
            rows, columns = j // window - i // window + window - 1, j % window - i % window + window - 1
            return score + table[h, rows * (2 * window - 1) + columns]

        return self.flex(q, k, v, score_mod=add_bias)


class Authors:
    """ESC, ESC-lt, ESC-FP or ESC-Real from the parameters of ours; (B, 3, H, W) -> (B, 3, s H, s W)."""

    def __init__(
        self, state: dict[str, Tensor], scale: int, window: int, heads: int, attention: Attention = by_sdpa
    ) -> None:
        self.state, self.scale, self.window, self.heads, self.attention = state, scale, window, heads, attention
        self.separable = "lk_spatial" in state
        self.blocks = _count(state, "blocks.{}.conv_out.weight")
        self.layers = _count(state, "blocks.0.convffns.{}.dwc.weight")

    def __call__(self, image: Tensor) -> Tensor:
        large = () if self.separable else (_symmetric(self.state["plk_filter"]),)
        x = features = self.conv("proj", image.to(self.state["last.weight"]), 1)
        for i in range(self.blocks):
            x = self.block(f"blocks.{i}.", x, *large)
        x = self.conv("last", self.norm("ln_last", x) if "ln_last.weight" in self.state else x, 1) + features
        return self.real(x, image.to(x)) if "skip.0.weight" in self.state else self.classic(x, image.to(x))

    def block(self, at: str, x: Tensor, *large: Tensor) -> Tensor:
        skip = x
        x = self.ffn(at + "proj.", self.norm(at + "ln_proj", x))
        x = x + self.attend(at + "attn.", self.norm(at + "ln_attn", x))
        for j in range(self.layers):
            y = self.norm(f"{at}lns.{j}", x) if f"{at}lns.{j}.weight" in self.state else x
            x = x + self.conv_attn(f"{at}pconvs.{j}.", self.ffn(f"{at}convffns.{j}.", y), *large)
        return self.conv(at + "conv_out", self.norm(at + "ln_out", x), 1) + skip

    def ffn(self, at: str, x: Tensor) -> Tensor:
        x = F.gelu(self.conv(at + "proj", x))
        x = F.gelu(self.conv(at + "dwc", x, 1, groups=x.shape[1])) + x
        return self.conv(at + "aggr", x)

    def conv_attn(self, at: str, x: Tensor, *large: Tensor) -> Tensor:
        first, rest = x.split([16, x.shape[1] - 16], 1)
        hidden = F.gelu(self.conv(at + "plk.dwc_proj.1", F.adaptive_avg_pool2d(first, 1)))
        dynamic = self.conv(at + "plk.dwc_proj.3", hidden).view(-1, 1, 3, 3)
        if self.separable:
            kernel = self.state["lk_spatial"] + F.pad(dynamic, (5, 5, 5, 5))
            first = F.conv2d(F.conv2d(first, self.state["lk_channel"]), kernel, padding=6, groups=16)
        else:
            first = F.conv2d(first, *large, padding=6) + F.conv2d(first, dynamic, padding=1, groups=16)
        return self.conv(at + "aggr", torch.cat([first, rest], 1))

    def attend(self, at: str, x: Tensor) -> Tensor:
        (b, c, height, width), w, n = x.shape, self.window, self.heads
        x = F.pad(x, (0, -width % w, 0, -height % w), mode="reflect")
        rows, columns = x.shape[2] // w, x.shape[3] // w
        qkv = self.conv(at + "to_qkv", x).view(b, 3, n, c // n, rows, w, columns, w)
        q, k, v = qkv.permute(1, 0, 4, 6, 2, 5, 7, 3).reshape(3, b * rows * columns, n, w * w, c // n)
        out = self.attention(q, k, v, self.state[at + "relative_position_bias"], w)
        out = out.reshape(b, rows, columns, n, w, w, -1).permute(0, 3, 6, 1, 4, 2, 5).reshape(b, c, rows * w, columns * w)
        return self.conv(at + "to_out", out[:, :, :height, :width])

    def classic(self, x: Tensor, image: Tensor) -> Tensor:
        pixels, s = self.conv("to_img", x, 1), self.scale
        if self.separable:
            return F.pixel_shuffle(pixels, s) + F.interpolate(image, scale_factor=s, mode="bicubic", align_corners=False)
        return F.pixel_shuffle(pixels + image.repeat_interleave(s * s, 1), s)

    def real(self, x: Tensor, image: Tensor) -> Tensor:
        y = F.pad(self.conv("skip.0", image), (3, 3, 3, 3), mode="reflect")
        x = x + self.conv("skip.3", F.leaky_relu(self.conv("skip.1", y, groups=y.shape[1]), 0.2))
        for at in ("1", "4"):
            x = F.leaky_relu(self.conv(f"to_img.{at}", F.interpolate(x, scale_factor=2, mode="nearest"), 1), 0.2)
        return self.conv("to_img.8", F.leaky_relu(self.conv("to_img.6", x, 1), 0.2), 1)

    def conv(self, name: str, x: Tensor, padding: int = 0, groups: int = 1) -> Tensor:
        return F.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], padding=padding, groups=groups)

    def norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias, 1e-6).permute(0, 3, 1, 2)


def _symmetric(kernel: Tensor) -> Tensor:
    turned = [torch.rot90(flipped, k, (2, 3)) for flipped in (kernel, kernel.flip(3)) for k in range(4)]
    return torch.stack(turned).mean(0)


def _count(state: dict[str, Tensor], pattern: str) -> int:
    return next(i for i in range(1000) if pattern.format(i) not in state)
