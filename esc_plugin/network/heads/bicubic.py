"""The head of ESC-FP: sub-pixels added to the bicubic image."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..config import EscConfig
from ..program import Chunk
from ..state_dict import KeyCondition
from .head import HeadKind
from .sub_pixel import SubPixelHead, read_scale, rescale_subpixels


class BicubicHead(SubPixelHead):
    """Sub-pixel convolution added to the bicubic image."""

    image_halo = 3

    def __init__(self, dim: int, scale: int) -> None:
        super().__init__(dim, scale)
        self.values_per_pixel = 2 * dim + 15 * scale**2

    def forward(self, chunk: Chunk, features: Tensor, image: Tensor) -> Tensor:
        """(B, C, h, w) with a halo of 1, and the image (B, 3, h', w') with one of 3 -> (B, 3, s h'', s w'') without."""
        pixels = F.pixel_shuffle(chunk.crop(self.sub_pixels(features), self.halo), self.scale).float()
        smooth = F.interpolate(image, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return pixels + chunk.crop(smooth, self.image_halo, self.scale)


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
