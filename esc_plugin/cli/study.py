"""The commands that take a model elsewhere or look into it: ``esc-sr export`` and ``inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..disk import check_free, identities
from ..errors import EscError
from .models import open_model
from .terminal import OVERWRITE, console, errors, progress_bar


def export(
    model: Annotated[str, typer.Argument(help="Name (`esc-sr models`) or weights file.")],
    output: Annotated[Path, typer.Argument(help="File to write.", metavar="OUT.onnx")],
    opset: Annotated[int, typer.Option(help="Version of ONNX's operators, 18 to 23.")] = 18,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Only for one image of this size; by default any batch and size.", metavar="HEIGHT WIDTH"),
    ] = None,
    overwrite: OVERWRITE = False,
    check: Annotated[bool, typer.Option(help="Compare ONNX Runtime with torch before the file is kept.")] = True,
) -> None:
    """Write a model as an ONNX file, for other runtimes."""
    from ..export import export_onnx

    check_free(output, inputs=identities(model), overwrite=overwrite)
    loaded = open_model(model)
    with errors.status(f"exporting {escape(loaded.name)}"):
        written = export_onnx(loaded, output, opset=opset, size=size, check=check)
    megabytes = output.stat().st_size / 1e6
    console.print(f"{escape(loaded.name)} -> {escape(str(output))}  {megabytes:.1f} MB, opset {opset}", soft_wrap=True)
    for shape, error in written.errors.items():
        console.print(f"largest difference to torch at {' x '.join(map(str, shape))}: {error:.1e}", highlight=False)


def inspect(
    model: Annotated[str, typer.Argument(help="Name (`esc-sr models`) or weights file.")],
    image: Annotated[Path, typer.Argument(help="Image file.", metavar="IMAGE")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Report to write, .html or .png.")] = Path("inspect.html"),
    at: Annotated[
        str | None, typer.Option(help="Middle of the patch in pixels of the image; by default strong edges.", metavar="X,Y")
    ] = None,
    patch: Annotated[int, typer.Option(help="Edge of the patch in pixels of the output.")] = 16,
    crop: Annotated[int, typer.Option(help="Edge of the part of the image that is looked at.")] = 96,
    steps: Annotated[int, typer.Option(help="Of the attribution; more are more exact.")] = 50,
    overwrite: OVERWRITE = False,
) -> None:
    """Look inside a model: its kernels, how alike its layers are, and how far a pixel sees."""
    from ..files import read_picture
    from ..inspection import check_report, is_report, study, write_report

    check_report(output)
    check_free(output, inputs=identities(image, model), overwrite=overwrite, ours=is_report)
    place = parse_place(at) if at else None
    picture, loaded = read_picture(image), open_model(model)
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
    console.print(f"{escape(loaded.name)}, {escape(str(image))} -> {escape(str(output))}", soft_wrap=True)


def parse_place(text: str) -> tuple[int, int]:
    """Read "X,Y".

    Raises
    ------
    EscError
        If it is no such thing.
    """
    try:
        column, row = (int(part) for part in text.split(","))
    except ValueError:
        raise EscError(f"can't read {text!r} as a pixel; write X,Y, such as 120,80.") from None
    return column, row
