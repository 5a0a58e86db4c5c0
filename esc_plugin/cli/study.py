"""The commands that take a model elsewhere or look into it: ``esc-sr export`` and ``inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import needs
from ..export.formats import FORMS, PRECISIONS, SUFFIXES, format_of
from . import options as opt
from . import values
from .load import open_model
from .parse import parse_place
from .pipes import place_of_source
from .terminal import errors, plain, progress_bar, say

#: The first and the last version of ONNX's operators that can be written, see `esc_plugin.export.onnx`.
OPSETS = (18, 23)
#: Edge of an image in pixels whose size is built into a file.
LARGEST_EXPORT = 16_384
#: What reports are written as, see `esc_plugin.inspection`.
REPORTS = (".html", ".png")


def export(
    model: opt.ModelName,
    output: Annotated[
        Path,
        typer.Argument(callback=values.usable, help=f"File to write, one of {', '.join(SUFFIXES)}.", metavar="OUT"),
    ],
    form: Annotated[
        str,
        typer.Option(
            **values.one_of_words(*FORMS),
            help="`whole` for images that fit into memory at once, `regions` for crops of larger ones.",
        ),
    ] = FORMS[0],
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            callback=values.within(1, LARGEST_EXPORT),
            help="Only for images of this size; by default any.",
            metavar="HEIGHT WIDTH",
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option("-s", "--scale", callback=values.within(1, 64), help="Scale of a model for any (LTE); by default 4."),
    ] = None,
    precision: Annotated[
        str, typer.Option(**values.one_of_words(*PRECISIONS), help=f"What the file computes in: {', '.join(PRECISIONS)}.")
    ] = PRECISIONS[0],
    calibrate: Annotated[
        Path | None,
        typer.Option(
            callback=values.usable,
            help="For int8: a folder of a few dozen pictures of the kind that will be upscaled. They are not kept.",
            metavar="FOLDER",
        ),
    ] = None,
    opset: Annotated[
        int, typer.Option(callback=values.within(*OPSETS), help=f"Version of ONNX's operators, {OPSETS[0]} to {OPSETS[1]}.")
    ] = OPSETS[0],
    check: Annotated[bool, typer.Option(help="Compare its own runtime with torch before the file is kept.")] = True,
    window_size: opt.WindowSize = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Write a model as a file for another runtime, by its suffix: .onnx for ONNX Runtime."""
    kind = format_of(output)
    needs(kind.extra)
    values.check_output(output, (kind.suffix,), model, overwrite=overwrite, folder=kind.folder)
    for suffix in kind.companions:
        values.check_output(output.with_suffix(suffix), (suffix,), model, overwrite=overwrite)
    loaded = open_model(model, window_size=window_size)

    from ..export.export import export as write
    from ..export.quantize import pictures_in

    pictures = pictures_in(calibrate) if calibrate else ()
    with errors.status(f"exporting {plain(loaded.name)}"):
        written = write(
            loaded,
            output,
            form=form,
            size=size,
            precision=precision,
            opset=opset,
            scale=scale,
            pictures=pictures,
            check_it=check,
        )
    files = (written.path, *written.companions)
    said = f"{written.size / 1e6:.1f} MB, {kind.name}, {form}, {precision}"
    say(f"{plain(loaded.name)} -> {', '.join(map(plain, files))}  {said}")
    for difference in written.differences:
        shape = " x ".join(map(str, difference.shape))
        say(f"largest difference to torch at {shape}: {difference.largest:.1e} ({difference.psnr:.1f} dB)")
    if check and not kind.runs:
        say(f"{kind.name} doesn't run on this machine: the file was not compared with torch.")


def inspect(
    model: opt.ModelName,
    image: opt.ImageFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", callback=values.usable, help="Report to write, .html or .png.")
    ] = Path("inspect.html"),
    at: Annotated[
        str | None, typer.Option(help="Middle of the patch in pixels of the image; by default strong edges.", metavar="X,Y")
    ] = None,
    patch: Annotated[
        int, typer.Option(callback=values.within(1, values.LARGEST_EDGE), help="Edge of the patch in pixels of the output.")
    ] = 16,
    crop: Annotated[
        int,
        typer.Option(
            callback=values.within(8, values.LARGEST_EDGE), help="Edge of the part of the image that is looked at."
        ),
    ] = 96,
    steps: Annotated[
        int, typer.Option(callback=values.within(1, 100_000), help="Steps of the attribution; more are more exact.")
    ] = 50,
    window_size: opt.WindowSize = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Look inside a model: its kernels, how alike its layers are, and how far a pixel sees."""
    needs("inspect")
    from ..batch.checks import check_source

    source = place_of_source(image)
    values.check_output(output, REPORTS, source, model, overwrite=overwrite, ours=is_own_report)
    check_source(source)
    place = parse_place(at) if at is not None else None
    loaded = open_model(model, window_size=window_size)

    from ..files import read_picture
    from ..inspection import check_report, study, write_report

    check_report(output)
    picture = read_picture(source)
    with progress_bar(f"{loaded.name}, {source.name}") as progress:
        found = study(
            loaded,
            picture.pixels,
            axes=picture.axes,
            at=place,
            patch=patch,
            crop=crop,
            steps=steps,
            progress=progress,
        )
    write_report(output, found, source.name)
    say(f"{plain(loaded.name)}, {plain(source)} -> {plain(output)}")


def is_own_report(path: Path) -> bool:
    """Whether a file is a report of ours, which only its writer, and that with torch, can tell."""
    from ..inspection import is_report

    return is_report(path)
