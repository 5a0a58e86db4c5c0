"""What size a user asks for, in any of the ways in which people say it, and what that is for an image. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import sqrt
from typing import Any

from ..errors import ImageError
from ..texts import quoted
from .sizes import LARGEST_SCALE, LARGEST_SIDE, Size, is_number, is_side, target_size

#: How an image comes into a box: inside it, covering it and cropped to it around the centre, or without its proportions.
MODES = ("fit", "fill", "stretch")
#: Width and height of boxes that have a name; for an image that is higher than wide they are turned.
PRESETS = {"HD": (1280, 720), "Full HD": (1920, 1080), "2K": (2560, 1440), "4K": (3840, 2160), "8K": (7680, 4320)}
#: Width and height that are stretched by factors further apart than this are a slip of the hand rather than a wish.
LARGEST_ANISOTROPY = 16
#: What says how large a result shall be. Names of one kind go together, those of two contradict each other.
KINDS = (("scale",), ("longest", "shortest"), ("megapixels",), ("width", "height"), ("preset",))
SIDES = ("longest", "shortest", "width", "height")

#: Rows and columns of a region, ends excluded.
RegionSpans = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Frame:
    """The size of a result.

    Attributes
    ----------
    enlarged : tuple of int
        Height and width that the whole image is brought to.
    crop : pair of pair of int, optional
        Rows and columns of that which are the result, ends excluded; by default all.
    """

    enlarged: Size
    crop: RegionSpans | None = None

    @property
    def size(self) -> Size:
        """Height and width of the result."""
        if self.crop is None:
            return self.enlarged
        (top, bottom), (left, right) = self.crop
        return bottom - top, right - left


@dataclass(frozen=True)
class Framing:
    """The size that a user asks for: nothing, for the model's own scale, or one of these. Sides are met exactly.

    Attributes
    ----------
    scale : float, optional
        Factor.
    longest, shortest : int, optional
        Pixels of the longer or of the shorter edge. Both together are the shorter edge, unless the longer one would be
        more than `longest`: then that.
    megapixels : float, optional
        Millions of pixels.
    width, height : int, optional
        A box, see `mode`. Where one of them is open, the proportions say what it is.
    preset : str, optional
        A box by name, see `PRESETS`.
    mode : {"fit", "fill", "stretch"}
        How the image comes into the box: inside it with its proportions, covering it with its proportions and then cropped
        to it around the centre, or exactly the box.

    Raises
    ------
    ImageError
        If two sizes are asked for, or one that nothing can have.
    """

    scale: float | None = None
    longest: int | None = None
    shortest: int | None = None
    megapixels: float | None = None
    width: int | None = None
    height: int | None = None
    preset: str | None = None
    mode: str = "fit"

    def __post_init__(self) -> None:
        """Check all that can be checked without an image."""
        asked = [[name for name in kind if getattr(self, name) is not None] for kind in KINDS]
        if sum(map(bool, asked)) > 1:
            shown = " and ".join(f"{name}={quoted(getattr(self, name))}" for kind in asked for name in kind)
            raise ImageError(f"ask for one size, not for {shown}.")
        if self.mode not in MODES:
            raise ImageError(f"mode must be one of {', '.join(MODES)}, not {quoted(self.mode)}.")
        for name in SIDES:
            _check_side(name, getattr(self, name))
        if self.scale is not None:
            target_size(1, 1, self.scale)
        if self.megapixels is not None and not (is_number(self.megapixels) and self.megapixels > 0):
            raise ImageError(f"megapixels must be a number above 0, such as 12, not {quoted(self.megapixels)}.")
        if self.preset is not None and self.preset not in PRESETS:
            raise ImageError(f"preset must be one of {', '.join(PRESETS)}, not {quoted(self.preset)}.")
        if self.longest and self.shortest and self.shortest > self.longest:
            least, most = quoted(self.shortest), quoted(self.longest)
            raise ImageError(f"the shortest edge, {least}, can't be more than the longest, {most}.")

    def frame(self, height: int, width: int, model_scale: int) -> Frame:
        """Return the size of the result for an image of `height` x `width`.

        Parameters
        ----------
        model_scale : int
            The factor that is taken if nothing is asked for.

        Raises
        ------
        ImageError
            If the result would be absurdly large, or absurdly stretched.
        """
        box = self._box(height, width)
        size = self._enlarged(height, width, box, model_scale)
        _check_size((height, width), size, keeps=size != box)
        return Frame(size, _centre(size, box) if box and self.mode == "fill" else None)

    def settled(self, model_scale: int) -> Framing:
        """Return it as it is for a model of this scale, so that a model of another one makes the same size."""
        return replace(self, scale=model_scale) if self._is_open() else self

    def _is_open(self) -> bool:
        return self == Framing(mode=self.mode)

    def _box(self, height: int, width: int) -> Size | None:
        """Return height and width of a box of which no side is open."""
        if self.preset is not None:
            longer, shorter = PRESETS[self.preset]
            return (longer, shorter) if height > width else (shorter, longer)
        if self.width is None or self.height is None:
            return None
        return int(self.height), int(self.width)

    def _enlarged(self, height: int, width: int, box: Size | None, model_scale: int) -> Size:
        if self._is_open():
            return target_size(height, width, model_scale)
        if self.scale is not None:
            return target_size(height, width, self.scale)
        if box and self.mode == "stretch":
            return box
        factor = self._factor(height, width, box)
        return max(round(height * factor), 1), max(round(width * factor), 1)

    def _factor(self, height: int, width: int, box: Size | None) -> Fraction | float:
        """Return what both sides are multiplied by, as a fraction where a side is given: that is met exactly then."""
        if self.megapixels is not None:
            return sqrt(self.megapixels * 1e6 / (height * width))
        if box:
            factors = Fraction(box[0], height), Fraction(box[1], width)
            return max(factors) if self.mode == "fill" else min(factors)
        shorter, longer = sorted((height, width))
        asked = [(self.longest, longer), (self.shortest, shorter), (self.height, height), (self.width, width)]
        return min(Fraction(int(side), length) for side, length in asked if side is not None)

    def label(self, model_scale: int) -> str:
        """Return it for file names: "2", "2.7", "3840x2160", "fill_4K", "w3000", "longest3000", "mp12"."""
        if self.preset is not None:
            return f"{self.mode}_{self.preset.replace(' ', '')}"
        if self.width and self.height:
            box = f"{self.width}x{self.height}"
            return box if self.mode == "fit" else f"{self.mode}_{box}"
        if self.width or self.height:
            return f"w{self.width}" if self.width else f"h{self.height}"
        if self.megapixels is not None:
            return f"mp{self.megapixels:g}"
        edges = [f"{name}{getattr(self, name)}" for name in ("shortest", "longest") if getattr(self, name)]
        return "_".join(edges) or f"{model_scale if self.scale is None else self.scale:g}"


def preset_named(text: str) -> str | None:
    """Return the name of the preset that a text means, such as "4k" or "full-hd", or None."""
    return {_plain(name): name for name in PRESETS}.get(_plain(text))


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def _check_side(name: str, side: Any) -> None:
    if side is not None and (isinstance(side, bool) or not is_side(side)):
        raise ImageError(f"{name} must be a whole number of pixels from 1 to {LARGEST_SIDE:,}, not {quoted(side):.40}.")


def _check_size(image: Size, size: Size, keeps: bool) -> None:
    """Raise an `ImageError` for a size that nobody can mean; `keeps` tells whether the proportions are the image's."""
    (height, width), (down, across) = image, (Fraction(n, length) for n, length in zip(size, image, strict=True))
    told = f"{size[1]} x {size[0]} from an image of {width} x {height} (width x height)"
    if max(size) > LARGEST_SIDE:
        raise ImageError(f"can't make {told}: a side has at most {LARGEST_SIDE:,} pixels.")
    if max(down, across) > LARGEST_SCALE:
        most = f"{width * LARGEST_SCALE} x {height * LARGEST_SCALE}"
        raise ImageError(f"can't make {told}: a side grows at most {LARGEST_SCALE} times, here to {most}.")
    if not keeps and max(down, across) > LARGEST_ANISOTROPY * min(down, across):
        raise ImageError(
            f"can't make {told}: the factors {float(across):.3g} and {float(down):.3g} differ more than "
            f"{LARGEST_ANISOTROPY} times; fit or fill keep the proportions."
        )


def _centre(size: Size, box: Size) -> RegionSpans | None:
    """Return the middle of `size` that is as large as the box; None if that is all of it."""
    if size == box:
        return None
    top, left = (size[0] - box[0]) // 2, (size[1] - box[1]) // 2
    return (top, top + box[0]), (left, left + box[1])
