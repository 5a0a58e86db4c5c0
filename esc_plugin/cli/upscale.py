"""The command that everybody came for: ``esc-sr upscale``."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..catalog.by_default import check_choice
from ..errors import EscError, ImageError
from . import options as opt
from .large import Work, upscale_stores
from .models import open_model
from .parse import parse_framing, parse_intensity, parse_part, parse_region
from .plan import show_plans
from .report import Report
from .terminal import complain, progress_bar

if TYPE_CHECKING:  # torch takes a second to import; commands that need it import what they use
    from ..batch.batch import Batch
    from ..batch.choice import Group
    from ..batch.jobs import Job
    from ..cluster.launch import Launch
    from ..survey import Survey
    from ..upscaler import Upscaler

#: Of the second model, if nobody says.
BLEND_SHARE = 0.5


def upscale(
    context: typer.Context,
    images: Annotated[list[str], typer.Argument(help="Image files, folders, patterns; films.", metavar="IMAGE...")],
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
    scale: opt.Scale = None,
    width: opt.Width = None,
    height: opt.Height = None,
    fit: opt.Fit = None,
    isotropic: Annotated[
        bool, typer.Option("--isotropic", help="Planes between those of a stack, until voxels are as deep as wide.")
    ] = False,
    form: Annotated[
        str | None,
        typer.Option("--format", help="png, jpg, webp, avif, tif, zarr; mp4, mkv, mov, webm; by default the original's."),
    ] = None,
    quality: Annotated[
        int | None, typer.Option(callback=opt.within(1, 100), help="Of JPEG, WebP, AVIF and films, 1 to 100.")
    ] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="A film without loss (FFV1), as .mkv.")] = False,
    overwrite: opt.Overwrite = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out what is done already.")] = False,
    include_results: Annotated[
        bool, typer.Option("--include-results", help="Results of earlier runs in folders too.")
    ] = False,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Folders inside folders too.")] = False,
    intensity: opt.Intensity = "auto",
    nan: opt.Nan = "error",
    alpha: opt.Alpha = "network",
    axes: opt.Axes = None,
    linear_light: opt.LinearLight = False,
    consistency: opt.Consistency = False,
    shared: opt.Shared = None,
    strength: opt.Strength = 1.0,
    mask: opt.MaskFile = None,
    blend: opt.BlendModel = None,
    blend_share: opt.BlendShare = BLEND_SHARE,
    megapixels: Annotated[
        float, typer.Option("--max-megapixels", callback=opt.within(1e-6, 1e9), help="Refuse files that claim more.")
    ] = 500,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    memory: opt.Memory = None,
    threads: opt.Threads = 0,
    region: Annotated[
        str | None,
        typer.Option(metavar="Y0:Y1,X0:X1", rich_help_panel=opt.LARGE, help="Only these rows and columns of the result."),
    ] = None,
    survey: Annotated[
        Path | None,
        typer.Option(callback=opt.usable, rich_help_panel=opt.LARGE, help="What `esc-sr survey` wrote for this image."),
    ] = None,
    sampled: opt.Sampled = None,
    workers: Annotated[
        int,
        typer.Option(
            callback=opt.within(1, 1024),
            rich_help_panel=opt.LARGE,
            help="Processes on this machine that fill a .zarr target.",
        ),
    ] = 1,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", rich_help_panel=opt.LARGE, help="Of a dask cluster that fills it.")
    ] = None,
    share: Annotated[
        str | None,
        typer.Option("--part", metavar="I/N", rich_help_panel=opt.LARGE, help="Fill only this part of it, such as 3/16."),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", rich_help_panel=opt.LARGE, help="Finish what parts have filled.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only show how the memory would be used.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say how each result was made.")] = False,
    fill: opt.Fill = None,
    stretch: opt.Stretch = None,
    longest: opt.Longest = None,
    shortest: opt.Shortest = None,
    result_megapixels: opt.ResultMegapixels = None,
    passes: opt.Passes = None,
    purpose: opt.Purpose = None,
) -> None:
    """Upscale images and films: files, folders, patterns. Everything that a file carries is kept."""
    from ..video.names import is_film

    if blend is None and blend_share != BLEND_SHARE:
        raise EscError("--blend-share says how much there is of a second model; name it with --blend.")
    check_choice(model, purpose)
    framing = parse_framing(scale, width, height, fit, fill, stretch, longest, shortest, result_megapixels)
    if any(map(is_film, images)):
        from .film import upscale_films

        load = partial(
            load_mixture,
            blend=blend,
            share=blend_share,
            window_size=window_size,
            where=(device, precision, memory, threads),
        )
        sys.exit(upscale_films(context, framing, load))
    if lossless:
        raise EscError("--lossless is for films; of images, PNG, TIFF and Zarr always are.")
    from ..arrays.framing import Framing
    from ..batch.checks import check_exact, check_intensity
    from ..batch.choice import groups_of
    from ..batch.find import find_images
    from ..batch.jobs import label_of, plan_jobs
    from ..batch.mask import read_mask
    from ..batch.refused import sift, split_results
    from ..catalog.lookup import look_up
    from ..cluster.launch import launched
    from ..files.formats import is_store

    # All that can be known without torch comes first: it takes longer to start than to say that there is no file.
    levels = parse_intensity(intensity)
    check_intensity(levels)
    part, known_survey = parse_region(region) if region else None, read_survey(survey, sampled, precision)
    work = Work(workers, scheduler, parse_part(share) if share else None, finish, sampled)
    source, pixels = model or surveyed_model(known_survey, blend), round(megapixels * 1e6)
    found = find_images(images, recursive)
    groups = groups_of(found, source, framing, purpose or "", pixels)
    if blend:
        look_up(blend)
    if known_survey and len(found) > 1:
        raise ImageError(f"a survey serves one image; {len(found)} are named.")
    where = read_mask(mask, pixels) if mask else None
    suffix = f".{form.lower().lstrip('.')}" if form else None

    def jobs_for(group: Group, name: str, factor: int) -> list[Job]:
        return plan_jobs(group.images, output, name, label_of(framing, factor, isotropic), suffix)

    # The name of a mixture is known when both are loaded.
    names = ["" if blend else group.name for group in groups]
    planned = zip(groups, names, strict=True)
    jobs = [job for group, name in planned for job in jobs_for(group, name or "model", group.scale or 1)]
    report = Report(verbose)
    work.check(jobs)
    if (part or framing.mode == "fill") and any(is_store(job.target) for job in jobs):
        raise EscError("a part of a result goes to a file, such as part.tif; a store holds the whole result.")
    if consistency:
        check_exact(jobs)
    # Of a file, the scale is known only once it has been loaded, and so is the result's name if nothing else is asked for.
    sized = all(group.scale for group in groups) or framing != Framing() or isotropic
    named = sized and (all(names) or "{model}" not in str(output))
    if not include_results:
        jobs = leave_out_results(*split_results(jobs))
    ready = sift(jobs, report, targets=bool(named) and not plan, overwrite=overwrite, skip_existing=skip_existing)
    if not ready:
        sys.exit(report.finish())

    if launch := launched():
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # torch would print a stack when another process is gone

    from ..batch.batch import Batch

    options = {
        "intensity": levels,
        "nan": nan,
        "alpha": alpha,
        "axes": axes,
        "linear_light": linear_light,
        "consistency": consistency,
        "shared": shared,
        "strength": strength,
        "passes": passes,
    }
    batch_of = partial(
        Batch,
        framing=framing,
        options=options,
        quality=quality,
        max_pixels=pixels,
        overwrite=overwrite,
        skip_existing=skip_existing,
        region=part,
        survey=known_survey,
        sampled=sampled,
        isotropic=isotropic,
        mask=where,
    )
    sources, on = {job.source for job in ready}, (own_device(device, launch), precision, memory, threads)
    for group in groups:
        group.images = [image for image in group.images if image.path in sources]
        if not group.images:
            continue
        if group.note and not (launch and launch.rank):  # once, however many processes there are
            complain("note", group.note)
        loaded = load_mixture(group.source, blend, blend_share, window_size, on, group.reason)
        batch = batch_of(loaded)
        own = jobs_for(group, loaded.model.name, loaded.model.scale)
        stores, files = [job for job in own if is_store(job.target)], [job for job in own if not is_store(job.target)]
        if plan:
            show_plans(batch, own)
            continue
        if launch:  # of many files, each process takes its share; of one store, all do
            files = files[launch.rank :: launch.size]
        if files:
            run_batch(batch, files, report)
        if stores:
            upscale_stores(stores, report, batch, work)
    sys.exit(report.finish())


def read_survey(path: Path | None, sampled: int | None, precision: str) -> Survey | None:
    """Read a survey; what contradicts it is an `EscError`."""
    if path is None:
        return None
    if sampled:
        raise EscError("ask for either a --survey that is there or a new one that is --sampled, not both.")
    from ..survey import Survey

    found = Survey.load(path)
    if precision != "auto" and found.precisions - {precision}:
        made = " and ".join(sorted(found.precisions))
        raise EscError(f"the survey was made with {made}, not {precision}; leave --precision out.")
    return found


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


def own_device(device: str, launch: Launch | None) -> str:
    """Return a device; of several processes on a machine with several GPUs, each has its own."""
    if launch is None or device not in ("auto", "cuda"):
        return device
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{launch.local_rank % count}" if count else device


def load_upscaler(
    model: str, window_size: int | None, device: str, precision: str, memory: int | None, threads: int
) -> Upscaler:
    """Load a model onto a device."""
    from ..upscaler import Upscaler

    loaded = open_model(model, window_size=window_size)
    return Upscaler(loaded, device=device, precision=precision, memory_limit=memory, threads=threads)


def load_mixture(
    model: str, blend: str | None, share: float, window_size: int | None, where: tuple[Any, ...], reason: str = ""
) -> Upscaler:
    """Load a model, and one that is mixed into it if that is asked for; see `load_upscaler`.

    Parameters
    ----------
    reason : str
        Why it was taken, if nobody has named it.
    """
    loaded = load_upscaler(model, window_size, *where).chosen_because(reason)
    if blend is None:
        return loaded
    from ..mixture import Mixture

    return Mixture(loaded, load_upscaler(blend, None, *where), share)


def surveyed_model(survey: Survey | None, blend: str | None) -> str | None:
    """Return the name of the model that a survey was made with; it can't name two so that they are found again."""
    if survey is None or blend:
        return None
    if " + " in survey.model:
        raise EscError(f"the survey was made with {survey.model}; name the models with --model and --blend.")
    return survey.model


def run_batch(batch: Batch, jobs: list[Job], report: Report) -> None:
    """Upscale files, and show how far it is."""
    with progress_bar(f"{len(jobs)} images" if len(jobs) > 1 else jobs[0].source.name) as progress:
        batch.run(jobs, progress, report=report)
