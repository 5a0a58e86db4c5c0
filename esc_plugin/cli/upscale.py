"""The command that everybody came for: ``esc-sr upscale``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ..errors import ImageError
from ..texts import parse_bytes
from .models import open_model
from .terminal import console, errors, progress_bar, shown

if TYPE_CHECKING:  # torch takes a second to import; commands that need it import what they use
    from ..engine import Plan
    from ..files import Picture
    from ..files.batch import Batch
    from ..files.jobs import Job, Wish
    from ..upscaler import Upscaler


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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist, but no input.")] = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out what is done already.")] = False,
    include_results: Annotated[
        bool, typer.Option("--include-results", help="Results of earlier runs in folders too.")
    ] = False,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Folders inside folders too.")] = False,
    intensity: Annotated[
        str, typer.Option(help="What the network sees as black and white: auto, range, minmax, percentile, or LOW,HIGH.")
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
    from ..files.batch import Batch
    from ..files.jobs import find_images, plan_jobs
    from ..files.refused import split_results

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
    if not include_results:
        jobs = leave_out_results(*split_results(jobs))
    batch = Batch(loaded, wish, options, quality, round(megapixels * 1e6), overwrite, skip_existing)
    if plan:
        show_plans(batch, jobs)
        return
    sys.exit(run_batch(batch, jobs))


def leave_out_results(jobs: list[Job], results: list[Job]) -> list[Job]:
    """Return the jobs of images, and say how many results there are beside them.

    Raises
    ------
    ImageError
        If there are only results.
    """
    many = f"{len(results)} results of earlier runs are left out, {results[-1].source.name!r} among them" if results else ""
    if not jobs:
        raise ImageError(f"there is nothing to upscale: {many}; take them with --include-results.")
    if many:
        errors.print(f"[yellow]note:[/] {escape(many)}; --include-results takes them.", highlight=False, soft_wrap=True)
    return jobs


def load_upscaler(model: str | None, wish: Wish, device: str, precision: str, memory: str | None) -> Upscaler:
    """Load the model that is named, or the bundled one that fits the wish."""
    from ..upscaler import Upscaler

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

    def report(job: Job, result: Picture | str | None) -> None:
        if isinstance(result, str):
            errors.print(f"[bold red]error:[/] {escape(result)}", highlight=False, soft_wrap=True)
        elif result is None:
            console.print(f"{shown(job.target)} exists, skipped", soft_wrap=True)
        else:
            size = f"{result.size[1]} x {result.size[0]}"
            console.print(f"{shown(job.source)} -> {shown(job.target)}  {size}", soft_wrap=True)
            for note in result.notes:
                errors.print(f"[yellow]note:[/] {shown(job.source)}: {escape(note)}", soft_wrap=True)

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
    from ..files.jobs import Wish

    if fit is None:
        return Wish(scale, width, height)
    if width is not None or height is not None:
        raise ImageError("ask for either --fit or --width and --height, not both.")
    sides = fit.lower().split("x")
    if len(sides) != 2 or not all(side.strip().isdigit() for side in sides):
        raise ImageError(f"can't read {fit!r} as a size; write width x height, such as 3840x2160.")
    return Wish(scale, int(sides[0]), int(sides[1]))


def parse_intensity(text: str) -> str | list[tuple[float, float]]:
    """Read a word such as "auto" or "percentile:1,99", or "LOW,HIGH", or such pairs for each channel, "0,4095;0,900".

    Raises
    ------
    ImageError
        If it is no such thing.
    """
    if "," not in text or text[:1].isalpha():
        return text
    try:
        return [(float(low), float(high)) for low, high in (pair.split(",") for pair in text.split(";"))]
    except ValueError:
        raise ImageError(f"can't read {text!r} as intensities; write LOW,HIGH, such as 0,4095.") from None


def show_plans(batch: Batch, jobs: list[Job]) -> None:
    """Print how each image would be worked on."""
    from ..files import read_picture
    from ..upscaler import bits_of

    for job in jobs:
        picture = read_picture(job.source, batch.max_pixels)
        height, width = picture.size
        console.print(f"{shown(job.source)}  {width} x {height}", soft_wrap=True)
        show_plan(batch.upscaler, height, width, bits_of(picture.pixels))


def show_plan(upscaler: Upscaler, height: int, width: int, bits: int) -> None:
    """Print how an image would be worked on, and about how long."""
    from ..device import precision_name
    from ..estimate import measure_rate, seconds_text, work

    need = upscaler.need(height, width, bits=bits)
    plan: Plan = upscaler.plan(height, width, bits=bits)
    table = Table(box=None, show_header=False)
    table.add_row("precision", precision_name(upscaler.dtype_for(bits)))
    table.add_row("feature maps", ", ".join(f"{name} on {home}" for name, home in plan.storage.items()))
    table.add_row("chunks of work", f"{need.chunks(plan.work):,}, of up to {plan.work / 2**20:.0f} MiB")
    table.add_row(f"peak on {upscaler.device}", f"{plan.device_bytes / 2**20:,.0f} MiB")
    table.add_row("peak in host memory", f"{plan.host_bytes / 2**20:,.0f} MiB")
    table.add_row("temporary files", f"{plan.disk_bytes / 2**20:,.0f} MiB")
    output = need.geometry.output
    table.add_row("time", seconds_text(work(upscaler, (height, width), output) / measure_rate(upscaler, bits)))
    console.print(table)
