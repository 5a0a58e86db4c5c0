"""Dynamic sampling (Liu et al., ICCV 2023, arXiv 2308.15085) as a head: pixels fetched from learned positions."""

from __future__ import annotations

from math import ceil, isqrt
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import EscConfig
from ..program import Chunk
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
        self.offset = nn.Conv2d(dim, positions, 1)
        self.scope = nn.Conv2d(dim, positions, 1, bias=False)
        self.end_conv = nn.Conv2d(dim, 3, kernel, padding=kernel // 2)
        self.register_buffer("init_pos", self._init_pos())

    def _init_pos(self) -> Tensor:
        steps = (torch.arange(self.scale) - (self.scale - 1) / 2) / self.scale
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        xy = torch.stack([columns, rows])[:, None]  # (2, 1, s, s), x first
        return xy.repeat(1, DYSAMPLE_GROUPS, 1, 1).reshape(1, -1, 1, 1)

    def offsets(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 2, groups s s, H, W), float32: x and y in input pixels."""
        offset: Tensor = self.offset(x) * self.scope(x).sigmoid() * 0.5
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
        batch, _, _, h, w = offsets.shape
        size = torch.cat([offsets.new_full((1, 1, 1, 1, 1), n) for n in (x.shape[-1], x.shape[-2])], 1)
        rows = torch.arange(h, device=x.device) + (top + 0.5)
        columns = torch.arange(w, device=x.device) + (left + 0.5)
        centres = torch.stack([columns.expand(h, w), rows[:, None].expand(h, w)])[None, :, None]  # (1, 2, 1, h, w)
        grid = (2 * (centres + offsets) / size - 1).flatten(1, 2)
        grid = F.pixel_shuffle(grid, self.scale).unflatten(1, (2, -1)).permute(0, 2, 3, 4, 1).flatten(0, 1)
        groups = x.reshape(batch * DYSAMPLE_GROUPS, -1, *x.shape[-2:])
        out = F.grid_sample(groups, grid.to(x.dtype), mode="bilinear", padding_mode="border", align_corners=False)
        return out.view(batch, -1, h * self.scale, w * self.scale)


class DySampleHead(Head):
    """Perhaps a convolution, then `DySample`. How far a sample reaches is known only from the data, and asked for then."""

    def __init__(self, dim: int, mid_dim: int, scale: int, kernel: int) -> None:
        before: list[nn.Module] = [nn.Conv2d(dim, mid_dim, 3, padding=1), nn.LeakyReLU(0.01)] if mid_dim != dim else []
        super().__init__()
        for number, layer in enumerate([*before, DySample(mid_dim, scale, kernel)]):
            self.add_module(str(number), layer)
        self.scale, self.margin = scale, ceil(kernel // 2 / scale)
        self.halo = self.margin + (1 if before else 0)
        self.asks = self.halo + 2  # where no sample lies further than a pixel from its place
        positions = 2 * DYSAMPLE_GROUPS * scale**2
        self.values_per_pixel = 2 * dim + 8 * positions + 3 * mid_dim * scale**2
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
        x = prepare(chunk.read("feat", far + beyond), far)
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
