"""The command line: ``esc-sr``."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .cli_models import convert, info, models, open_model, publish
from .cli_study import export, inspect
from .cli_train import finetune, train
from .errors import EscError, ImageError
from .terminal import console, errors, progress_bar

if TYPE_CHECKING:  # torch takes a second to import; commands that need it import what they use
    from .engine import Plan
    from .files import Picture
    from .files.batch import Batch
    from .files.jobs import Job, Wish
    from .upscaler import Upscaler

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

UNITS = {"": 1, "B": 1, "K": 2**10, "KB": 2**10, "M": 2**20, "MB": 2**20, "G": 2**30, "GB": 2**30}


@app.callback()
def about() -> None:
    """Upscale images with ESC networks: the same pixels in any memory."""


@app.command()
def upscale(
    images: Annotated[list[str], typer.Argument(help="Image files, folders, patterns.", metavar="IMAGE...")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File, folder, or template such as '{folder}/{stem}_{model}_x{scale}.{ext}'."),
    ] = None,
    model: Annotated[str | None, typer.Option("-m", "--model", help="Name (`esc-sr models`) or weights file.")] = None,
    scale: Annotated[float | None, typer.Option("-s", "--scale", help="Any factor; by default the model's.")] = None,
    width: Annotated[int | None, typer.Option(help="Width of the result in pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Height of the result in pixels.")] = None,
    fit: Annotated[str | None, typer.Option(help="Largest result inside a box, such as 3840x2160.")] = None,
    form: Annotated[str | None, typer.Option("--format", help="png, jpg, webp, avif, tif; by default the image's.")] = None,
    quality: Annotated[int | None, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out what is done already.")] = False,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Folders inside folders too.")] = False,
    intensity: Annotated[
        str, typer.Option(help="What the network sees as black and white: auto, range, minmax, or LOW,HIGH.")
    ] = "auto",
    nan: Annotated[str, typer.Option(help="NaN and infinity: error, or keep.")] = "error",
    alpha: Annotated[str, typer.Option(help="What upscales transparency: network or lanczos.")] = "network",
    axes: Annotated[
        str | None, typer.Option(help="Letters of a stack's axes, such as TZCYX; by default the file's.")
    ] = None,
    linear_light: Annotated[bool, typer.Option("--linear-light", help="Shrink to the target in linear light.")] = False,
    consistency: Annotated[bool, typer.Option("--consistency", help="Keep the averages over each input pixel.")] = False,
    megapixels: Annotated[float, typer.Option("--max-megapixels", help="Refuse files that claim more.")] = 500,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
    memory: Annotated[str | None, typer.Option(help="Most memory to use, such as 4GB. The result is the same.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only show how the memory would be used.")] = False,
) -> None:
    """Upscale images: files, folders, patterns. Everything that a file carries is kept."""
    from .files.batch import Batch
    from .files.jobs import find_images, plan_jobs

    wish = parse_wish(scale, width, height, fit)
    options = {
        "intensity": parse_intensity(intensity),
        "nan": nan,
        "alpha": alpha,
        "axes": axes,
        "linear_light": linear_light,
        "consistency": consistency,
    }
    found = find_images(images, recursive)
    loaded = load_upscaler(model, wish, device, precision, memory)
    suffix = f".{form.lower().lstrip('.')}" if form else None
    jobs = plan_jobs(found, output, loaded.model.name, wish.label(loaded.model.scale), suffix)
    batch = Batch(loaded, wish, options, quality, round(megapixels * 1e6), overwrite, skip_existing)
    if plan:
        show_plans(batch, jobs)
        return
    sys.exit(run_batch(batch, jobs))


@app.command()
def check(
    image: Annotated[Path, typer.Argument(help="The image before.")],
    upscaled: Annotated[Path, typer.Argument(help="The image after.")],
    axes: Annotated[str | None, typer.Option(help="Letters of a stack's axes; by default the file's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare an upscaled image, averaged down, with the image it was made of."""
    from .consistency import check_agreement
    from .files import read_picture

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


