"""Attention inside w x w windows, with the three kinds of positional bias of the family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Bias, attend, makes_scores, matrix_of
from .config import EscConfig
from .layers import Conv2d, random_parameter, reflect_pad
from .native_attention import has_kernel

#: A bias matrix is kept between calls up to this size; a larger one is made again for each image.
KEEP_BIAS_BYTES = 64 * 2**20


class WindowAttention(nn.Module):
    """Self-attention in non-overlapping windows anchored at the top left; the last ones are filled up by reflection."""

    def __init__(self, config: EscConfig) -> None:
        super().__init__()
        dim, w, n = config.dim, config.window_size, config.num_heads
        self.window_size, self.num_heads, self.position = w, n, config.position
        self.to_qkv = Conv2d(dim, 3 * dim, 1)
        self.to_out = Conv2d(dim, dim, 1)
        self.gate: nn.Sequential | None = None
        if config.position == "table":
            self.relative_position_bias = random_parameter(n, (2 * w - 1) ** 2, std=0.001)
        elif config.position == "flash":
            self.flashbias_q = random_parameter(n, w * w, config.position_rank, std=0.02)
            self.flashbias_k = random_parameter(n, w * w, config.position_rank, std=0.02)
        else:
            features = 2 + 4 * config.rib_freqs
            self.to_hidden = random_parameter(features, config.rib_hidden, std=features**-0.5)
            self.hidden_b = nn.Parameter(torch.zeros(1, config.rib_hidden))
            self.to_q = random_parameter(n, config.rib_hidden, config.position_rank, std=0.02)
            self.to_k = random_parameter(n, config.rib_hidden, config.position_rank, std=0.02)
            self.gate = nn.Sequential(Conv2d(dim, dim, 3, groups=dim), Conv2d(dim, dim, 1))
        self.rank = config.position_rank
        self._keep = False
        self._kept: Bias | None = None
        self.cost = 4 * dim**2 + 2 * w * w * (dim + n * self.rank)

    @property
    def values_per_pixel(self) -> float:
        """About how many values per pixel live at once in `forward`."""
        n, dim = self.num_heads, self.to_out.in_channels
        scores = n * self.window_size**2 if makes_scores(self.to_qkv.weight.device, dim // n + self.rank) else 0
        return 12 * dim + 6 * n * self.rank + 2 * scores

    @property
    def kept_bytes(self) -> int:
        """What `bias` keeps from its first call on."""
        if self.position == "flash" or self._takes_table:
            return 0
        size = self._bias_values * self.to_qkv.weight.element_size()
        return size if self._keep and size <= KEEP_BIAS_BYTES else 0

    @property
    def passing_bytes(self) -> int:
        """What the bias takes beside that while it is made and used."""
        if self.position == "flash" or self._takes_table:
            return 0
        weight = self.to_qkv.weight
        item = weight.element_size() if weight.device.type != "cpu" else max(weight.element_size(), 4)  # see `attend`
        made = self._bias_values
        if self.position == "rib":
            made += self.window_size**2 * (self.to_hidden.shape[0] + 3 * self.to_hidden.shape[1])
        return 2 * made * item - self.kept_bytes

    @property
    def _table(self) -> Tensor:
        side = 2 * self.window_size - 1
        return self.relative_position_bias.view(-1, side, side)

    @property
    def _takes_table(self) -> bool:
        """Whether the bias needs no matrix."""
        depth = self.to_out.in_channels // self.num_heads
        return self.position == "table" and has_kernel(self.to_qkv.weight, self.window_size, depth)

    @property
    def _bias_values(self) -> int:
        pixels = self.window_size**2
        return self.num_heads * pixels * (pixels if self.position == "table" else 2 * self.rank)

    def bias(self) -> Bias:
        """Return the positional bias as `attend` likes it."""
        if self._takes_table and not torch.compiler.is_compiling():
            return Bias(table=self._table)
        return self._kept or self._new_bias()

    def keep_bias(self, keep: bool) -> None:
        """Make the bias at the next call once and for all (``True``), or at each call again, as training needs it.

        It is not made here: that may take far more memory than the parameters, and who plans the memory comes later.
        """
        self._keep, self._kept = keep, None

    def _new_bias(self) -> Bias:
        if not self.kept_bytes or torch.compiler.is_compiling():
            return self._make_bias()
        with torch.inference_mode(False), torch.no_grad():  # a later call may want gradients
            self._kept = self._make_bias()
        return self._kept

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> WindowAttention:
        """Move or cast the kept bias along with the parameters."""
        apply: Any = super()._apply  # torch declares no types here
        apply(fn, recurse)
        if self._kept is not None:
            self._kept = Bias(*(fn(t) if t is not None else None for t in self._kept))
        return self

    def _make_bias(self) -> Bias:
        if self.position == "table":
            return Bias(matrix=matrix_of(self._table))
        if self.position == "flash":
            return Bias(query=self.flashbias_q, key=self.flashbias_k)
        return self._from_coordinates()

    def _from_coordinates(self) -> Bias:
        """ESC-RIB: coordinates in -1..1 at pixel centres -> sines -> ReLU layer -> factors of the bias."""
        weight, w = self.to_hidden, self.window_size
        centres = (torch.arange(w, dtype=torch.float32, device=weight.device) * 2 + 1) / w - 1
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        xy = torch.stack([columns, rows], -1).view(-1, 2)
        waves = [xy]
        for i in range((weight.shape[0] - 2) // 4):
            waves += [torch.sin(2**i * xy), torch.cos(2**i * xy)]
        hidden = F.relu(torch.cat(waves, 1).to(weight.dtype) @ weight + self.hidden_b)  # (w w, hidden)
        rank = self.to_q.shape[-1]
        return Bias(query=hidden @ self.to_q * rank**-0.5, key=hidden @ self.to_k)

    def forward(self, x: Tensor, norm: nn.Module, bias: Bias) -> Tensor:
        """Attend within each window.

        Parameters
        ----------
        x : Tensor
            (B, C, h, w), starting on a window's corner.
        norm : Module
            Applied to it, window by window.
        bias : Bias
            What `bias` returned.

        Returns
        -------
        Tensor
            (B, C, h, w), before the gate and `to_out`.
        """
        (height, width), w, n = x.shape[-2:], self.window_size, self.num_heads
        x = reflect_pad(x, 0, -width % w, 0, -height % w)
        batch, dim, rows, columns = x.shape[0], x.shape[1], x.shape[2] // w, x.shape[3] // w
        # Windows first: so only C channels are moved, in long runs, and not the 3 C of what is made of them.
        windows = x.permute(0, 2, 3, 1).reshape(batch, rows, w, columns, w, dim)
        windows = windows.transpose(2, 3).reshape(-1, w, w, dim).permute(0, 3, 1, 2)  # (windows, C, w, w)
        qkv = self.to_qkv(norm(windows)).permute(0, 2, 3, 1)
        out = attend(qkv.reshape(-1, w * w, 3, n, dim // n), bias)  # (windows, w w, n, C / n)
        out = out.reshape(batch, rows, columns, w, w, dim).transpose(2, 3)
        out = out.reshape(batch, rows * w, columns * w, dim)[:, :height, :width]
        return out.permute(0, 3, 1, 2)
