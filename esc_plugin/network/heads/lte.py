"""The local texture estimator (Lee & Jin, CVPR 2022, arXiv 2111.08918): features to pixels at any real scale.

An output pixel is a mix of what its four nearest feature pixels predict for it, weighted by the area of the opposite
rectangle. A feature pixel predicts through a small network that is fed Fourier features of the distance: amplitudes and
frequencies are maps made from the features, the phase comes from the size of the output pixel. All positions are exact
fractions here, in pixels of the feature grid.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product
from math import ceil, pi
from typing import Any

import torch
from torch import Tensor, nn

from ...device import put_on
from ..config import EscConfig
from ..grid import Geometry
from ..layers import Conv2d, convolve
from ..program import Chunk
from ..state_dict import Dialect, KeyCondition, State, numbered, shape_of
from .head import Head, HeadKind

#: The trainers never saw a scale above this one; from here on the stated size of an output pixel stays what they saw.
TRAINED_SCALE = 4


class PixelNetwork(nn.Module):
    """Linear layers with ReLU between them, at each pixel."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        widths = (inputs, *hidden, outputs)
        layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w)."""
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        for layer in linear:
            x = convolve(x, layer.weight[:, :, None, None], layer.bias, activation="none" if layer is linear[-1] else "relu")
        return x


class LteHead(Head):
    """Four predictions of each output pixel, mixed, and the bilinear image."""

    def __init__(self, dim: int, hidden: int, mlp_hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.coef = Conv2d(dim, hidden, 3)
        self.freq = Conv2d(dim, hidden, 3)
        self.phase = nn.Linear(2, hidden // 2, bias=False)
        self.imnet = PixelNetwork(hidden, mlp_hidden, 3)
        layers = sum(layer.weight.numel() for layer in self.imnet.layers if isinstance(layer, nn.Linear))
        self.values_per_pixel, self.cost = 3 * hidden, 18 * dim * hidden
        self.values_per_output_pixel, self.cost_per_output_pixel = 6 * hidden, 4 * (layers + hidden)

    def halos(self, geometry: Geometry) -> tuple[int, int]:
        """Return one for the 3x3 convolutions, one for the neighbour, and how far a pixel's centre lies off its corner."""
        off = max(ceil((1 / Fraction(ratio) - 1) / 2) for ratio in geometry.ratio)
        return 2 + max(off, 0), 2 + max(off, 0)

    def forward(self, chunk: Chunk, features: Tensor, image: Tensor) -> Tensor:
        """(B, C, h, w) and the image (B, 3, h, w), both with their halo -> (B, 3, h', w') of the output region."""
        out, grid = chunk.geometry.output_region(chunk.region), chunk.geometry.grid
        if not out.height or not out.width:  # where it shrinks, the smallest chunks make nothing
            return image.new_empty((len(image), 3, out.height, out.width))
        origin = chunk.region.grow(self.halos(chunk.geometry)[0], grid)
        axes = [
            _Axis(out.top, out.bottom, chunk.geometry.ratio[0], grid[0], origin.top, features.device),
            _Axis(out.left, out.right, chunk.geometry.ratio[1], grid[1], origin.left, features.device),
        ]
        amplitudes, frequencies = self.coef(features), self.freq(features)
        total = _bilinear(image, *axes)
        for corner_y, corner_x in product((0, 1), (0, 1)):
            prediction = self._predict(amplitudes, frequencies, axes[0], axes[1], corner_y, corner_x)
            share = axes[0].share(corner_y)[:, None] * axes[1].share(corner_x)[None, :]
            total = total + prediction * share.to(total.dtype)
        return total

    def _predict(self, coef: Tensor, freq: Tensor, y: _Axis, x: _Axis, corner_y: int, corner_x: int) -> Tensor:
        coef = coef[:, :, y.index[corner_y]][..., x.index[corner_x]].permute(0, 2, 3, 1)  # (B, h, w, hidden)
        freq = freq[:, :, y.index[corner_y]][..., x.index[corner_x]].permute(0, 2, 3, 1)
        # Frequencies come in pairs (along y, along x); a feature pixel is 2 units wide.
        angle = freq[..., 0::2] * y.distance[corner_y][:, None, None].to(freq.dtype)
        angle = angle + freq[..., 1::2] * x.distance[corner_x][None, :, None].to(freq.dtype)
        angle = pi * (angle + self.phase(torch.stack([y.cell, x.cell]).to(freq.dtype)))
        waves = torch.cat([torch.cos(angle), torch.sin(angle)], -1)
        prediction: Tensor = self.imnet((coef * waves).permute(0, 3, 1, 2))
        return prediction  # (B, 3, h, w)