@app.command()
def compare(
    image: Annotated[Path, typer.Argument(help="Image file.", metavar="IMAGE")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture to write.")] = Path("comparison.png"),
    model: Annotated[str | None, typer.Option("-m", "--model", help="Name (`esc-sr models`) or weights file.")] = None,
    scale: Annotated[int, typer.Option("-s", "--scale", help="Factor; chooses a model where none is named.")] = 2,
    reduce: Annotated[bool, typer.Option("--reduce", help="Reduce the image first, and show the original too.")] = False,
    detail: Annotated[str | None, typer.Option(help="Show left,top,width,height of the output only.")] = None,
    zoom: Annotated[int, typer.Option(min=1, help="Screen pixels per output pixel.")] = 1,
) -> None:
    """Draw bicubic and model side by side."""
    from .compare import Detail, comparison
    from .files import read_picture, written_beside
    from .upscaler import Upscaler

    picture = comparison(
        read_picture(image).pixels,
        Upscaler(open_model(model or f"esc-nano-x{scale}")),
        detail=Detail.parse(detail) if detail else None,
        reduce=reduce,
        zoom=zoom,
    )
    with written_beside(output) as temporary:
        picture.save(temporary)
    console.print(f"{image} -> {output}")


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Name (`esc-sr models`) or weights file.")],
    folder: Annotated[Path, typer.Argument(help="Folder of true images.")],
    low: Annotated[Path | None, typer.Option(help="Folder of their reductions; by default MATLAB's bicubic.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the figures as .csv or .json.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
) -> None:
    """Measure a model: PSNR and SSIM, next to bicubic."""
    try:
        from . import evaluate as figures
    except ImportError:
        raise EscError("figures need scikit-image; install it with: pip install scikit-image") from None
    from .upscaler import Upscaler

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


for command in (models, info, convert, publish, train, finetune, export, inspect):
    app.command()(command)


def load_upscaler(model: str | None, wish: Wish, device: str, precision: str, memory: str | None) -> Upscaler:
    """Load the model that is named, or the bundled one that fits the wish."""
    from .upscaler import Upscaler

    small = wish.width is wish.height is None and (wish.scale or 2) <= 2
    limit = parse_bytes(memory) if memory else None
    return Upscaler(
        open_model(model or ("esc-nano-x2" if small else "esc-nano-x4")),
        device=device,
        precision=precision,
        memory_limit=limit,
    )


def run_batch(batch: Batch, jobs: list[Job]) -> int:
    """Upscale files, say what became of them, and return the exit code."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters is in our errors

    def report(job: Job, result: Picture | str | None) -> None:
        if isinstance(result, str):
            errors.print(f"[bold red]error:[/] {escape(result)}", highlight=False, soft_wrap=True)
        elif result is None:
            console.print(f"{escape(str(job.target))} exists, skipped", soft_wrap=True)
        else:
            size = f"{result.size[1]} x {result.size[0]}"
            console.print(f"{escape(str(job.source))} -> {escape(str(job.target))}  {size}", soft_wrap=True)
            for note in result.notes:
                errors.print(f"[yellow]note:[/] {escape(str(job.source))}: {escape(note)}", soft_wrap=True)

    with progress_bar(f"{len(jobs)} images" if len(jobs) > 1 else jobs[0].source.name) as progress:
        summary = batch.run(jobs, lambda i, share: progress(round(1000 * (i + share)), 1000 * len(jobs)), report=report)
    if len(jobs) > 1:
        console.print(f"{len(summary.done)} upscaled, {len(summary.skipped)} skipped, {len(summary.failed)} failed")
    return 1 if summary.failed else 0


def parse_wish(scale: float | None, width: int | None, height: int | None, fit: str | None) -> Wish:
    """Read the size that is wanted.

    Raises
    ------
    ImageError
        If it is none, or there are two.
    """
    from .files.jobs import Wish

    if fit is None:
        return Wish(scale, width, height)
    if width is not None or height is not None:
        raise ImageError("ask for either --fit or --width and --height, not both.")
    sides = fit.lower().split("x")
    if len(sides) != 2 or not all(side.strip().isdigit() for side in sides):
        raise ImageError(f"can't read {fit!r} as a size; write width x height, such as 3840x2160.")
    return Wish(scale, int(sides[0]), int(sides[1]))


def parse_intensity(text: str) -> str | tuple[float, float]:
    """Read "auto", "range", "minmax" or "LOW,HIGH".

    Raises
    ------
    ImageError
        If it is no such thing.
    """
    if "," not in text:
        return text
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise ImageError(f"can't read {text!r} as intensities; write LOW,HIGH, such as 0,4095.") from None
    return low, high


def show_plans(batch: Batch, jobs: list[Job]) -> None:
    """Print how each image would be worked on."""
    from .files import read_picture

    for job in jobs:
        picture = read_picture(job.source, batch.max_pixels)
        height, width = picture.size
        console.print(f"{escape(str(job.source))}  {width} x {height}", soft_wrap=True)
        show_plan(batch.upscaler.suited_to(picture.pixels.dtype), height, width)


def show_plan(upscaler: Upscaler, height: int, width: int) -> None:
    """Print how an image would be worked on, and about how long."""
    from .estimate import measure_rate, seconds_text, work

    need = upscaler.need(height, width)
    plan: Plan = upscaler.plan(height, width)
    table = Table(box=None, show_header=False)
    table.add_row("precision", str(upscaler.dtype).removeprefix("torch."))
    table.add_row("feature maps", ", ".join(f"{name} on {home}" for name, home in plan.storage.items()))
    table.add_row("chunks of work", f"{need.chunks(plan.work):,}, of up to {plan.work / 2**20:.0f} MiB")
    table.add_row(f"peak on {upscaler.device}", f"{plan.device_bytes / 2**20:,.0f} MiB")
    table.add_row("peak in host memory", f"{plan.host_bytes / 2**20:,.0f} MiB")
    table.add_row("temporary files", f"{plan.disk_bytes / 2**20:,.0f} MiB")
    output = need.geometry.output
    table.add_row("time", seconds_text(work(upscaler, (height, width), output) / measure_rate(upscaler)))
    console.print(table)


def parse_bytes(text: str) -> int:
    """Read "4GB", "512M" or a plain number as bytes.

    Raises
    ------
    EscError
        If it is no such thing.
    """
    number = text.strip().upper().removesuffix("IB")
    unit = number.lstrip("0123456789.")
    try:
        size = int(float(number.removesuffix(unit)) * UNITS[unit.strip()])
    except (KeyError, ValueError):
        raise EscError(f"can't read {text!r} as an amount of memory; write 4GB, 512MB or bytes.") from None
    if size <= 0:
        raise EscError(f"an amount of memory must be positive, not {text!r}.")
    return size


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a user can cause into one line and an exit code."""
    try:
        yield
    except EscError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("cancelled.")
        sys.exit(130)


def main() -> None:
    """Run the command line."""
    with plain_errors():
        app(standalone_mode=True)


if __name__ == "__main__":
    main()
