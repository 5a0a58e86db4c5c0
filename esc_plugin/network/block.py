"""A block of the network: one window attention and several ConvAttn, as modules and as steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor, nn

from .attention import Bias
from .config import EscConfig
from .conv_attention import ConvAttn
from .layers import Conv2d, ConvFFN, LayerNorm
from .program import Chunk, Step
from .window_attention import WindowAttention

#: Gives the kernel that all ConvAttn of a network share, as `ConvAttn.kernel` takes it.
LargeKernel = Callable[[], tuple[Tensor, ...]]


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
        self.conv_out = Conv2d(dim, dim, 3)

    def steps(self, large_kernel: LargeKernel, name: str, skip: str) -> list[Step]:
        """List the block's steps, from the map `skip` back to it, by way of "b" and "c"."""
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
            steps.append(self._conv_attn_step(large_kernel, label, conv, x, y))
        steps.append(self._out_step(name, x, skip))
        return steps

    def _ffn_step(self, name: str, norm: nn.Module, ffn: ConvFFN, reads: str, writes: str, mean: int = 0) -> Step:
        def apply(chunk: Chunk, _: None, x: Tensor) -> Tensor:
            out: Tensor = ffn(norm(x), partial(chunk.crop, halo=ffn.halo))
            return out

        return Step(name, {reads: ffn.halo}, writes, apply, mean=mean, values_per_pixel=ffn.values_per_pixel, cost=ffn.cost)

    def _attention_step(self, name: str, reads: str, writes: str) -> Step:
        attn = self.attn

        def apply(chunk: Chunk, bias: Bias, x: Tensor) -> Tensor:
            out: Tensor = attn(x, self.ln_attn, bias)
            return out if attn.gate else attn.to_out(out).add_(x)

        return Step(
            f"{name} attention",
            {reads: 0},
            writes,
            apply,
            setup=lambda _: attn.bias(),
            multiple=attn.window_size,
            held=attn.passing_bytes,
            values_per_pixel=attn.values_per_pixel,
            cost=attn.cost,
        )

    def _gate_step(self, name: str, x: str, attended: str) -> Step:
        attn = self.attn
        assert attn.gate is not None
        spatial, mix = cast("tuple[Conv2d, Conv2d]", tuple(attn.gate))

        def apply(chunk: Chunk, _: None, x: Tensor, out: Tensor) -> Tensor:
            open_ = chunk.crop(mix(spatial(self.ln_attn(x)), "sigmoid"), 1)
            gated: Tensor = attn.to_out(out * open_)
            return gated.add_(chunk.crop(x, 1))

        cost = self.dim * (9 + 2 * self.dim)
        return Step(f"{name} gate", {x: 1, attended: 0}, attended, apply, values_per_pixel=6 * self.dim, cost=cost)

    def _conv_attn_step(self, large_kernel: LargeKernel, name: str, conv: ConvAttn, x: str, y: str) -> Step:
        def setup(mean: Tensor | None) -> tuple[Tensor, ...]:
            assert mean is not None
            return conv.kernel(large_kernel(), mean)

        def apply(chunk: Chunk, kernel: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Tensor:
            out: Tensor = conv(y, kernel, partial(chunk.crop, halo=conv.halo), chunk.beyond(conv.halo))
            return out.add_(x)

        return Step(
            name,
            {x: 0, y: conv.halo},
            x,
            apply,
            setup=setup,
            held=conv.held,
            values_per_pixel=conv.values_per_pixel,
            cost=conv.cost,
        )

    def _out_step(self, name: str, x: str, skip: str) -> Step:
        def apply(chunk: Chunk, _: None, x: Tensor, skip: Tensor) -> Tensor:
            return chunk.crop(self.conv_out(self.ln_out(x)), 1).add_(skip)

        return Step(f"{name} end", {x: 1, skip: 0}, skip, apply, values_per_pixel=4 * self.dim, cost=9 * self.dim**2)
