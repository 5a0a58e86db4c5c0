"""The commands that take a model elsewhere or look into it: ``esc-sr export`` and ``inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import needs
from . import options as opt
from .models import open_model
from .parse import parse_place
from .terminal import errors, plain, progress_bar, say

#: The first and the last version of ONNX's operators that can be written, see `esc_plugin.export.onnx`.
OPSETS = (18, 23)
#: Edge of an image in pixels whose size is built into a file.
LARGEST_EXPORT = 16_384
#: What reports are written as, see `esc_plugin.inspection`.
REPORTS = (".html", ".png")


def export(
    model: opt.ModelName,
    output: Annotated[Path, typer.Argument(callback=opt.usable, help="File to write.", metavar="OUT.onnx")],
    opset: Annotated[
        int, typer.Option(callback=opt.within(*OPSETS), help=f"Version of ONNX's operators, {OPSETS[0]} to {OPSETS[1]}.")
    ] = OPSETS[0],
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            callback=opt.within(1, LARGEST_EXPORT),
            help="Only for one image of this size; by default any batch and size.",
            metavar="HEIGHT WIDTH",
        ),
    ] = None,
    check: Annotated[bool, typer.Option(help="Compare ONNX Runtime with torch before the file is kept.")] = True,
    window_size: opt.WindowSize = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Write a model as an ONNX file, for other runtimes."""
    needs("export")
    opt.check_output(output, (".onnx",), model, overwrite=overwrite)
    loaded = open_model(model, window_size=window_size)

    from ..export.onnx import export_onnx

    with errors.status(f"exporting {plain(loaded.name)}"):
        written = export_onnx(loaded, output, opset=opset, size=size, check=check)
    megabytes = output.stat().st_size / 1e6
    say(f"{plain(loaded.name)} -> {plain(output)}  {megabytes:.1f} MB, opset {opset}")
    for shape, error in written.errors.items():
        say(f"largest difference to torch at {' x '.join(map(str, shape))}: {error:.1e}")


def inspect(
    model: opt.ModelName,
    image: opt.ImageFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", callback=opt.usable, help="Report to write, .html or .png.")
    ] = Path("inspect.html"),
    at: Annotated[
        str | None, typer.Option(help="Middle of the patch in pixels of the image; by default strong edges.", metavar="X,Y")
    ] = None,
    patch: Annotated[
        int, typer.Option(callback=opt.within(1, opt.LARGEST_EDGE), help="Edge of the patch in pixels of the output.")
    ] = 16,
    crop: Annotated[
        int, typer.Option(callback=opt.within(8, opt.LARGEST_EDGE), help="Edge of the part of the image that is looked at.")
    ] = 96,
    steps: Annotated[
        int, typer.Option(callback=opt.within(1, 100_000), help="Of the attribution; more are more exact.")
    ] = 50,
    window_size: opt.WindowSize = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Look inside a model: its kernels, how alike its layers are, and how far a pixel sees."""
    needs("inspect")
    from ..batch.checks import check_source

    opt.check_output(output, REPORTS, image, model, overwrite=overwrite, ours=is_own_report)
    check_source(image)
    place = parse_place(at) if at is not None else None
    loaded = open_model(model, window_size=window_size)

    from ..files import read_picture
    from ..inspection import check_report, study, write_report

    check_report(output)
    picture = read_picture(image)
    with progress_bar(f"{loaded.name}, {image.name}") as progress:
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
    write_report(output, found, image.name)
    say(f"{plain(loaded.name)}, {plain(image)} -> {plain(output)}")


def is_own_report(path: Path) -> bool:
    """Whether a file is a report of ours, which only its writer, and that with torch, can tell."""
    from ..inspection import is_report

    return is_report(path)
