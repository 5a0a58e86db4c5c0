"""The network: a first convolution, blocks, a last convolution, and the head that makes pixels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from fractions import Fraction
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..device import without_autocast
from .block import Block
from .config import EscConfig
from .conv_attention import d4_mean
from .grid import Geometry
from .heads.registry import head_kind, make_head
from .layers import Conv2d, ImagePad, LayerNorm, ReflectConv2d, random_parameter
from .program import FEATURES, Chunk, Program, Step, run_whole


class ESC(nn.Module):
    """Any network of the ESC family.

    Parameters
    ----------
    config : EscConfig
        What to build. Parameters are named as in the authors' programs; `esc_plugin.weights.dialects` has the exceptions.
    """

    def __init__(self, config: EscConfig) -> None:
        super().__init__()
        self.config = config
        dim, pdim, k, f = config.dim, config.pdim, config.kernel_size, config.unshuffle
        if config.large_kernel == "full":
            self.plk_filter = random_parameter(pdim, pdim, k, k)
        else:
            self.lk_channel = random_parameter(pdim, pdim, 1, 1, std=pdim**-0.5)
            self.lk_spatial = random_parameter(pdim, 1, k, k)
        fold = [ImagePad(f)] if f > 1 else []
        proj = Conv2d(3 * f * f, dim, 3)
        self.proj = nn.Sequential(*fold, proj) if fold else proj
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
        self.ln_last = LayerNorm(dim) if config.last_norm else nn.Identity()
        self.last = Conv2d(dim, dim, 3)
        if head_kind(config).deep_skip:
            self.skip = nn.Sequential(
                *fold,
                Conv2d(3 * f * f, 2 * dim, 1),
                ReflectConv2d(2 * dim, 2 * dim, 7, groups=2 * dim),
                nn.LeakyReLU(0.2),
                Conv2d(2 * dim, dim, 1),
            )
        self.to_img = make_head(config)
        self._kept_kernel: tuple[Tensor, ...] | None = None
        register: Any = self.register_load_state_dict_post_hook  # torch declares no types here
        register(_refresh)

    @property
    def any_scale(self) -> bool:
        """Whether the network renders any real scale."""
        return head_kind(self.config).any_scale

    def large_kernel(self) -> tuple[Tensor, ...]:
        """Return the shared kernel as `ConvAttn.kernel` takes it; made once in evaluation, each time in training."""
        return self._kept_kernel or self._make_kernel()

    def _make_kernel(self) -> tuple[Tensor, ...]:
        if self.config.large_kernel == "full":
            return (d4_mean(self.plk_filter),)
        return self.lk_channel, self.lk_spatial

    def train(self, mode: bool = True) -> ESC:
        """Switch between training and evaluation; evaluation keeps what depends on weights alone."""
        super().train(mode)
        with torch.no_grad():
            self._kept_kernel = None if mode else self._make_kernel()
            for block in self._blocks():
                block.attn.keep_bias(not mode)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ESC:
        """Move or cast the kept kernel along with the parameters."""
        apply: Any = super()._apply  # torch declares no types here
        apply(fn, recurse)
        if self._kept_kernel is not None:
            self._kept_kernel = tuple(fn(t) for t in self._kept_kernel)
        return self

    def _blocks(self) -> list[Block]:
        return cast("list[Block]", list(self.blocks))

    def resident_bytes(self) -> int:
        """Return what the parameters take, and what evaluation keeps beside them once it has run."""
        tensors = [*self.parameters(), *(self._kept_kernel or ())]
        kept = sum(block.attn.kept_bytes for block in self._blocks())
        return kept + sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def geometry(self, height: int, width: int, size: tuple[int, int] | None = None) -> Geometry:
        """Lay out a run over an image of `height` x `width`.

        Parameters
        ----------
        size : tuple of int, optional
            Height and width of the output. Only a network for any scale takes another one than ``scale`` times the image.
        """
        scale, f = self.config.scale, self.config.unshuffle
        natural = (height * scale, width * scale)
        if self.any_scale:
            size = size or natural
            return Geometry((height, width), size, f, (Fraction(size[0], height), Fraction(size[1], width)))
        if size not in (None, natural):
            raise ValueError(f"this network makes {natural} of {(height, width)}, not {size!r}.")
        return Geometry((height, width), natural, f, (scale * f, scale * f))

    def program(self, geometry: Geometry) -> Program:
        """Return the network as a list of steps for a run laid out by `geometry`.

        The maps are "image", "a" (what the blocks hand on), "b" and "c" (what they work in) and "output": no more than three
        feature maps exist at once. The first features, which the last skip adds, are not one of them: to make them again
        from the image is much less than a hundredth of the work.
        """
        steps = [self._first_step()]
        # Evaluation keeps it; training makes it once for all blocks of this run.
        large_kernel = cache(self.large_kernel) if self.training else self.large_kernel
        for i, block in enumerate(self._blocks()):
            steps += block.steps(large_kernel, f"block {i + 1}/{len(self.blocks)}", "a")
        steps += [self._last_step(), self._head_step(geometry)]
        return Program(steps, dict.fromkeys(("a", "b", "c"), self.config.dim))

    @property
    def _halo(self) -> int:
        """Of the image, for the first features; a reflected border needs a pixel more."""
        return 1 if self.config.unshuffle == 1 else 2

    def _dtype(self) -> torch.dtype:
        return self.last.weight.dtype

    def _to_range(self, image: Tensor) -> Tensor:
        """Put an image in 0..1 into the range that the network was trained on."""
        black, white = head_kind(self.config).value_range
        return image if (black, white) == (0, 1) else image * (white - black) + black

    def _from_range(self, image: Tensor) -> Tensor:
        """Put the head's output into 0..1: the way back from `_to_range`."""
        black, white = head_kind(self.config).value_range
        return image if (black, white) == (0, 1) else image * (1 / (white - black)) - black / (white - black)

    def _first_step(self) -> Step:
        def apply(chunk: Chunk, _: None, image: Tensor) -> Tensor:
            return chunk.crop(self.proj(self._to_range(image).to(self._dtype())), self._halo)

        f, dim = self.config.unshuffle, self.config.dim
        values, cost = 2 * dim + 9 * f * f, 27 * f * f * dim
        return Step("first convolution", {"image": self._halo}, "a", apply, values_per_pixel=values, cost=cost)

    def _last_step(self) -> Step:
        dim, f = self.config.dim, self.config.unshuffle
        deep_skip = head_kind(self.config).deep_skip
        halo = self._halo + (2 if deep_skip else 0)

        def apply(chunk: Chunk, _: None, x: Tensor, image: Tensor) -> Tensor:
            image = self._to_range(image).to(self._dtype())
            out = chunk.crop(self.last(self.ln_last(x)), 1).add_(chunk.crop(self.proj(image), halo))
            return out + chunk.crop(self.skip(image), halo) if deep_skip else out

        cost = 9 * dim**2 + 27 * f * f * dim + (dim * (6 * f * f + 98 + 2 * dim) if deep_skip else 0)
        values = (12 if deep_skip else 5) * dim + 9 * f * f
        reads = {"a": 1, "image": halo}
        return Step("last convolution", reads, FEATURES, apply, values_per_pixel=values, cost=cost)

    def _head_step(self, geometry: Geometry) -> Step:
        head = self.to_img

        def apply(chunk: Chunk, _: None, features: Tensor, *image: Tensor) -> Tensor:
            # The image stays in its own precision: half of what a viewer sees is the image itself.
            out: Tensor = head(chunk, features, *(self._to_range(i) for i in image)).float()
            return self._from_range(chunk.output(out))

        halo, image_halo = head.halos(geometry)
        reads = {FEATURES: halo} | ({} if image_halo is None else {"image": image_halo})
        output_pixels = float(geometry.ratio[0] * geometry.ratio[1])  # per feature pixel
        values = head.values_per_pixel + output_pixels * head.values_per_output_pixel
        cost = head.cost + output_pixels * head.cost_per_output_pixel
        asks = {FEATURES: head.asks} if head.asks else {}
        return Step("pixels", reads, "output", apply, asks=asks, values_per_pixel=values, cost=cost)

    def forward(self, image: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Upscale at once, without memory limits.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) in 0..1, any B, H, W from 1 on. It is not changed.
        size : tuple of int, optional
            See `geometry`.

        Returns
        -------
        Tensor
            (B, 3, scale H, scale W), float32, not clipped.
        """
        geometry = self.geometry(image.shape[-2], image.shape[-1], size)
        # A host's autocast would round what has to stay exact; a training's own is wanted.
        plain = self.training or torch.compiler.is_compiling()
        with nullcontext() if plain else without_autocast(image.device):
            return run_whole(self.program(geometry), geometry, image)


def _refresh(net: ESC, _: object) -> None:
    """After new weights, make again what was kept from the old ones."""
    net.train(net.training)
