"""Rectangles of pixels, and how the grids of image, features and output lie on each other."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels: rows ``top`` up to ``bottom``, columns ``left`` up to ``right``, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def grow(self, halo: int, size: tuple[int, int]) -> Region:
        """Add `halo` pixels on every side, clipped to an image of `size` (height, width)."""
        return Region(
            max(self.top - halo, 0),
            max(self.left - halo, 0),
            min(self.bottom + halo, size[0]),
            min(self.right + halo, size[1]),
        )


@dataclass(frozen=True)
class Geometry:
    """How the three grids of a run lie on each other.

    Attributes
    ----------
    image, output : tuple of int
        Height and width of the input and the output, in pixels.
    unshuffle : int
        Image pixels along the edge of one feature pixel.
    ratio : tuple of Fraction or int
        Output pixels per feature pixel, per axis.
    """

    image: tuple[int, int]
    output: tuple[int, int]
    unshuffle: int
    ratio: tuple[Fraction | int, Fraction | int]

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the feature maps."""
        (h, w), f = self.image, self.unshuffle
        return (h + f - 1) // f, (w + f - 1) // f

    def image_region(self, region: Region) -> Region:
        """Return the image pixels under a region of the feature grid."""
        f, (h, w) = self.unshuffle, self.image
        return Region(region.top * f, region.left * f, min(region.bottom * f, h), min(region.right * f, w))

    def output_region(self, region: Region) -> Region:
        """Return the output pixels of a region of the feature grid; those of a partition are a partition."""
        (ry, rx), (h, w) = self.ratio, self.output
        return Region(
            min(_ceil_product(region.top, ry), h),
            min(_ceil_product(region.left, rx), w),
            min(_ceil_product(region.bottom, ry), h),
            min(_ceil_product(region.right, rx), w),
        )


def _ceil_product(value: int, ratio: Fraction | int) -> int:
    """Multiply and round up, in non-negative integers: an exported graph rounds quotients towards zero."""
    return (value * ratio.numerator + ratio.denominator - 1) // ratio.denominator
