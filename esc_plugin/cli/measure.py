"""The commands that look at one image: ``esc-sr check`` and ``compare``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..catalog.by_default import check_choice
from . import options as opt
from . import values
from .load import Where, load_upscaler
from .pipes import place_of_source, target_of
from .terminal import plain, say, say_table, write_json


def check(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image before.")],
    upscaled: Annotated[str, typer.Argument(metavar="UPSCALED", help="The image after.")],
    axes: opt.Axes = None,
    as_json: opt.AsJson = False,
) -> None:
    """Compare an upscaled image, averaged down, with the image it was made of."""
    from ..arrays.consistency import check_agreement
    from ..arrays.layout import layout_of
    from ..arrays.reordered import in_axes_of
    from ..batch.checks import check_source
    from ..files import read_picture

    places = [place_of_source(name) for name in (image, upscaled)]
    for place in places:
        check_source(place)
    before, after = (read_picture(place, lazy=True) for place in places)
    axes = layout_of(before.pixels, axes or before.axes).axes
    found = check_agreement(before.pixels, in_axes_of(after.pixels, after.axes, axes), axes)
    if as_json:
        write_json([asdict(entry) for entry in found])
        return
    rows = []
    for entry in found:
        percent = f"{100 * entry.bias / entry.mean:+.3f}" if entry.mean else "-"
        figures = f"{entry.mean:.6g}", f"{entry.bias:+.6g}", percent, f"{entry.rms:.6g}", f"{entry.worst:.6g}"
        rows.append((entry.channel, *figures))
    say_table(("channel", "mean", "bias", "bias %", "RMS", "largest"), *rows)


def compare(
    image: opt.ImageFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", callback=values.usable, help="Picture to write, or - for standard output.")
    ] = Path("comparison.png"),
    model: opt.ModelOption = None,
    purpose: opt.Purpose = None,
    window_size: opt.WindowSize = None,
    scale: Annotated[
        int,
        typer.Option("-s", "--scale", callback=values.within(1, 16), help="Factor; chooses a model where none is named."),
    ] = 2,
    degrade: Annotated[
        Any,
        typer.Option(
            parser=values.degradation,
            metavar="STEPS",
            help="Make the image small and worse first, by jpeg=40, noise=15, bin,photons=200 or bicubic; show it too.",
        ),
    ] = None,
    detail: Annotated[str | None, typer.Option(help="Show left,top,width,height of the output only.")] = None,
    zoom: Annotated[int, typer.Option(callback=values.within(1, 64), help="Screen pixels per output pixel, 1 to 64.")] = 1,
    device: opt.Device = "auto",
    threads: opt.Threads = 0,
    overwrite: opt.Overwrite = False,
) -> None:
    """Draw bicubic and model side by side, with an original beside what was made of it."""
    from ..arrays.framing import Framing
    from ..batch.checks import check_source
    from ..batch.choice import group_of
    from ..files import made_by
    from ..files.formats import writable_suffixes
    from ..measure.degradation import CLEAN

    check_choice(model, purpose)
    source, target = place_of_source(image), target_of(output, ".png")
    values.check_output(target, writable_suffixes(), source, overwrite=overwrite, ours=made_by("compare"))
    check_source(source)
    # What is reduced and nothing else has no noise.
    chosen = group_of(source, model, Framing(scale), purpose or ("clean photo" if degrade == CLEAN else ""))
    factor = None if model else scale
    if degrade:
        degrade.check_scale(factor or chosen.scale, chosen.name)

    from ..measure.compare import Detail, write_comparison
    from ..measure.compare import compare as drawn
    from ..measure.photo import DEPTHS, read_photo

    part = None if detail is None else Detail.parse(detail)
    upscaler = load_upscaler(chosen.source, window_size, Where(device, threads=threads)).chosen_because(chosen.reason)
    found = drawn(read_photo(source, DEPTHS), upscaler, degradation=degrade, detail=part, scale=factor)
    write_comparison(target, found.draw(zoom), upscaler)
    figures = f": bicubic {found.bicubic:.2f} dB, {plain(upscaler.model.name)} {found.model:.2f} dB" if degrade else ""
    say(f"{plain(source)} -> {plain(target)}{figures}")
