"""The report: one HTML file that needs no other, or one PNG."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..disk import write_text
from ..errors import EscError, needs
from ..files import Picture, made_by, write_picture
from ..provenance import record_of_command
from ..texts import printable
from .study import Study

SUFFIXES = (".html", ".png")
DPI = 110
HEADING = 44  # pixels above a picture

MARK = '<meta name="generator" content="esc-plugin inspect">'
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{mark}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1240px; margin: 2rem auto; padding: 0 1rem }}
img {{ max-width: 100%; height: auto }}
h2 {{ margin-top: 2.5rem }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{facts}</p>
{sections}
</body>
</html>
"""


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph, and a picture as PNG."""

    title: str
    text: str
    png: bytes


def check_report(path: Path) -> None:
    """Raise an `EscError` unless a report can be written to `path`, before the work."""
    if path.suffix.lower() not in SUFFIXES:
        raise EscError(f"a report is written as {' or '.join(SUFFIXES)}, not {path.name!r}.")
    if not path.parent.is_dir():
        raise EscError(f"there is no folder {str(path.parent)!r}.")
    needs("inspect")


def write_report(path: str | Path, study: Study, image_name: str = "the image") -> None:
    """Write what was found, as HTML or PNG by the suffix. The file appears only once it is whole.

    Raises
    ------
    EscError
        If the suffix is another, or matplotlib is missing.
    """
    path = Path(path)
    check_report(path)
    parts = sections(study)
    if path.suffix.lower() == ".png":
        record = record_of_command("inspect", model=study.model.name, sha256=study.model.sha256)
        write_picture(path, Picture(np.asarray(stacked(parts)), "YXS", "PNG", provenance=record))
    else:
        write_text(path, page(study, parts, image_name))


def is_report(path: Path) -> bool:
    """Whether a file is a report of this program."""
    with path.open("rb") as file:
        return MARK.encode() in file.read(1024) or made_by("inspect")(path)


def sections(study: Study) -> list[Section]:
    """Draw and describe each part."""
    from . import figures

    drawn = [
        ("What a patch of the output depends on", attribution_text(study), figures.attribution_figure(study)),
        ("The shared large kernel", large_kernel_text(study), figures.large_kernel_figure(study)),
        ("The kernels made of this image", dynamic_text(study), figures.dynamic_kernel_figure(study)),
        ("How alike the layers are", similarity_text(study), figures.similarity_figure(study)),
    ]
    found = []
    for title, text, figure in drawn:
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=DPI, facecolor="white")
        found.append(Section(title, text, stream.getvalue()))
    return found


def attribution_text(study: Study) -> str:
    """Say how far the patch sees."""
    found, scale, patch = study.attribution, study.model.scale, study.patch
    middle = (patch.top + patch.bottom) / 2 / scale, (patch.left + patch.right) / 2 / scale
    half, most = (found.radius(share, *middle) for share in (0.5, 0.9))
    return (
        f"Local attribution map (Gu and Dong, CVPR 2021) of a patch of {patch.height} x {patch.width} output pixels. "
        f"Half of the attribution lies within {half:.1f} input pixels of its middle, 90 % within {most:.1f}. "
        f"The diffusion index is {found.diffusion_index:.1f} (0: a single pixel, 100: all alike); it depends on "
        f"the size of the crop, here {study.crop.height} x {study.crop.width} pixels. The colours are logarithmic."
    )


def large_kernel_text(study: Study) -> str:
    """Say what the shared kernel is."""
    outputs, inputs, k, _ = study.kernel.shape
    if study.model.config.large_kernel == "separable":
        return f"One {k} x {k} filter for each of {outputs} channels, after a 1 x 1 convolution; all layers share them."
    change = float((study.kernel - study.symmetric).norm() / study.kernel.norm())
    return (
        f"{outputs} x {inputs} filters of {k} x {k}, shared by all layers; rows are outputs, columns inputs. They are used "
        f"as the mean over flips and quarter turns, which takes away {100 * change:.0f} % of their norm."
    )


def dynamic_text(study: Study) -> str:
    """Say what the dynamic kernels are."""
    channels = next(iter(study.dynamic.values())).shape[0]
    return (
        f"Each layer makes a 3 x 3 filter for each of {channels} channels from the mean of the features over the image "
        "(here over the crop). It is added to the large kernel's work."
    )


def similarity_text(study: Study) -> str:
    """Say what the matrix is."""
    return (
        "Linear CKA (Kornblith et al., ICML 2019) between what the layers add to the features, over all pixels of the crop: "
        '1 where they are the same but for rotation and scale. "2.3" is the third ConvAttn of block 2, "2 attention" its '
        "attention."
    )


def page(study: Study, parts: list[Section], image_name: str) -> str:
    """Return the HTML."""
    crop = study.crop
    parameters = sum(p.numel() for p in study.model.network.parameters())
    facts = (
        f"{study.model.name}, x{study.model.scale}, {parameters:,} parameters. "
        f"{image_name}: rows {crop.top} to {crop.bottom}, columns {crop.left} to {crop.right}."
    )
    blocks = [
        f'<h2>{escape(part.title)}</h2>\n<p>{escape(part.text)}</p>\n<img alt="{escape(part.title)}" '
        f'src="data:image/png;base64,{base64.b64encode(part.png).decode()}">'
        for part in parts
    ]
    title = f"Inside {study.model.name}"
    return PAGE.format(mark=MARK, title=escape(printable(title)), facts=escape(printable(facts)), sections="\n".join(blocks))


def stacked(parts: list[Section]) -> Image.Image:
    """Lay the pictures of all parts below each other, under their headings."""
    pictures = [Image.open(io.BytesIO(part.png)).convert("RGB") for part in parts]
    height = sum(drawn.height + HEADING for drawn in pictures)
    sheet = Image.new("RGB", (max(drawn.width for drawn in pictures), height), "white")
    draw, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(22), 0
    for part, drawn in zip(parts, pictures, strict=True):
        draw.text((6, top + HEADING // 2), part.title, "black", font, anchor="lm")
        sheet.paste(drawn, (0, top + HEADING))
        top += drawn.height + HEADING
    return sheet
