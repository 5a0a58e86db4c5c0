"""The network: blocks of one window attention and several ConvAttn, and the head that makes pixels."""

from __future__ import annotations

from contextlib import nullcontext
from fractions import Fraction
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from ..device import without_autocast
from .attention import Bias
from .config import EscConfig
from .conv_attention import ConvAttn, d4_mean
from .heads.lte import LteHead
from .heads.registry import make_head
from .layers import ConvFFN, ImagePad, LayerNorm, ReflectConv2d, random_parameter
from .program import Chunk, Geometry, Program, Step, run_whole
from .window_attention import WindowAttention


class Block(nn.Module):
    """ConvFFN, window attention, `conv_blocks` times ConvFFN and ConvAttn, a 3x3 convolution, and the skip around them."""

    def __init__(self, config: EscConfig) -> None:
        super().__init__()
        dim, layers = config.dim, range(config.conv_blocks)
        self.dim = dim
        self.ln_proj = LayerNorm(dim)
        self.proj = ConvFFN(dim, config.proj_hidden)
        self.ln_attn = LayerNorm(dim)
        self.attn = WindowAttention(config)
        self.lns = nn.ModuleList(LayerNorm(dim) if config.conv_norms else nn.Identity() for _ in layers)
        self.convffns = nn.ModuleList(ConvFFN(dim, config.conv_hidden) for _ in layers)
        self.pconvs = nn.ModuleList(ConvAttn(config) for _ in layers)
        self.ln_out = LayerNorm(dim)
        self.conv_out = nn.Conv2d(dim, dim, 3, padding=1)

    def steps(self, net: ESC, name: str, skip: str, writes: str) -> list[Step]:
        """List the block's steps, from the map `skip` to the map `writes`, by way of "b" and "c"."""
        steps = [self._ffn_step(f"{name} feed-forward", self.ln_proj, self.proj, skip, "b")]
        x, y = "b", "c"
        if self.attn.gate is None:
            steps.append(self._attention_step(name, x, x))
        else:
            steps += [self._attention_step(name, x, y), self._gate_step(name, x, y)]
            x, y = y, x
        for j, (norm, module, mixer) in enumerate(zip(self.lns, self.convffns, self.pconvs, strict=True)):
            ffn, conv = cast(ConvFFN, module), cast(ConvAttn, mixer)
            label = f"{name} convolution {j + 1}/{len(self.pconvs)}"
            steps.append(self._ffn_step(f"{label} feed-forward", norm, ffn, x, y, mean=conv.pdim))
            steps.append(self._conv_attn_step(net, label, conv, x, y))
        steps.append(self._out_step(name, x, skip, writes))
        return steps

    def _ffn_step(self, name: str, norm: nn.Module, ffn: ConvFFN, reads: str, writes: str, mean: int = 0) -> Step:
        def apply(chunk: Chunk, _: None, x: Tensor) -> Tensor:
            return ffn(norm(x), partial(chunk.crop, halo=ffn.halo))

        return Step(name, {reads: ffn.halo}, writes, apply, mean=mean, width=ffn.width, cost=ffn.cost)

    def _attention_step(self, name: str, reads: str, writes: str) -> Step:
        attn = self.attn

        def apply(chunk: Chunk, bias: Bias, x: Tensor) -> Tensor:
            out = attn(x, self.ln_attn, bias)
            return out if attn.gate else attn.to_out(out).add_(x)

        return Step(
            f"{name} attention",
            {reads: 0},
            writes,
            apply,
            setup=lambda _: attn.bias(),
            multiple=attn.window_size,
            held=attn.passing_bytes,
            width=attn.width,
            cost=attn.cost,
        )

    def _gate_step(self, name: str, x: str, attended: str) -> Step:
        attn = self.attn
        assert attn.gate is not None
        gate = attn.gate

        def apply(chunk: Chunk, _: None, x: Tensor, out: Tensor) -> Tensor:
            open_ = chunk.crop(gate(self.ln_attn(x)), 1).sigmoid()
            return attn.to_out(out * open_).add_(chunk.crop(x, 1))

        cost = self.dim * (9 + 2 * self.dim)
        return Step(f"{name} gate", {x: 1, attended: 0}, attended, apply, width=6 * self.dim, cost=cost)

    def _conv_attn_step(self, net: ESC, name: str, conv: ConvAttn, x: str, y: str) -> Step:
        def setup(mean: Tensor | None) -> tuple[Tensor, ...]:
            assert mean is not None
            return conv.kernel(net.large_kernel(), mean)

        def apply(chunk: Chunk, kernel: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Tensor:
            return conv(y, kernel, partial(chunk.crop, halo=conv.halo)).add_(x)

        return Step(name, {x: 0, y: conv.halo}, x, apply, setup=setup, held=conv.held, width=conv.width, cost=conv.cost)

    def _out_step(self, name: str, x: str, skip: str, writes: str) -> Step:
        def apply(chunk: Chunk, _: None, x: Tensor, skip: Tensor) -> Tensor:
            return chunk.crop(self.conv_out(self.ln_out(x)), 1).add_(skip)

        return Step(f"{name} end", {x: 1, skip: 0}, writes, apply, width=4 * self.dim, cost=9 * self.dim**2)


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
        proj = nn.Conv2d(3 * f * f, dim, 3, padding=1)
        self.proj = nn.Sequential(*fold, proj) if fold else proj
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
        self.ln_last = LayerNorm(dim) if config.last_norm else nn.Identity()
        self.last = nn.Conv2d(dim, dim, 3, padding=1)
        if config.deep_skip:
            self.skip = nn.Sequential(
                *fold,
                nn.Conv2d(3 * f * f, 2 * dim, 1),
                ReflectConv2d(2 * dim, 2 * dim, 7, groups=2 * dim),
                nn.LeakyReLU(0.2),
                nn.Conv2d(2 * dim, dim, 1),
            )
        self.to_img = make_head(config)
        self._kept_kernel: tuple[Tensor, ...] | None = None
        self.register_load_state_dict_post_hook(_refresh)

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

    def _apply(self, fn, recurse=True):  # torch declares no types here
        """Move or cast the kept kernel along with the parameters."""
        module = super()._apply(fn, recurse)
        if self._kept_kernel is not None:
            self._kept_kernel = tuple(fn(t) for t in self._kept_kernel)
        return module

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
        if self.config.any_scale:
            size = size or natural
            return Geometry((height, width), size, f, (Fraction(size[0], height), Fraction(size[1], width)))
        if size not in (None, natural):
            raise ValueError(f"this network makes {natural} of {(height, width)}, not {size!r}.")
        return Geometry((height, width), natural, f, (scale * f, scale * f))

    def program(self, geometry: Geometry) -> Program:
        """Return the network as a list of steps for a run laid out by `geometry`.

        The maps are "image", "feat" (the first features, kept for the last skip), "a", "b", "c" and "output": no more than
        four feature maps exist at once.
        """
        steps = [self._first_step()]
        x = "feat"
        for i, block in enumerate(self._blocks()):
            steps += block.steps(self, f"block {i + 1}/{len(self.blocks)}", x, "a")
            x = "a"
        steps += [self._last_step(x), self._head_step(geometry)]
        return Program(steps, dict.fromkeys(("feat", "a", "b", "c"), self.config.dim))

    def _dtype(self) -> torch.dtype:
        return self.last.weight.dtype

    def _image(self, image: Tensor) -> Tensor:
        """Put an image in 0..1 into the range that the network was trained on."""
        return image * 2 - 1 if self.config.any_scale else image

    def _first_step(self) -> Step:
        def apply(chunk: Chunk, _: None, image: Tensor) -> Tensor:
            return chunk.crop(self.proj(self._image(image).to(self._dtype())), halo)

        f, dim = self.config.unshuffle, self.config.dim
        halo = 1 if f == 1 else 2  # the reflected border needs a pixel more
        return Step("first convolution", {"image": halo}, "feat", apply, width=2 * dim + 9 * f * f, cost=27 * f * f * dim)

    def _last_step(self, x: str) -> Step:
        dim, f = self.config.dim, self.config.unshuffle
        halo = 3 if f == 1 else 4

        def apply(chunk: Chunk, _: None, x: Tensor, feat: Tensor, image: Tensor | None = None) -> Tensor:
            out = chunk.crop(self.last(self.ln_last(x)), 1).add_(feat)
            return out if image is None else out + chunk.crop(self.skip(self._image(image).to(self._dtype())), halo)

        reads = {x: 1, "feat": 0} | ({"image": halo} if self.config.deep_skip else {})
        cost = 9 * dim**2 + (dim * (6 * f * f + 98 + 2 * dim) if self.config.deep_skip else 0)
        width = (12 if self.config.deep_skip else 4) * dim
        return Step("last convolution", reads, "feat", apply, width=width, cost=cost)

    def _head_step(self, geometry: Geometry) -> Step:
        head = self.to_img

        def apply(chunk: Chunk, _: None, features: Tensor, *image: Tensor) -> Tensor:
            # The image stays in its own precision: half of what a viewer sees is the image itself.
            out = head(chunk, features, *(self._image(i) for i in image)).float()
            if isinstance(head, LteHead):
                return out * 0.5 + 0.5
            region = chunk.geometry.output_region(chunk.region)
            return out[..., : region.height, : region.width]  # folding may have padded the image

        reads = {"feat": head.halo} | ({} if head.image_halo is None else {"image": head.image_halo})
        width, cost = head.width, head.cost
        if isinstance(head, LteHead):
            pixels = float(geometry.ratio[0] * geometry.ratio[1])
            width, cost = width + pixels * head.pixel_width, cost + pixels * head.pixel_cost
        return Step("pixels", reads, "output", apply, width=width, cost=cost)

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
