"""Pictures for people: the same detail by bicubic interpolation, by a model and, where there is one, in the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..arrays.bicubic import imresize
from ..errors import ImageError
from ..files import Picture, write_picture
from ..provenance import record_of_command
from ..upscaler import Upscaler
from .degradation import Degradation
from .degrade import degrade
from .scores import luma, peak_of, psnr

MARGIN, CAPTION, FONT = 12, 34, 18
#: Percentiles of an image of 16 bits that are shown as black and as white.
SHOWN = 0.1, 99.9


@dataclass(frozen=True)
class Detail:
    """A rectangle of the output: `left`, `top`, `width`, `height` in pixels."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Detail:
        """Read ``"left,top,width,height"``.

        Raises
        ------
        ImageError
            If it is no such thing.
        """
        try:
            left, top, width, height = (int(part) for part in text.split(","))
        except ValueError:
            raise ImageError(f"can't read {text!r} as a detail; write left,top,width,height in pixels.") from None
        if min(left, top) < 0 or min(width, height) < 1:
            raise ImageError(f"the detail {text!r} must start at 0 or later and hold a pixel.")
        return cls(left, top, width, height)

    def check(self, height: int, width: int) -> None:
        """Raise an `ImageError` unless it lies within an output of that size."""
        right, bottom = self.left + self.width, self.top + self.height
        if right > width or bottom > height:
            raise ImageError(f"the detail ends at {right},{bottom}, outside of the output of {width} x {height}.")

    def cut(self, output: np.ndarray) -> np.ndarray:
        """Return this part of an output (H, W, ...)."""
        return output[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Panel:
    """One of the pictures side by side: (H, W) or (H, W, 3), uint8, `title` above it and `note` below."""

    title: str
    pixels: np.ndarray
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """The same image in several ways.

    Attributes
    ----------
    panels : tuple of Panel
        Bicubic interpolation and the model; with an original what was made of it before them, and the original after.
    bicubic, model : float, optional
        PSNR in dB of the whole image, on Y, with `scale` pixels shaved off along each border, as `evaluate` has it; ``None``
        without an original. Of 8 bits the peak is 255, of 16 the range of the original.
    """

    panels: tuple[Panel, ...]
    bicubic: float | None = None
    model: float | None = None

    def draw(self, zoom: int = 1) -> Image.Image:
        """Draw the panels side by side, each of their pixels as `zoom` x `zoom`."""
        pictures = [Image.fromarray(panel.pixels).convert("RGB") for panel in self.panels]
        size = pictures[0].width * zoom, pictures[0].height * zoom
        return _side_by_side(self.panels, [picture.resize(size, Image.Resampling.NEAREST) for picture in pictures])


def compare(
    image: np.ndarray,
    upscaler: Upscaler,
    *,
    degradation: Degradation | None = None,
    detail: Detail | None = None,
    scale: int | None = None,
) -> Comparison:
    """Upscale by a model and by bicubic interpolation.

    Parameters
    ----------
    image : numpy.ndarray
        Gray (H, W), or RGB or RGBA (H, W, S), uint8 or uint16. Transparency is left out.
    degradation : Degradation, optional
        What makes of the image a smaller and worse one, which is upscaled; the image, cut to a multiple of the scale, is
        then what should come out.
    detail : Detail, optional
        What of the output to show; by default all of it.
    scale : int, optional
        Output pixels per input pixel; by default the model's.

    Raises
    ------
    EscError
        If the image is no such array, or too small, the detail lies outside, or the degradation fits the image or the scale
        not.
    """
    image, scale, name = _plain(image), scale or upscaler.model.scale, upscaler.model.name
    if degradation is None:
        bicubic, found = _upscaled(image, upscaler, scale, detail)
        return Comparison(_panels([("bicubic", bicubic, ""), (name, found, "")], image, detail))
    height, width = (n // scale * scale for n in image.shape[:2])
    if not height * width:
        raise ImageError(f"a picture of {image.shape[1]} x {image.shape[0]} is too small to be reduced by {scale}.")
    truth = image[:height, :width]
    small = degrade(truth, degradation, scale)
    bicubic, found = _upscaled(small, upscaler, scale, detail)
    basis, reached = (_score(result, truth, scale) for result in (bicubic, found))
    shown = [
        ("input", small.repeat(scale, 0).repeat(scale, 1), f"1/{scale}, {degradation}"),
        ("bicubic", bicubic, f"{basis:.2f} dB"),
        (name, found, f"{reached:.2f} dB ({reached - basis:+.2f})"),
        ("original", truth, ""),
    ]
    return Comparison(_panels(shown, truth, detail), basis, reached)


def write_comparison(path: Path, sheet: Image.Image, upscaler: Upscaler, quality: int | None = None) -> None:
    """Write what was drawn, with a record of the model; `quality` is that of `write_picture`."""
    record = record_of_command("compare", model=upscaler.model.name, sha256=upscaler.model.sha256)
    write_picture(path, Picture(np.asarray(sheet), "YXS", "PNG", provenance=record), quality)


def _plain(image: np.ndarray) -> np.ndarray:
    """Return gray or RGB, in a shape that is one or the other."""
    gray, colour = image.ndim == 2, image.ndim == 3 and image.shape[2] in (3, 4)
    if image.dtype not in (np.uint8, np.uint16) or not (gray or colour):
        raise ImageError(
            f"a comparison needs a gray or colour picture of 8 or 16 bits, not {image.dtype} of shape {image.shape}."
        )
    return image if gray else image[..., :3]


def _upscaled(small: np.ndarray, upscaler: Upscaler, scale: int, detail: Detail | None) -> tuple[np.ndarray, np.ndarray]:
    """Return an image enlarged by bicubic interpolation and by the model."""
    height, width = (n * scale for n in small.shape[:2])
    if detail:
        detail.check(height, width)
    return imresize(small, (height, width)), upscaler(small, scale=scale)


def _score(found: np.ndarray, truth: np.ndarray, shave: int) -> float:
    inner = np.s_[shave:-shave, shave:-shave] if min(truth.shape[:2]) > 2 * shave else np.s_[:]
    return psnr(luma(found[inner]), luma(truth[inner]), peak_of(truth))


def _panels(shown: Sequence[tuple[str, np.ndarray, str]], reference: np.ndarray, detail: Detail | None) -> tuple[Panel, ...]:
    """Cut the detail out of images, in 8 bits with the same contrast: as they are, or between limits of the `reference`."""
    low, high = (0, 255) if reference.dtype == np.uint8 else np.percentile(reference, SHOWN)
    panels = []
    for title, image, note in shown:
        part = (detail.cut(image) if detail else image).astype(np.float64)
        levels = ((part - low) / max(high - low, 1) * 255).round().clip(0, 255).astype(np.uint8)
        panels.append(Panel(title, levels, note))
    return tuple(panels)


def _side_by_side(panels: Sequence[Panel], pictures: Sequence[Image.Image]) -> Image.Image:
    """Draw columns as wide as their captions need, in thin frames: a picture may be as white as the paper."""
    font = ImageFont.load_default(FONT)
    widths = [
        max(picture.width, *(ceil(font.getlength(text)) for text in (panel.title, panel.note)))
        for panel, picture in zip(panels, pictures, strict=True)
    ]
    bottom = CAPTION + pictures[0].height
    below = CAPTION if any(panel.note for panel in panels) else MARGIN
    sheet = Image.new("RGB", (sum(widths) + MARGIN * (len(widths) + 1), bottom + below), "white")
    draw, left = ImageDraw.Draw(sheet), MARGIN
    for panel, picture, width in zip(panels, pictures, widths, strict=True):
        draw.rectangle((left - 1, CAPTION - 1, left + picture.width, bottom), "silver")
        sheet.paste(picture, (left, CAPTION))
        draw.text((left, CAPTION // 2), panel.title, "black", font, anchor="lm")
        draw.text((left, bottom + CAPTION // 2), panel.note, "black", font, anchor="lm")
        left += width + MARGIN
    return sheet
