"""The command line: ``esc-sr``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .errors import EscError, ImageError

if TYPE_CHECKING:  # torch takes a second to import; commands that need it import what they use
    from .engine import Plan
    from .upscaler import Upscaler

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console()
errors = Console(stderr=True)

UNITS = {"": 1, "B": 1, "K": 2**10, "KB": 2**10, "M": 2**20, "MB": 2**20, "G": 2**30, "GB": 2**30}


@app.callback()
def about() -> None:
    """Upscale images with ESC networks: the same pixels in any memory."""


@app.command()
def upscale(
    images: Annotated[list[Path], typer.Argument(help="Image files.", metavar="IMAGE...")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File or folder; by default beside the image.")
    ] = None,
    model: Annotated[str | None, typer.Option("-m", "--model", help="Name (`esc-sr models`) or weights file.")] = None,
    scale: Annotated[int, typer.Option("-s", "--scale", help="Factor; chooses a model where none is named.")] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
    memory: Annotated[str | None, typer.Option(help="Most memory to use, such as 4GB. The result is the same.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only show how the memory would be used.")] = False,
) -> None:
    """Upscale images."""
    from .files import read_image, write_image
    from .upscaler import Upscaler

    loaded = Upscaler(
        model or f"esc-nano-x{scale}",
        device=device,
        precision=precision,
        memory_limit=parse_bytes(memory) if memory else None,
    )
    targets = [target_path(image, output, loaded, several=len(images) > 1) for image in images]
    for path, target in zip(images, targets, strict=True):
        pixels = read_image(path)
        if plan:
            show_plan(loaded, pixels.shape[0], pixels.shape[1])
            continue
        with progress_bar(path.name) as progress:
            result = loaded(pixels, progress=progress)
        write_image(target, result)
        console.print(f"{path} -> {target}  {result.shape[1]} x {result.shape[0]}")


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
    from PIL import Image

    from .compare import Detail, comparison
    from .files import read_picture, written_beside
    from .upscaler import Upscaler

    picture = comparison(
        read_picture(image).pixels,
        Upscaler(model or f"esc-nano-x{scale}"),
        detail=Detail.parse(detail) if detail else None,
        reduce=reduce,
        zoom=zoom,
    )
    with written_beside(output) as temporary:
        picture.save(temporary)
    console.print(f"{image} -> {output}")


@app.command()
def models() -> None:
    """List the models on offer."""
    from .weights.catalog import list_models

    table = Table("name", "scale", "for", "what", "licence", box=None)
    for entry in list_models():
        table.add_row(entry.name, f"x{entry.scale}", entry.purpose, entry.summary, entry.license)
    console.print(table)


@app.command()
def info(model: Annotated[str, typer.Argument(help="Weights file or name of a model.")]) -> None:
    """Show what a model is: configuration, size, origin, and what is known about it."""
    from .weights.load import load_model

    loaded = load_model(model)
    table = Table(box=None, show_header=False)
    table.add_row("name", loaded.name)
    table.add_row("source", loaded.source)
    table.add_row("sha256", loaded.sha256)
    table.add_row("parameters", f"{sum(p.numel() for p in loaded.network.parameters()):,}")
    for field, value in [*loaded.config.to_dict().items(), *loaded.card.items()]:
        table.add_row(field, str(value))
    console.print(table)


def target_path(image: Path, output: Path | None, upscaler: Upscaler, several: bool) -> Path:
    """Return where the result of an image goes.

    Raises
    ------
    ImageError
        If that is the image itself, or one file for several images.
    """
    name = f"{image.stem}_{upscaler.model.name}{image.suffix}"
    if output is None:
        target = image.with_name(name)
    elif output.is_dir() or (several and not output.suffix):
        output.mkdir(parents=True, exist_ok=True)
        target = output / name
    elif several:
        raise ImageError(f"{str(output)!r} is one file, but there are several images; name a folder.")
    else:
        target = output
    if target.resolve() == image.resolve():
        raise ImageError(f"the result would overwrite {str(image)!r}; name another output.")
    if not target.parent.is_dir():
        raise ImageError(f"there is no folder {str(target.parent)!r}.")
    return target


def show_plan(upscaler: Upscaler, height: int, width: int) -> None:
    """Print how an image would be worked on."""
    plan: Plan = upscaler.plan(height, width)
    table = Table(box=None, show_header=False)
    table.add_row("feature maps", ", ".join(f"{name} on {home}" for name, home in plan.storage.items()))
    table.add_row("work per chunk", f"{plan.work / 2**20:.0f} MiB")
    table.add_row(f"peak on {upscaler.device}", f"{plan.device_bytes / 2**20:,.0f} MiB")
    table.add_row("peak in host memory", f"{plan.host_bytes / 2**20:,.0f} MiB")
    table.add_row("temporary files", f"{plan.disk_bytes / 2**20:,.0f} MiB")
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
def progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar and give the callback that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a user can cause into one line and an exit code."""
    try:
        yield
    except EscError as error:
        errors.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
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
