"""The command that everybody came for: ``esc-sr upscale``."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..errors import EscError, ImageError
from ..texts import quoted
from . import options as opt
from .models import open_model
from .terminal import complain, console, plain, progress_bar, say

if TYPE_CHECKING:  # torch takes a second to import; commands that need it import what they use
    from ..batch.batch import Batch
    from ..batch.jobs import Job, Wish
    from ..engine import Plan
    from ..files import Picture
    from ..upscaler import Upscaler


def upscale(
    images: Annotated[list[str], typer.Argument(help="Image files, folders, patterns.", metavar="IMAGE...")],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="File, folder, or template such as '{folder}/{stem}_{model}_x{scale}.{ext}'.",
        ),
    ] = None,
    model: opt.ModelOption = None,
    window_size: opt.WindowSize = None,
    scale: Annotated[float | None, typer.Option("-s", "--scale", help="Any factor; by default the model's.")] = None,
    width: Annotated[int | None, typer.Option(help="Width of the result in pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Height of the result in pixels.")] = None,
    fit: Annotated[str | None, typer.Option(help="Largest result inside a box, such as 3840x2160.")] = None,
    form: Annotated[str | None, typer.Option("--format", help="png, jpg, webp, avif, tif; by default the image's.")] = None,
    quality: Annotated[
        int | None, typer.Option(callback=opt.within(1, 100), help="Of JPEG, WebP and AVIF, 1 to 100.")
    ] = None,
    overwrite: opt.Overwrite = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out what is done already.")] = False,
    include_results: Annotated[
        bool, typer.Option("--include-results", help="Results of earlier runs in folders too.")
    ] = False,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Folders inside folders too.")] = False,
    intensity: Annotated[
        str, typer.Option(help="What the network sees as black and white: auto, range, minmax, percentile, or LOW,HIGH.")
    ] = "auto",
    nan: Annotated[
        str, typer.Option(callback=opt.one_of("error", "keep"), help="NaN and infinity: error, or keep.")
    ] = "error",
    alpha: Annotated[
        str,
        typer.Option(callback=opt.one_of("network", "lanczos"), help="What upscales transparency: network or lanczos."),
    ] = "network",
    axes: opt.Axes = None,
    linear_light: Annotated[bool, typer.Option("--linear-light", help="Shrink to the target in linear light.")] = False,
    consistency: Annotated[bool, typer.Option("--consistency", help="Keep the averages over each input pixel.")] = False,
    megapixels: Annotated[
        float, typer.Option("--max-megapixels", callback=opt.within(1e-6, 1e9), help="Refuse files that claim more.")
    ] = 500,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    memory: opt.Memory = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only show how the memory would be used.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say how each result was made.")] = False,
) -> None:
    """Upscale images: files, folders, patterns. Everything that a file carries is kept."""
    from ..batch.find import find_images
    from ..batch.jobs import Wish, check_exact, plan_jobs
    from ..batch.refused import split_results
    from ..catalog.lookup import look_up

    # All that can be known without torch comes first: it takes longer to start than to say that there is no file.
    wish, levels = parse_wish(scale, width, height, fit), parse_intensity(intensity)
    check_intensity(levels)
    options = {
        "intensity": levels,
        "nan": nan,
        "alpha": alpha,
        "axes": axes,
        "linear_light": linear_light,
        "consistency": consistency,
    }
    source = default_model(wish) if model is None else model
    found, known = find_images(images, recursive), look_up(source)
    suffix = f".{form.lower().lstrip('.')}" if form else None

    def jobs_for(name: str, factor: int) -> list[Job]:
        return plan_jobs(found, output, name, wish.label(factor), suffix)

    jobs, report = jobs_for(known.name or "model", known.scale or 1), Report(verbose)
    if consistency:
        check_exact(jobs)
    # Of a file, the scale is known only once it has been loaded, and so is the result's name if nothing else is asked for.
    named = (known.scale or wish != Wish()) and (known.name or "{model}" not in str(output))
    if not include_results:
        jobs = leave_out_results(*split_results(jobs))
    ready = sift(jobs, report, bool(named) and not plan, overwrite, skip_existing)
    if not ready:
        sys.exit(report.finish())
    loaded = load_upscaler(source, window_size, device, precision, memory)

    from ..batch.batch import Batch

    batch = Batch(loaded, wish, options, quality, round(megapixels * 1e6), overwrite, skip_existing)
    targets = {job.source: job for job in jobs_for(loaded.model.name, loaded.model.scale)}
    ready = [targets[job.source] for job in ready]
    if plan:
        show_plans(batch, ready)
    else:
        run_batch(batch, ready, report)
    sys.exit(report.finish())


def default_model(wish: Wish) -> str:
    """Return the name of the bundled model that fits a wish."""
    small = wish.width is wish.height is None and (wish.scale is None or wish.scale <= 2)
    return "esc-nano-x2" if small else "esc-nano-x4"


def load_upscaler(model: str, window_size: int | None, device: str, precision: str, memory: int | None) -> Upscaler:
    """Load a model onto a device."""
    from ..upscaler import Upscaler

    loaded = open_model(model, window_size=window_size)
    return Upscaler(loaded, device=device, precision=precision, memory_limit=memory)


@dataclass
class Report:
    """Says what became of each file, and counts.

    Attributes
    ----------
    verbose : bool
        Whether to say how each result was made, too.
    """

    verbose: bool = False
    done: int = 0
    skipped: int = 0
    failed: int = 0

    def __call__(self, job: Job, result: Picture | str | None) -> None:
        """Print what was written, an error's text, or that there was nothing to do."""
        if isinstance(result, str):
            self.failed += 1
            complain("error", result, "bold red")
        elif result is None:
            self.skipped += 1
            say(f"{plain(job.target)} exists, skipped")
        else:
            self.done += 1
            say(f"{plain(job.source)} -> {plain(job.target)}  {result.size[1]} x {result.size[0]}")
            if self.verbose and result.provenance:
                say("  " + plain(", ".join(f"{key} {value}" for key, value in result.provenance.items())))
            for note in result.notes:
                complain("note", f"{job.source}: {note}")

    def finish(self) -> int:
        """Print the counts of several files, and return the exit code."""
        if self.done + self.skipped + self.failed > 1:
            say(f"{self.done} upscaled, {self.skipped} skipped, {self.failed} failed")
        return 1 if self.failed else 0


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
        complain("note", f"{many}; --include-results takes them.")
    return jobs