class _Axis:
    """Where the output pixels `start` to `stop` of one axis lie between the feature pixels."""

    def __init__(self, start: int, stop: int, ratio: Fraction | int, size: int, origin: int, device: torch.device) -> None:
        # Centre of output pixel r: (r + 1/2) / ratio - 1/2 = numerator / denominator, in integers.
        numerator = (2 * torch.arange(start, stop, dtype=torch.int64) + 1) * ratio.denominator - ratio.numerator
        denominator = 2 * ratio.numerator
        below = numerator.div(denominator, rounding_mode="floor")
        fraction = (numerator - below * denominator).double() / denominator
        centre = below.double() + fraction
        clamped = [below.clamp(0, size - 1), (below + 1).clamp(0, size - 1)]
        self.index = [put_on(device, i - origin) for i in clamped]
        self.distance = [put_on(device, (2 * (centre - i)).float()) for i in clamped]
        self.fraction = put_on(device, (centre.clamp(0, size - 1) - clamped[0]).float())
        self.cell = torch.full((), 2 / float(ratio) * max(float(ratio) / TRAINED_SCALE, 1), device=device)

    def share(self, corner: int) -> Tensor:
        """Weight of a corner along this axis: the distance to the other one, over both."""
        # On the centre of a border pixel both corners are that pixel at distance 0, and share alike.
        near, other = self.distance[corner].abs() + 1e-9, self.distance[1 - corner].abs() + 1e-9
        return other / (near + other)


def _bilinear(image: Tensor, y: _Axis, x: _Axis) -> Tensor:
    rows = torch.lerp(image[:, :, y.index[0]], image[:, :, y.index[1]], y.fraction[:, None].to(image.dtype))
    return torch.lerp(rows[..., x.index[0]], rows[..., x.index[1]], x.fraction.to(image.dtype))


def _read(state: State) -> dict[str, Any]:
    layers = [shape_of(state, key, 2) for key in numbered(state, "to_img.imnet.layers.{}.weight", step=2)]
    mlp_hidden = tuple(outputs for outputs, _ in layers[:-1])
    return {"scale": TRAINED_SCALE, "mid_dim": shape_of(state, "to_img.coef.weight", 4)[0], "mlp_hidden": mlp_hidden}


def _check(config: EscConfig) -> None:
    if config.mid_dim < 2 or config.mid_dim % 2:
        raise ValueError(f"mid_dim={config.mid_dim!r} is not an even number from 2 on.")


def _unchanged(value: Tensor, source: int, target: int) -> Tensor:
    return value


LTE = HeadKind(
    name="lte",
    keys=KeyCondition.has_all("to_img.imnet.layers.0.weight"),
    read=_read,
    make=lambda config: LteHead(config.dim, config.mid_dim, config.mlp_hidden),
    check=_check,
    any_scale=True,
    value_range=(-1.0, 1.0),
    rescale=_unchanged,
    dialect=Dialect(
        KeyCondition.has_all("encoder.proj.weight", "coef.weight"),
        (
            ("encoder.", ""),
            ("coef.", "to_img.coef."),
            ("freq.", "to_img.freq."),
            ("phase.", "to_img.phase."),
            ("imnet.", "to_img.imnet."),
        ),
    ),
)
