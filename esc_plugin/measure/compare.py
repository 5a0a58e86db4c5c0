"""Pictures for people: the same detail by bicubic interpolation, by a model and, where there is one, in the original."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import ImageError
from ..files import Picture, write_picture
from ..provenance import record_of_command
from ..upscaler import Upscaler
from .scores import psnr

MARGIN, CAPTION = 12, 34


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


def write_comparison(path: Path, sheet: Image.Image, upscaler: Upscaler) -> None:
    """Write what `comparison` drew, with a record of the model."""
    record = record_of_command("compare", model=upscaler.model.name, sha256=upscaler.model.sha256)
    write_picture(path, Picture(np.asarray(sheet), "YXS", "PNG", provenance=record))


def comparison(
    image: np.ndarray,
    upscaler: Upscaler,
    *,
    detail: Detail | None = None,
    reduce: bool = False,
    zoom: int = 1,
    scale: int | None = None,
) -> Image.Image:
    """Draw bicubic and model side by side.

    Parameters
    ----------
    image : numpy.ndarray
        Gray (H, W), or RGB or RGBA (H, W, S), uint8. Transparency is left out.
    detail : Detail, optional
        What of the output to show; by default all of it.
    reduce : bool
        Reduce the image first by the scale, and show it as a third panel: what the others should look like. The
        captions then state the PSNR over the whole image, in dB on RGB, borders included.
    zoom : int
        Screen pixels per output pixel.
    scale : int, optional
        Output pixels per input pixel; by default the model's.

    Raises
    ------
    ImageError
        If the image is no such array, or the detail lies outside.
    """
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))):
        raise ImageError(f"a comparison needs an 8-bit gray or colour picture, not {image.dtype} of shape {image.shape}.")
    truth = Image.fromarray(image).convert("RGB")
    scale = scale or upscaler.model.scale
    if reduce:
        truth = truth.crop((0, 0, truth.width // scale * scale, truth.height // scale * scale))
        small = truth.resize((truth.width // scale, truth.height // scale), Image.Resampling.BICUBIC)
    else:
        small = truth
    result = Image.fromarray(upscaler(np.asarray(small), scale=scale))
    panels = [("bicubic", small.resize(result.size, Image.Resampling.BICUBIC)), (upscaler.model.name, result)]
    if reduce:
        expected = np.asarray(truth)
        panels = [(f"{name}  {psnr(np.asarray(panel), expected):.2f} dB", panel) for name, panel in panels]
        panels.append(("original", truth))
    return _side_by_side([(name, _cut(panel, detail, zoom)) for name, panel in panels])


def _cut(panel: Image.Image, detail: Detail | None, zoom: int) -> Image.Image:
    if detail:
        right, bottom = detail.left + detail.width, detail.top + detail.height
        if right > panel.width or bottom > panel.height:
            raise ImageError(
                f"the detail ends at {right},{bottom}, outside of the output of {panel.width} x {panel.height}."
            )
        panel = panel.crop((detail.left, detail.top, right, bottom))
    return panel.resize((panel.width * zoom, panel.height * zoom), Image.Resampling.NEAREST)


def _side_by_side(panels: list[tuple[str, Image.Image]]) -> Image.Image:
    width = sum(panel.width + MARGIN for _, panel in panels) + MARGIN
    sheet = Image.new("RGB", (width, panels[0][1].height + CAPTION + MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    left = MARGIN
    for name, panel in panels:
        sheet.paste(panel, (left, CAPTION))
        draw.text((left, CAPTION // 2), name, "black", font, anchor="lm")
        left += panel.width + MARGIN
    return sheet
