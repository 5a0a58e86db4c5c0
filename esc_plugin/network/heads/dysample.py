"""Dynamic sampling (Liu et al., ICCV 2023, arXiv 2308.15085) as a head: pixels fetched from learned positions."""

from __future__ import annotations

from math import ceil, isqrt
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import EscConfig
from ..layers import Conv2d, needs_gradient
from ..program import FEATURES, Chunk
from ..state_dict import Dialect, KeyCondition, State, shape_of
from .head import Head, HeadKind

#: Groups of channels that dynamic sampling moves alike.
DYSAMPLE_GROUPS = 4


class DySample(nn.Module):
    """Sampling at learned positions (Liu et al., ICCV 2023, arXiv 2308.15085), with its final convolution."""

    init_pos: Tensor

    def __init__(self, dim: int, scale: int, kernel: int) -> None:
        super().__init__()
        positions = 2 * DYSAMPLE_GROUPS * scale**2
        self.scale = scale
        self.offset = Conv2d(dim, positions, 1)
        self.scope = Conv2d(dim, positions, 1, bias=False)
        self.end_conv = Conv2d(dim, 3, kernel)
        self.register_buffer("init_pos", self._init_pos())

    def _init_pos(self) -> Tensor:
        steps = (torch.arange(self.scale) - (self.scale - 1) / 2) / self.scale
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        xy = torch.stack([columns, rows])[:, None]  # (2, 1, s, s), x first
        return xy.repeat(1, DYSAMPLE_GROUPS, 1, 1).reshape(1, -1, 1, 1)

    def offsets(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 2, groups s s, H, W), float32: x and y in input pixels."""
        offset: Tensor = self.offset(x) * self.scope(x, "sigmoid") * 0.5
        positions: Tensor = (offset.float() + self.init_pos.float()).unflatten(1, (2, -1))
        return positions

    def sample(self, x: Tensor, offsets: Tensor, top: int, left: int) -> Tensor:
        """Sample x (B, C, H, W), clamped at its border.

        Parameters
        ----------
        offsets : Tensor
            (B, 2, groups s s, h, w), of the pixels of `x` from row `top` and column `left` on.

        Returns
        -------
        Tensor
            (B, C, s h, s w).
        """
        if x.device.type != "cpu" or torch.compiler.is_compiling() or needs_gradient(x, offsets):
            return self._sample_on_grid(x, offsets, top, left)
        height, width = x.shape[-2:]
        # Offsets in the order of the output: (2, B, h, s, w, s, groups), x first.
        columns, rows = offsets.unflatten(2, (DYSAMPLE_GROUPS, self.scale, self.scale)).permute(1, 0, 5, 3, 6, 4, 2)
        rows, down = _neighbours(rows, top, 1, height)
        columns, right = _neighbours(columns, left, 3, width)
        table = x.float().permute(0, 2, 3, 1).reshape(-1, x.shape[1] // DYSAMPLE_GROUPS)  # (B H W groups, C / groups)
        images = torch.arange(len(x), dtype=torch.int32).view(-1, *[1] * 7)
        pixels = (images * height + rows[..., :, None]) * width + columns[..., None, :]  # (B, h, s, w, s, groups, 2, 2)
        groups = torch.arange(DYSAMPLE_GROUPS, dtype=torch.int32)[:, None, None]
        index, weights = pixels * DYSAMPLE_GROUPS + groups, down[..., :, None] * right[..., None, :]
        bags = index.flatten(-2).flatten(0, -2), weights.flatten(-2).flatten(0, -2)
        out = F.embedding_bag(bags[0], table, per_sample_weights=bags[1], mode="sum")
        h, w = (n * self.scale for n in offsets.shape[-2:])
        return out.view(len(x), h, w, -1).permute(0, 3, 1, 2).to(x.dtype)

    def _sample_on_grid(self, x: Tensor, offsets: Tensor, top: int, left: int) -> Tensor:
        """Do the same with gradients, in a graph and on any device; positions are rounded as `grid_sample` has them."""
        batch, _, _, h, w = offsets.shape
        size = torch.cat([offsets.new_full((1, 1, 1, 1, 1), n) for n in (x.shape[-1], x.shape[-2])], 1)
        rows = torch.arange(h, device=x.device) + (top + 0.5)
        columns = torch.arange(w, device=x.device) + (left + 0.5)
        centres = torch.stack([columns.expand(h, w), rows[:, None].expand(h, w)])[None, :, None]  # (1, 2, 1, h, w)
        grid = (2 * (centres + offsets) / size - 1).flatten(1, 2)
        grid = F.pixel_shuffle(grid, self.scale).unflatten(1, (2, -1)).permute(0, 2, 3, 4, 1).flatten(0, 1)
        groups = x.reshape(batch * DYSAMPLE_GROUPS, -1, *x.shape[-2:]).to(grid.dtype)
        out = F.grid_sample(groups, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return out.view(batch, -1, h * self.scale, w * self.scale).to(x.dtype)


def _neighbours(offset: Tensor, start: int, dim: int, size: int) -> tuple[Tensor, Tensor]:
    """Find the two pixels around each position of one axis, and their weights: (...,) -> (..., 2), int32 and float32.

    Pixels are counted in integers, so that a position is the same wherever a part of an image begins.

    Parameters
    ----------
    offset : Tensor
        In pixels, from pixel ``start + i`` for index ``i`` of dimension `dim`.
    size : int
        Of the axis. Beyond it, its last pixel goes on.
    """
    below = offset.floor()
    share = offset - below
    own = torch.arange(start, start + offset.shape[dim], dtype=torch.int32).view(-1, *[1] * (offset.ndim - dim - 1))
    first = below.int() + own
    return torch.stack([first, first + 1], -1).clamp_(0, size - 1), torch.stack([1 - share, share], -1)


class DySampleHead(Head):
    """Perhaps a convolution, then `DySample`. How far a sample reaches is known only from the data, and asked for then."""

    def __init__(self, dim: int, mid_dim: int, scale: int, kernel: int) -> None:
        before: list[nn.Module] = [Conv2d(dim, mid_dim, 3), nn.LeakyReLU(0.01)] if mid_dim != dim else []
        super().__init__()
        for number, layer in enumerate([*before, DySample(mid_dim, scale, kernel)]):
            self.add_module(str(number), layer)
        self.scale, self.margin = scale, ceil(kernel // 2 / scale)
        self.halo = self.margin + (1 if before else 0)
        self.asks = self.halo + 2  # where no sample lies further than a pixel from its place
        positions = 2 * DYSAMPLE_GROUPS * scale**2
        self.values_per_pixel = 2 * dim + 16 * positions + 3 * mid_dim * scale**2
        self.cost = 9 * dim * mid_dim * len(before) + mid_dim * (2 * positions + scale**2 * (4 + 3 * kernel**2))

    def forward(self, chunk: Chunk, features: Tensor) -> Tensor:
        """(B, C, h, w) with a halo -> (B, 3, s h', s w') without."""
        *before, last = self.children()
        sampler = cast(DySample, last)
        beyond = self.halo - self.margin

        def prepare(x: Tensor, margin: int) -> Tensor:
            for layer in before:
                x = layer(x)
            return chunk.crop(x, margin + beyond, keep=margin)

        offsets = sampler.offsets(prepare(features, self.margin))
        far = self.margin if chunk.whole else self.margin + int(offsets.detach().abs().amax().ceil()) + 1
        x = prepare(chunk.read(FEATURES, far + beyond), far)
        region, grid = chunk.region, chunk.geometry.grid
        here, there = region.grow(self.margin, grid), region.grow(far, grid)
        out = sampler.sample(x, offsets, here.top - there.top, here.left - there.left)
        return chunk.crop(sampler.end_conv(out), self.margin, self.scale)


def read_kernel(state: State, at: int) -> int:
    """Return the edge of the convolution after the sampling, which is layer `at`."""
    return shape_of(state, f"to_img.{at}.end_conv.weight", 4)[-1]


def _read(state: State) -> dict[str, Any]:
    positions = shape_of(state, "to_img.0.offset.weight", 4)[0]
    return {"scale": isqrt(positions // (2 * DYSAMPLE_GROUPS)), "dysample_kernel": read_kernel(state, 0)}


def check_sampling(config: EscConfig) -> None:
    """Raise a `ValueError` unless the channels can be sampled, and the convolution after it keeps the size."""
    sampled, kernel = config.mid_dim or config.dim, config.dysample_kernel
    if sampled % DYSAMPLE_GROUPS or kernel % 2 == 0:
        raise ValueError(f"{sampled!r} channels can't be sampled in {DYSAMPLE_GROUPS} groups with a kernel of {kernel!r}.")


def _check(config: EscConfig) -> None:
    if config.mid_dim:
        raise ValueError(f"mid_dim={config.mid_dim!r} must be 0 for head='dysample', which samples all channels.")
    check_sampling(config)


DYSAMPLE = HeadKind(
    name="dysample",
    keys=KeyCondition.has_all("to_img.0.offset.weight", KeyCondition.has_none("to_img.MetaUpsample")),
    read=_read,
    make=lambda config: DySampleHead(config.dim, config.dim, config.head_scale, config.dysample_kernel),
    check=_check,
    deep_skip=True,
    dialect=Dialect(
        KeyCondition.has_all("to_img.offset.weight"),
        tuple((f"to_img.{part}", f"to_img.0.{part}") for part in ("offset.", "scope.", "end_conv.", "init_pos")),
    ),
)
