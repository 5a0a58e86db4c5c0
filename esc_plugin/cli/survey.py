"""The command that finds out what regions of a result must know of the whole: ``esc-sr survey``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..catalog.by_default import check_choice
from ..errors import EscError
from ..texts import counted
from . import options as opt
from . import values
from .load import Where, load_mixture, own_device
from .parse import parse_framing, parse_intensity
from .pipes import place_of_source, target_of
from .terminal import complain, plain, progress_bar, say


def survey(
    image: opt.ImageFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", callback=values.usable, help="File to write, or - for standard output.")
    ] = Path("survey.json"),
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
    intensity: opt.Intensity = "auto",
    nan: opt.Nan = "error",
    alpha: opt.Alpha = "network",
    axes: opt.Axes = None,
    linear_light: opt.LinearLight = False,
    consistency: opt.Consistency = False,
    shared: opt.Shared = None,
    blend: opt.BlendModel = None,
    sampled: opt.Sampled = None,
    overwrite: opt.Overwrite = False,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    memory: opt.Memory = None,
    threads: opt.Threads = 0,
    quiet: opt.Quiet = False,
) -> None:
    """Look at a whole image once, so that any region of its result can be made on its own, anywhere."""
    from ..batch.checks import check_intensity, check_source

    check_choice(model, purpose)
    framing = parse_framing(scale, width, height, fit, fill, stretch, longest, shortest, result_megapixels)
    levels = parse_intensity(intensity)
    check_intensity(levels)
    source, target = place_of_source(image), target_of(output, ".json")
    check_source(source)
    values.check_output(target, (".json",), source, overwrite=overwrite)

    from ..batch.batch import Batch
    from ..batch.choice import group_of
    from ..batch.jobs import Job
    from ..cluster.exact import run_exact
    from ..cluster.group import joined
    from ..cluster.launch import launched

    where = Where(own_device(device, launched()), precision, memory, threads)
    chosen = group_of(source, model, framing, purpose or "")
    if chosen.note:
        complain("note", chosen.note)
    upscaler = load_mixture(chosen.source, blend, 0.5, window_size, where, chosen.reason)  # it serves any share
    wished = {
        "axes": axes,
        "intensity": levels,
        "nan": nan,
        "alpha": alpha,
        "linear_light": linear_light,
        "consistency": consistency,
        "shared": shared,
        "passes": passes,
    }
    picture, options = Batch(upscaler, framing, wished).opened(Job(source, target))
    with progress_bar(source.name) as progress, joined() as group:
        if group.size > 1:
            if sampled or shared:
                raise EscError("processes that were started together survey exactly; leave --sampled and --shared out.")
            request = upscaler.request(picture.pixels, **options)
            found = run_exact(upscaler, picture.pixels, request, group, progress=progress)
        else:
            found = upscaler.survey(picture.pixels, pixels=sampled, progress=progress, **options)
        if group.rank > 0:
            return
    found.save(target)
    how = f"sampled, about {found.difference:.2g} levels from exact" if found.sampling else "exact"
    say(f"{plain(source)} -> {plain(target)}  {how}, {counted(len(found.planes), 'plane')}, {found.digest[:12]}")
