"""The commands that measure: ``esc-sr check``, ``compare`` and ``evaluate``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ..disk import check_free, identities
from ..errors import EscError
from .models import open_model
from .terminal import OVERWRITE, console, errors, progress_bar


def check(
    image: Annotated[Path, typer.Argument(help="The image before.")],
    upscaled: Annotated[Path, typer.Argument(help="The image after.")],
    axes: Annotated[str | None, typer.Option(help="Letters of a stack's axes; by default the file's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare an upscaled image, averaged down, with the image it was made of."""
    from ..consistency import check_agreement
    from ..files import read_picture

    before, after = read_picture(image), read_picture(upscaled)
    found = check_agreement(before.pixels, after.pixels, axes or before.axes)
    if as_json:
        print(json.dumps([asdict(entry) for entry in found]))
        return
    table = Table("channel", "mean", "bias", "bias %", "RMS", "largest", box=None)
    for entry in found:
        percent = f"{100 * entry.bias / entry.mean:+.3f}" if entry.mean else "-"
        row = (entry.channel, f"{entry.mean:.6g}", f"{entry.bias:+.6g}", percent, f"{entry.rms:.6g}", f"{entry.worst:.6g}")
        table.add_row(*map(str, row))
    console.print(table)


def compare(
    image: Annotated[Path, typer.Argument(help="Image file.", metavar="IMAGE")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture to write.")] = Path("comparison.png"),
    model: Annotated[str | None, typer.Option("-m", "--model", help="Name (`esc-sr models`) or weights file.")] = None,
    scale: Annotated[int, typer.Option("-s", "--scale", help="Factor; chooses a model where none is named.")] = 2,
    reduce: Annotated[bool, typer.Option("--reduce", help="Reduce the image first, and show the original too.")] = False,
    detail: Annotated[str | None, typer.Option(help="Show left,top,width,height of the output only.")] = None,
    zoom: Annotated[int, typer.Option(min=1, help="Screen pixels per output pixel.")] = 1,
    overwrite: OVERWRITE = False,
) -> None:
    """Draw bicubic and model side by side."""
    from ..compare import Detail, check_comparison, comparison, write_comparison
    from ..files import read_picture
    from ..upscaler import Upscaler

    check_comparison(output, image, overwrite)
    upscaler = Upscaler(open_model(model or f"esc-nano-x{scale}"))
    sheet = comparison(
        read_picture(image).pixels,
        upscaler,
        detail=Detail.parse(detail) if detail else None,
        reduce=reduce,
        zoom=zoom,
    )
    write_comparison(output, sheet, upscaler)
    console.print(f"{escape(str(image))} -> {escape(str(output))}", soft_wrap=True)


def evaluate(
    model: Annotated[str, typer.Argument(help="Name (`esc-sr models`) or weights file.")],
    folder: Annotated[Path, typer.Argument(help="Folder of true images.")],
    low: Annotated[Path | None, typer.Option(help="Folder of their reductions; by default MATLAB's bicubic.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the figures as .csv or .json.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
    overwrite: OVERWRITE = False,
) -> None:
    """Measure a model: PSNR and SSIM, next to bicubic."""
    try:
        from .. import evaluate as figures
    except ImportError:
        raise EscError("figures need scikit-image; install it with: pip install scikit-image") from None
    from ..upscaler import Upscaler

    if output:
        figures.check_scores(output)
        check_free(output, inputs=identities(model), overwrite=overwrite)
    upscaler = Upscaler(open_model(model), device=device, precision=precision)
    try:
        distance = figures.load_lpips()
    except EscError as error:
        errors.print(f"[yellow]note:[/] {escape(str(error))}", soft_wrap=True)
        distance = None
    with progress_bar(folder.name) as progress:
        scores = figures.evaluate(upscaler, folder, low, progress, distance)
    table = Table("image", "PSNR Y", "SSIM Y", "PSNR RGB", "SSIM RGB", "bicubic PSNR Y", "SSIM Y", box=None)
    if distance:
        table.add_column("LPIPS")
        table.add_column("bicubic LPIPS")
    for s in [*scores, figures.mean(scores)]:
        values = (s.psnr_y, s.ssim_y, s.psnr_rgb, s.ssim_rgb, s.bicubic_psnr_y, s.bicubic_ssim_y)
        row = [f"{v:.2f}" if i % 2 == 0 else f"{v:.4f}" for i, v in enumerate(values)]
        distances = (s.lpips, s.bicubic_lpips) if distance else ()
        table.add_row(s.image, *row, *("-" if d is None else f"{d:.4f}" for d in distances))
    console.print(table)
    if output:
        figures.write_scores(output, scores)
