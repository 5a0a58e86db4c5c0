"""The command that everybody came for: ``esc-sr upscale``."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from ..catalog.by_default import check_choice
from ..errors import EscError
from ..texts import suffix_of
from . import options as opt
from . import values
from .completion import image_formats
from .parse import parse_framing
from .pipes import DASH, source_of, standard_output

#: Of the second model, if nobody says.
BLEND_SHARE = 0.5


def upscale(
    context: typer.Context,
    images: Annotated[
        list[str],
        typer.Argument(help="Image files, folders, patterns, - for standard input; films.", metavar="IMAGE"),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="File, folder, - for standard output, or template such as '{folder}/{stem}_{model}_x{scale}.{ext}'.",
        ),
    ] = None,
    model: opt.ModelOption = None,
    purpose: opt.Purpose = None,
    window_size: opt.WindowSize = None,
    scale: opt.Scale = None,
    width: opt.Width = None,
    height: opt.Height = None,
    longest: opt.Longest = None,
    shortest: opt.Shortest = None,
    fit: opt.Fit = None,
    fill: opt.Fill = None,
    stretch: opt.Stretch = None,
    result_megapixels: opt.ResultMegapixels = None,
    passes: opt.Passes = None,
    isotropic: Annotated[
        bool, typer.Option("--isotropic", help="Planes between those of a stack, until voxels are as deep as wide.")
    ] = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="SUFFIX",
            autocompletion=image_formats,
            help="png, jpg, webp, avif, tif, zarr; mp4, mkv, mov, webm; by default the original's.",
        ),
    ] = None,
    quality: Annotated[
        int | None, typer.Option(callback=values.within(1, 100), help="Of JPEG, WebP, AVIF and films, 1 to 100.")
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
        float,
        typer.Option(
            "--max-megapixels",
            metavar="MILLIONS",
            callback=values.within(1e-6, 1e9),
            help="Refuse files that claim more pixels.",
        ),
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
        typer.Option(callback=values.usable, rich_help_panel=opt.LARGE, help="What `esc-sr survey` wrote for this image."),
    ] = None,
    sampled: opt.Sampled = None,
    workers: Annotated[
        int,
        typer.Option(
            callback=values.within(1, 1024),
            rich_help_panel=opt.LARGE,
            help="Processes on this machine that fill a .zarr target.",
        ),
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", rich_help_panel=opt.LARGE, help="Address of a dask cluster that fills it."),
    ] = None,
    share: Annotated[
        str | None,
        typer.Option("--part", metavar="I/N", rich_help_panel=opt.LARGE, help="Fill only this part of it, such as 3/16."),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", rich_help_panel=opt.LARGE, help="Finish what parts have filled.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only show how it would be done: steps, memory and time.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say how each result was made.")] = False,
    quiet: opt.Quiet = False,
    as_json: opt.AsJson = False,
) -> None:
    """Upscale images and films: files, folders, patterns. Everything that a file carries is kept."""
    given = SimpleNamespace(**locals())  # every option by its name
    from ..video.names import is_film

    if blend is None and blend_share != BLEND_SHARE:
        raise EscError("--blend-share says how much there is of a second model; name it with --blend.")
    check_choice(model, purpose)
    framing = parse_framing(scale, width, height, fit, fill, stretch, longest, shortest, result_megapixels)
    if any(map(is_film, images)):
        from .film import upscale_films

        sys.exit(upscale_films(given, framing))
    if lossless:
        raise EscError("--lossless is for films; of images, PNG, TIFF and Zarr always are.")
    from .pictures import upscale_pictures

    given.output = place_of_results(output, form, piped=DASH in images)
    given.images = list(map(source_of, images))
    sys.exit(upscale_pictures(given, framing))


def place_of_results(output: str | None, form: str | None, piped: bool) -> str | None:
    """Return where results go; ``-`` is standard output, to which the image of standard input goes only if that is said.

    Raises
    ------
    EscError
        If they can't go there.
    """
    if output == DASH:
        from ..files.formats import is_store

        target = standard_output(suffix_of(form or "png"))
        if is_store(target):
            raise EscError(f"a result as {form!r} is a folder, which can't go to standard output; name one with -o.")
        return str(target)
    if piped and (output is None or "{folder}" in output):
        raise EscError("standard input lies in no folder; say where the result goes, with -o FILE, or -o - to send it on.")
    return output