def sift(jobs: list[Job], report: Report, targets: bool, overwrite: bool, skip_existing: bool) -> list[Job]:
    """Return the jobs that nothing speaks against so far, and report the others.

    Parameters
    ----------
    targets : bool
        Whether to look at where the results go, too.
    """
    from ..batch.jobs import check_place, check_source
    from ..batch.refused import refusals

    refused = refusals(jobs, overwrite) if targets else {}
    ready = []
    for job in jobs:
        try:
            if targets:
                check_place(job.target)
                if skip_existing and job.target.exists():
                    report(job, None)
                    continue
            if job in refused:
                raise ImageError(refused[job])
            check_source(job.source)
        except EscError as error:
            report(job, str(error))
        else:
            ready.append(job)
    return ready


def run_batch(batch: Batch, jobs: list[Job], report: Report) -> None:
    """Upscale files."""
    with progress_bar(f"{len(jobs)} images" if len(jobs) > 1 else jobs[0].source.name) as progress:
        batch.run(jobs, lambda i, share: progress(round(1000 * (i + share)), 1000 * len(jobs)), report=report)


def parse_wish(scale: float | None, width: int | None, height: int | None, fit: str | None) -> Wish:
    """Read the size that is wanted.

    Raises
    ------
    ImageError
        If it is none, or there are two.
    """
    from ..batch.jobs import Wish

    if fit is None:
        return Wish(scale, width, height)
    if width is not None or height is not None:
        raise ImageError("ask for either --fit or --width and --height, not both.")
    sides = fit.lower().split("x")
    if len(sides) != 2 or not all(re.fullmatch(r"\s*[0-9]{1,10}\s*", side) for side in sides):
        raise ImageError(f"can't read {quoted(fit)} as a size; write width x height, such as 3840x2160.")
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
        raise ImageError(f"can't read {quoted(text)} as intensities; write LOW,HIGH, such as 0,4095.") from None


def check_intensity(intensity: str | list[tuple[float, float]]) -> None:
    """Raise an `ImageError` for what no image could have, by asking it of one with a pixel for each pair."""
    import numpy as np

    from ..arrays.layout import layout_of
    from ..arrays.levels import measure_levels

    pixels = np.zeros((1 if isinstance(intensity, str) else len(intensity), 1, 1), np.uint16)
    measure_levels(pixels, layout_of(pixels, "CYX"), intensity)


def show_plans(batch: Batch, jobs: list[Job]) -> None:
    """Print how each image would be worked on."""
    from ..files import read_picture
    from ..upscaler import bits_of

    for job in jobs:
        picture = read_picture(job.source, batch.max_pixels)
        height, width = picture.size
        say(f"{plain(job.source)}  {width} x {height}")
        show_plan(batch.upscaler, height, width, bits_of(picture.pixels))


def show_plan(upscaler: Upscaler, height: int, width: int, bits: int) -> None:
    """Print how an image would be worked on, and about how long."""
    from ..device import precision_name
    from ..measure.duration import measure_rate, work
    from ..texts import seconds_text

    need = upscaler.need(height, width, bits=bits)
    plan: Plan = upscaler.plan(height, width, bits=bits)
    table = Table(box=None, show_header=False)
    table.add_row("precision", precision_name(upscaler.dtype_for(bits)))
    table.add_row("feature maps", ", ".join(f"{name} on {home}" for name, home in plan.storage.items()))
    table.add_row("chunks of work", f"{need.chunks(plan.chunk_bytes):,}, of up to {plan.chunk_bytes / 2**20:.0f} MiB")
    table.add_row(f"peak on {upscaler.device}", f"{plan.device_bytes / 2**20:,.0f} MiB")
    table.add_row("peak in host memory", f"{plan.host_bytes / 2**20:,.0f} MiB")
    table.add_row("temporary files", f"{plan.disk_bytes / 2**20:,.0f} MiB")
    output = need.geometry.output
    table.add_row("time", seconds_text(work(upscaler, (height, width), output) / measure_rate(upscaler, bits)))
    console.print(table)
