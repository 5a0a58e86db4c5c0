"""ConvAttn: a large kernel shared by the whole net plus a 3x3 kernel made from the image (arXiv 2503.06671, section 3.2)."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import EscConfig
from .layers import Conv2d, Crop, Sides, convolve

DYNAMIC_SIZE = 3


def d4_mean(kernel: Tensor) -> Tensor:
    """Average a square filter (..., k, k) over its eight flips and quarter turns, the group D4."""
    turned = torch.stack([torch.rot90(kernel, turns, (-2, -1)) for turns in range(4)]).mean(0)
    return (turned + turned.flip(-1)) / 2


class DynamicKernel(nn.Module):
    """From the mean of the mixed channels to one 3x3 depthwise filter per channel and image."""

    def __init__(self, config: EscConfig) -> None:
        super().__init__()
        pdim = config.pdim
        hidden = pdim // 4 if config.large_kernel == "separable" else pdim // 2
        # The first module keeps the place of the pooling layer, so that keys are those of the authors.
        self.dwc_proj = nn.Sequential(
            nn.Identity(), nn.Conv2d(pdim, hidden, 1), nn.GELU(), nn.Conv2d(hidden, pdim * DYNAMIC_SIZE**2, 1)
        )

    def forward(self, mean: Tensor) -> Tensor:
        """(B, P) -> (B, P, 3, 3), float32: a mean that is rounded to less, up or down, changes the whole image."""
        _, reduce, _, expand = cast("tuple[nn.Module, nn.Conv2d, nn.Module, nn.Conv2d]", tuple(self.dwc_proj))
        hidden = convolve(mean[:, :, None, None], reduce.weight.float(), _float(reduce.bias), activation="gelu")
        kernel = convolve(hidden, expand.weight.float(), _float(expand.bias))
        return kernel.view(mean.shape[0], -1, DYNAMIC_SIZE, DYNAMIC_SIZE)


def _float(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.float()


class ConvAttn(nn.Module):
    """Mix the first `pdim` channels with large and dynamic kernel, then all channels with a 1x1.

    Both convolutions are linear in the same input, so the dynamic taps are added into the centre of the large kernel: one
    convolution per image.
    """

    def __init__(self, config: EscConfig) -> None:
        super().__init__()
        self.pdim = config.pdim
        self.halo = config.kernel_size // 2
        self.plk = DynamicKernel(config)
        self.aggr = Conv2d(config.dim, config.dim, 1)
        taps = config.kernel_size**2
        self.cost = config.dim**2 + config.pdim * (
            taps + config.pdim if config.large_kernel == "separable" else taps * config.pdim
        )
        self.values_per_pixel = 4 * config.dim + 2 * config.pdim
        # `kernel` works in float32: the product with the diagonal, the sum, and what is made of it.
        self.held = 12 * taps * config.pdim * (1 if config.large_kernel == "separable" else config.pdim)

    def kernel(self, large: tuple[Tensor, ...], mean: Tensor) -> tuple[Tensor, ...]:
        """Merge the shared kernel and the one made from `mean` (B, P).

        Parameters
        ----------
        large : tuple of Tensor
            ``(full,)`` with (P, P, k, k), or ``(pointwise, spatial)`` with (P, P, 1, 1) and (P, 1, k, k).

        Returns
        -------
        tuple of Tensor
            The same, the last one merged: (B, P, P, k, k) or (B, P, 1, k, k).
        """
        *pointwise, spatial = large
        batch, margin = len(mean), self.halo - DYNAMIC_SIZE // 2
        dynamic = F.pad(self.plk(mean), (margin, margin, margin, margin))  # (B, P, k, k)
        if pointwise:
            return (*pointwise, (spatial + dynamic.unsqueeze(2)).to(spatial.dtype))
        diagonal = torch.eye(self.pdim, dtype=dynamic.dtype, device=dynamic.device)
        merged = spatial + diagonal[:, :, None, None] * dynamic.unsqueeze(2).expand(batch, -1, self.pdim, -1, -1)
        return (merged.to(spatial.dtype),)

    def forward(self, x: Tensor, kernel: tuple[Tensor, ...], crop: Crop, beyond: Sides) -> Tensor:
        """Mix the channels of each pixel with those around it.

        Parameters
        ----------
        x : Tensor
            (B, C, h, w) with a halo of half the kernel, where that lies within the image.
        kernel : tuple of Tensor
            What `kernel` returned.
        crop : callable
            Cuts off the halo.
        beyond : tuple of int
            How much of the halo lies beyond the image, where all is zero.

        Returns
        -------
        Tensor
            (B, C, h', w'), without the halo.
        """
        *pointwise, merged = kernel
        mixed, rest = x[:, : self.pdim], crop(x[:, self.pdim :])
        for weight in pointwise:
            mixed = convolve(mixed, weight)
        batch, groups = len(x), self.pdim if pointwise else 1
        # One filter per image: the batch moves into the channels and becomes groups.
        flat = mixed.reshape(1, -1, *mixed.shape[-2:])
        mixed = convolve(flat, merged.flatten(0, 1), padding=beyond, groups=batch * groups)
        mixed = mixed.view(batch, self.pdim, *mixed.shape[-2:])
        # Joined as (B, h, w, C): a slice of channels is not recognised as channels_last, and the result would not be either.
        joined = torch.cat([mixed.permute(0, 2, 3, 1), rest.permute(0, 2, 3, 1)], -1)
        out: Tensor = self.aggr(joined.permute(0, 3, 1, 2))
        return out
