"""The head of ESC, ESC-lt and ESC-XL: sub-pixels added to the nearest-neighbour image."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..config import EscConfig
from ..program import Chunk
from ..state_dict import KeyCondition
from .head import HeadKind
from .sub_pixel import SubPixelHead, read_scale, rescale_subpixels


class ClassicHead(SubPixelHead):
    """Sub-pixel convolution whose output starts from the nearest-neighbour image."""

    image_halo = 0

    def __init__(self, dim: int, scale: int) -> None:
        super().__init__(dim, scale)
        self.values_per_pixel = 2 * dim + 12 * scale**2

    def forward(self, chunk: Chunk, features: Tensor, image: Tensor) -> Tensor:
        """(B, C, h, w) with a halo of 1, and the image (B, 3, h', w') without -> (B, 3, s h', s w')."""
        pixels = chunk.crop(self.sub_pixels(features), self.halo).float()
        return F.pixel_shuffle(pixels, self.scale) + F.interpolate(image, scale_factor=self.scale, mode="nearest")


def _check(config: EscConfig) -> None:
    if config.large_kernel != "full":
        raise ValueError("head='classic' with large_kernel='separable' would be taken for head='bicubic' in a file.")


CLASSIC = HeadKind(
    name="classic",
    # Its parameters are those of "bicubic"; that stands on the other kind of large kernel.
    keys=KeyCondition.has_all("to_img.weight", "plk_filter"),
    read=read_scale,
    make=lambda config: ClassicHead(config.dim, config.scale),
    check=_check,
    rescale=rescale_subpixels,
)
