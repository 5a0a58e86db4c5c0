"""The head of ESC-FP: sub-pixels added to the bicubic image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...device import put_on
from ..config import EscConfig
from ..layers import convolve
from ..program import Chunk
from ..state_dict import KeyCondition
from .head import HeadKind
from .sub_pixel import SubPixelHead, read_scale, rescale_subpixels

#: The parameter of the cubic convolution kernel, as PyTorch has it.
SHARPNESS = -0.75


class BicubicHead(SubPixelHead):
    """Sub-pixel convolution added to the bicubic image."""

    image_halo = 3

    def __init__(self, dim: int, scale: int) -> None:
        super().__init__(dim, scale)
        self.values_per_pixel = 2 * dim + 15 * scale**2

    def forward(self, chunk: Chunk, features: Tensor, image: Tensor) -> Tensor:
        """(B, C, h, w) with a halo of 1, and the image (B, 3, h', w') with one of 3 -> (B, 3, s h'', s w'') without."""
        pixels = F.pixel_shuffle(chunk.crop(self.sub_pixels(features), self.halo), self.scale).float()
        return pixels + chunk.crop(bicubic(image, self.scale), self.image_halo, self.scale)


def bicubic(image: Tensor, scale: int) -> Tensor:
    """Enlarge (B, C, H, W) by cubic convolution, the border's pixels going on beyond it.

    The same as `torch.nn.functional.interpolate`, but that counts positions in float32 from the corner of the tensor. Here
    each of the sub-pixels of a pixel has its own filter, wherever the pixel lies.
    """
    channels = image.shape[1]
    taps = put_on(image.device, _cubic_taps(scale).to(image.dtype))
    filters = (taps[:, None, :, None] * taps[None, :, None, :]).view(-1, 1, 5, 5)  # (s s, 1, 5, 5)
    padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
    return F.pixel_shuffle(convolve(padded, filters.repeat(channels, 1, 1, 1), groups=channels), scale)


def _cubic_taps(scale: int) -> Tensor:
    """Return the weights (scale, 5) of the pixels from two before to two behind."""
    position = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
    x = (torch.arange(-2, 3) - position[:, None]).abs()
    near = ((SHARPNESS + 2) * x - (SHARPNESS + 3)) * x**2 + 1
    far = SHARPNESS * (((x - 5) * x + 8) * x - 4)
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0)).float()


def _check(config: EscConfig) -> None:
    if config.large_kernel != "separable":
        raise ValueError("head='bicubic' with large_kernel='full' would be taken for head='classic' in a file.")


BICUBIC = HeadKind(
    name="bicubic",
    # Its parameters are those of "classic"; that stands on the other kind of large kernel.
    keys=KeyCondition.has_all("to_img.weight", KeyCondition.has_none("plk_filter")),
    read=read_scale,
    make=lambda config: BicubicHead(config.dim, config.scale),
    check=_check,
    rescale=rescale_subpixels,
)
