"""From features to pixels: the heads of the family.

The parameters carry the names that the trainers give them, so that their files fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log2
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import DYSAMPLE_GROUPS, UNI_METHODS, EscConfig
from ..program import Chunk
from .lte import LteHead


class Head(Protocol):
    """What every head is, beside a module.

    Attributes
    ----------
    halo, image_halo : int
        Feature pixels that it needs around a chunk, of the features and of the image; ``None``: the image isn't used.
    width, cost : float
        Values alive and multiplications per feature pixel.
    """

    halo: int
    image_halo: int | None
    width: float
    cost: float

    def __call__(self, chunk: Chunk, features: Tensor, *image: Tensor) -> Tensor:
        """Features (B, C, h, w), and the image (B, 3, h, w), with their halos -> (B, 3, s h', s w') without."""
        ...


def make_head(config: EscConfig) -> Head:
    """Build the head that `config` names."""
    dim, scale = config.dim, config.head_scale
    if config.head == "classic":
        return cast(Head, ClassicHead(dim, scale))
    if config.head == "bicubic":
        return cast(Head, BicubicHead(dim, scale))
    if config.head == "lte":
        return cast(Head, LteHead(dim, config.mid_dim, config.mlp_hidden))
    head: DySampleHead | SequentialHead
    if config.dysample_kernel:
        head = DySampleHead(dim, config.mid_dim or dim, scale, config.dysample_kernel)
    else:
        head = SequentialHead(*_layers(config), scale=scale)
    if config.head == "uni":
        # The trainers store what can't be read off the shapes; written back so that they open our files.
        inner = config.mid_dim if config.uni_method == "pa_up" else dim
        meta = [config.uni_version, UNI_METHODS.index(config.uni_method), scale, inner, 3, config.mid_dim, 4]
        head.register_buffer("MetaUpsample", torch.tensor(meta, dtype=torch.uint8))
    return cast(Head, head)


class ClassicHead(nn.Conv2d):
    """Sub-pixel convolution whose output starts from the nearest-neighbour image."""

    halo, image_halo = 1, 0

    def __init__(self, dim: int, scale: int) -> None:
        super().__init__(dim, 3 * scale**2, 3, padding=1)
        self.scale = scale
        self.width, self.cost = 2 * dim + 12 * scale**2, 27 * dim * scale**2

    def forward(self, chunk: Chunk, features: Tensor, image: Tensor) -> Tensor:  # type: ignore[override]
        """See `Head`."""
        pixels = chunk.crop(super().forward(features), 1).float()
        return F.pixel_shuffle(pixels + image.repeat_interleave(self.scale**2, 1), self.scale)


class BicubicHead(nn.Conv2d):
    """Sub-pixel convolution added to the bicubic image (ESC-FP)."""

    halo, image_halo = 1, 3

    def __init__(self, dim: int, scale: int) -> None:
        super().__init__(dim, 3 * scale**2, 3, padding=1)
        self.scale = scale
        self.width, self.cost = 2 * dim + 15 * scale**2, 27 * dim * scale**2

    def forward(self, chunk: Chunk, features: Tensor, image: Tensor) -> Tensor:  # type: ignore[override]
        """See `Head`."""
        pixels = F.pixel_shuffle(chunk.crop(super().forward(features), 1), self.scale).float()
        smooth = F.interpolate(image, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return pixels + chunk.crop(smooth, self.image_halo, self.scale)


class PixelAttention(nn.Module):
    """Multiply by a sigmoid gate made by a 1x1 convolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(dim, dim, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x * self.conv(x)


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
        offset = self.offset(x) * self.scope(x).sigmoid() * 0.5
        return (offset.float() + self.init_pos.float()).unflatten(1, (2, -1))

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


class DySampleHead(nn.Sequential):
    """Perhaps a convolution, then `DySample`. How far a sample reaches is known only from the data, and asked for then."""

    image_halo = None

    def __init__(self, dim: int, mid_dim: int, scale: int, kernel: int) -> None:
        before: list[nn.Module] = [nn.Conv2d(dim, mid_dim, 3, padding=1), nn.LeakyReLU(0.01)] if mid_dim != dim else []
        super().__init__(*before, DySample(mid_dim, scale, kernel))
        self.scale, self.margin = scale, ceil(kernel // 2 / scale)
        self.halo = self.margin + (1 if before else 0)
        positions = 2 * DYSAMPLE_GROUPS * scale**2
        self.width = 2 * dim + 8 * positions + 3 * mid_dim * scale**2
        self.cost = 9 * dim * mid_dim * len(before) + mid_dim * (2 * positions + scale**2 * (4 + 3 * kernel**2))

    def forward(self, chunk: Chunk, features: Tensor) -> Tensor:  # type: ignore[override]
        """See `Head`."""
        *before, last = self
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


class SequentialHead(nn.Sequential):
    """Convolutions and upsampling in a row; the halo follows from the layers."""

    image_halo = None

    def __init__(self, *layers: nn.Module, scale: int) -> None:
        super().__init__(*layers)
        self.scale = scale
        self.width, self.cost = 0.0, 0.0
        reach, values = 0.0, 0
        at = 1  # pixels per feature pixel at this layer
        for layer in layers:
            if isinstance(layer, nn.ConvTranspose2d):
                reach += 1 / at
                at *= layer.stride[0]
                values = layer.out_channels
                self.cost += at**2 * layer.weight.numel() / layer.stride[0] ** 2
            elif isinstance(layer, nn.Conv2d):
                reach += (layer.kernel_size[0] // 2) / at
                values = layer.out_channels
                self.cost += at**2 * layer.weight.numel()
            elif isinstance(layer, nn.Upsample):
                at *= int(cast(float, layer.scale_factor))
            elif isinstance(layer, nn.PixelShuffle):
                at *= layer.upscale_factor
                values //= layer.upscale_factor**2
            elif isinstance(layer, PixelAttention):
                self.cost += at**2 * values**2
            self.width = max(self.width, 3.0 * values * at**2)
        self.halo = ceil(reach)

    def forward(self, chunk: Chunk, features: Tensor) -> Tensor:  # type: ignore[override]
        """See `Head`."""
        return chunk.crop(super().forward(features), self.halo, self.scale)


def _layers(config: EscConfig) -> Iterator[nn.Module]:
    """Yield the layers of a `SequentialHead`, at the positions that the trainers give them."""
    dim, mid, scale = config.dim, config.mid_dim, config.head_scale
    steps = [3] if scale == 3 else [2] * int(log2(scale))
    method = config.uni_method
    if config.head == "real":  # of Real-ESRGAN and SwinIR
        for _ in range(2):
            yield from (nn.Upsample(scale_factor=2), _conv3(dim, dim), nn.LeakyReLU(0.2))
        yield from (_conv3(dim, dim), nn.LeakyReLU(0.2), _conv3(dim, 3))
    elif config.head == "neosr":
        for step in steps:
            yield from (nn.Upsample(scale_factor=step), _conv3(dim, dim), nn.LeakyReLU(0.2))
            yield from (_conv3(dim, dim), nn.LeakyReLU(0.2))
        yield _conv3(dim, 3)
    elif scale == 1 or method == "conv":
        yield _conv3(dim, 3)
    elif method == "pixelshuffledirect":
        yield from (_conv3(dim, 3 * scale**2), nn.PixelShuffle(scale))
    elif method == "pixelshuffle":
        yield from (_conv3(dim, mid), nn.LeakyReLU(0.01))
        for step in steps:
            yield from (_conv3(mid, mid * step**2), nn.PixelShuffle(step))
        yield _conv3(mid, 3)
    elif method == "nearest+conv":
        for step in steps:
            yield from (_conv3(dim, dim), nn.Upsample(scale_factor=step), nn.LeakyReLU(0.2))
        yield from (_conv3(dim, dim), nn.LeakyReLU(0.2), _conv3(dim, 3))
    elif method == "transpose+conv":
        yield from _transposed(dim, scale)
        yield _conv3(3, 3)
    elif method == "pa_up":
        for step in steps:
            yield from (nn.Upsample(scale_factor=step), _conv3(dim, mid), PixelAttention(mid), nn.LeakyReLU(0.2))
            yield from (_conv3(mid, mid), nn.LeakyReLU(0.2))
            dim = mid
        yield _conv3(mid, 3)
    else:
        raise ValueError(f"the upsampling method {method!r} is not supported.")


def _transposed(dim: int, scale: int) -> Iterator[nn.Module]:
    if scale == 3:
        yield nn.ConvTranspose2d(dim, 3, 3, 3)
        return
    if scale == 4:
        yield from (nn.ConvTranspose2d(dim, dim, 4, 2, 1), nn.GELU())
    yield nn.ConvTranspose2d(dim, 3, 4, 2, 1)


def _conv3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
