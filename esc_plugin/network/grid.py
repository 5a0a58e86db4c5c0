"""Rectangles of pixels, and how the grids of image, features and output lie on each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
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

    def aligned(self, multiple: int, size: tuple[int, int]) -> Region:
        """Grow to whole windows of `multiple` pixels of an image of `size`.

        The last window of an axis is filled up by reflection, which reads up to a window further left (or up), so that who
        needs a part of it also needs the one before.
        """
        rows = _whole_windows(self.top, self.bottom, multiple, size[0])
        columns = _whole_windows(self.left, self.right, multiple, size[1])
        return Region(rows[0], columns[0], rows[1], columns[1])

    def hull(self, other: Region | None) -> Region:
        """Return the smallest region that holds both."""
        if other is None:
            return self
        return Region(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def meet(self, other: Region) -> Region:
        """Return what is in both; without pixels if nothing is."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Region(top, left, max(min(self.bottom, other.bottom), top), max(min(self.right, other.right), left))

    def within(self, origin: Region) -> Region:
        """Return the same pixels as counted from the corner of `origin`."""
        return Region(self.top - origin.top, self.left - origin.left, self.bottom - origin.top, self.right - origin.left)

    def halves(self, least: int) -> list[Region]:
        """Cut the longer side at about the middle, at a multiple of `least`; an empty list if that leaves too little."""
        across = self.width > self.height
        start, stop = (self.left, self.right) if across else (self.top, self.bottom)
        middle = round((start + stop) / 2 / least) * least
        if not start + least // 2 <= middle <= stop - least // 2:
            return []
        if across:
            return [replace(self, right=middle), replace(self, left=middle)]
        return [replace(self, bottom=middle), replace(self, top=middle)]

    def holds(self, other: Region) -> bool:
        """Whether all pixels of `other` are here too."""
        return self.hull(other) == self

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, as an index of an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def _whole_windows(start: int, stop: int, multiple: int, length: int) -> tuple[int, int]:
    rest = max(length // multiple - 1, 0) * multiple  # where the last whole window starts
    start = start // multiple * multiple
    stop = min(-(-stop // multiple) * multiple, length)
    return (min(start, rest) if stop % multiple else start), stop


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

    def feature_region(self, region: Region) -> Region:
        """Return the pixels of the feature grid that make a region of the output: the way back from `output_region`."""
        (ry, rx), (h, w) = self.ratio, self.grid
        return Region(
            region.top * ry.denominator // ry.numerator,
            region.left * rx.denominator // rx.numerator,
            min((region.bottom - 1) * ry.denominator // ry.numerator + 1, h),
            min((region.right - 1) * rx.denominator // rx.numerator + 1, w),
        )


def _ceil_product(value: int, ratio: Fraction | int) -> int:
    """Multiply and round up, in non-negative integers: an exported graph rounds quotients towards zero."""
    return (value * ratio.numerator + ratio.denominator - 1) // ratio.denominator
