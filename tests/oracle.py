"""A plain reading of the paper: classic ESC from its parameters, with nothing merged, cached or chunked.

Slow and readable; the tests compare with it, the benchmarks run beside it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def esc_forward(state: State, image: Tensor, *, scale: int, window: int, heads: int, fused: bool = False) -> Tensor:
    """(B, 3, H, W) -> (B, 3, scale H, scale W). `fused` uses torch's scaled_dot_product_attention."""
    kernel = _symmetric(state["plk_filter"])
    features = _conv(state, "proj", image, 1)
    x = features
    for i in range(_count(state, "blocks.{}.conv_out.weight")):
        x = _block(state, f"blocks.{i}.", x, kernel, window, heads, fused)
    x = _conv(state, "last", x, 1) + features
    pixels = _conv(state, "to_img", x, 1) + image.repeat_interleave(scale**2, 1)
    return F.pixel_shuffle(pixels, scale)


def _block(state: State, at: str, x: Tensor, kernel: Tensor, window: int, heads: int, fused: bool) -> Tensor:
    skip = x
    x = _ffn(state, at + "proj.", _norm(state, at + "ln_proj", x))
    x = x + _attention(state, at + "attn.", _norm(state, at + "ln_attn", x), window, heads, fused)
    for j in range(_count(state, at + "convffns.{}.dwc.weight")):
        y = _norm(state, f"{at}lns.{j}", x) if f"{at}lns.{j}.weight" in state else x
        x = x + _conv_attn(state, f"{at}pconvs.{j}.", _ffn(state, f"{at}convffns.{j}.", y), kernel)
    return _conv(state, at + "conv_out", _norm(state, at + "ln_out", x), 1) + skip


def _ffn(state: State, at: str, x: Tensor) -> Tensor:
    x = F.gelu(_conv(state, at + "proj", x))
    x = F.gelu(_conv(state, at + "dwc", x, 1, groups=x.shape[1])) + x
    return _conv(state, at + "aggr", x)


def _conv_attn(state: State, at: str, x: Tensor, kernel: Tensor) -> Tensor:
    pdim = kernel.shape[0]
    first, rest = x[:, :pdim], x[:, pdim:]
    hidden = F.gelu(_conv(state, at + "plk.dwc_proj.1", first.mean((2, 3), keepdim=True)))
    dynamic = _conv(state, at + "plk.dwc_proj.3", hidden).view(-1, 1, 3, 3)
    flat = first.reshape(1, -1, *first.shape[2:])
    local = F.conv2d(flat, dynamic, padding=1, groups=flat.shape[1]).view_as(first)
    mixed = F.conv2d(first, kernel, padding=kernel.shape[-1] // 2) + local
    return _conv(state, at + "aggr", torch.cat([mixed, rest], 1))


def _attention(state: State, at: str, x: Tensor, w: int, heads: int, fused: bool) -> Tensor:
    b, c, height, width = x.shape
    x = F.pad(x, (0, -width % w, 0, -height % w), mode="reflect")
    rows, columns = x.shape[2] // w, x.shape[3] // w
    qkv = _conv(state, at + "to_qkv", x).view(b, 3, heads, c // heads, rows, w, columns, w)
    q, k, v = qkv.permute(1, 0, 4, 6, 2, 5, 7, 3).reshape(3, b * rows * columns, heads, w * w, c // heads)
    bias = _bias(state[at + "relative_position_bias"], w)
    if fused:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
    else:
        out = torch.softmax(q @ k.transpose(-2, -1) / (c // heads) ** 0.5 + bias, -1) @ v
    out = out.view(b, rows, columns, heads, w, w, -1).permute(0, 3, 6, 1, 4, 2, 5).reshape(b, c, rows * w, columns * w)
    return _conv(state, at + "to_out", out[:, :, :height, :width])


def _bias(table: Tensor, w: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(w), torch.arange(w), indexing="ij")
    y, x = y.flatten(), x.flatten()
    return table[:, (y[None, :] - y[:, None] + w - 1) * (2 * w - 1) + x[None, :] - x[:, None] + w - 1]


def _symmetric(kernel: Tensor) -> Tensor:
    turned = [torch.rot90(flipped, k, (2, 3)) for flipped in (kernel, kernel.flip(3)) for k in range(4)]
    return torch.stack(turned).mean(0)


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
    weight, bias = (state[f"{name}.{part}"][None, :, None, None] for part in ("weight", "bias"))
    return (x - mean) / (variance + 1e-6).sqrt() * weight + bias


def _conv(state: State, name: str, x: Tensor, padding: int = 0, groups: int = 1) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding, groups=groups)


def _count(state: State, pattern: str) -> int:
    return next(i for i in range(1000) if pattern.format(i) not in state)
