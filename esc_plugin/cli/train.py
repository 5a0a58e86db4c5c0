"""The commands about training: ``esc-sr train`` and ``finetune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..errors import EscError
from . import options as opt
from .terminal import console, plain, progress_bar, say

#: How small images are made of large ones, see `esc_plugin.train.finetune`.
KINDS = ("microscopy", "photo")
#: Iterations of a training, and machines or devices of one, beyond which a slip of the hand is likelier.
MOST_ITERATIONS, MOST_MACHINES = 10**9, 10**4


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            callback=opt.usable, help="Name of a recipe, such as classic or nano, or a YAML file.", metavar="RECIPE"
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(callback=opt.usable, help="Folder of images, searched recursively; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", callback=opt.usable, help="Folder for the results; its name is the model's."),
    ] = None,
    scale: Annotated[int | None, typer.Option("-s", "--scale", callback=opt.within(1, 16), help="Of the model.")] = None,
    init: Annotated[str | None, typer.Option(help="Model to start from; x3 and x4 may start from x2.")] = None,
    val: Annotated[Path | None, typer.Option(callback=opt.usable, help="Folder of true images to measure with.")] = None,
    iterations: Annotated[
        int | None, typer.Option(callback=opt.within(1, MOST_ITERATIONS), help="Instead of the recipe's.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(callback=opt.some_minutes, help="End after this time; the schedule follows the clock."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Refuse to begin anew.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any entry of the recipe, such as optimizer.lr=1e-4.", metavar="ENTRY=VALUE"),
    ] = None,
    device: opt.Device = "auto",
    devices: Annotated[
        int, typer.Option(callback=opt.within(-1, MOST_MACHINES), help="Devices of each machine; -1 for all.")
    ] = 1,
    nodes: Annotated[
        int,
        typer.Option(callback=opt.within(1, MOST_MACHINES), help="Machines; start the command on each, as Lightning says."),
    ] = 1,
) -> None:
    """Train a model by a recipe, or go on with one.

    esc-sr train nano --data photos/ --val Set5/ --minutes 60 -o mine-x2

    A folder that holds a checkpoint is gone on with. Ctrl-C stops with a checkpoint.
    """
    from ..train.recipe import parse_change, read_recipe
    from ..weights.lookup import look_up

    given: dict[str, Any] = {
        "scale": scale,
        "init": init,
        "iterations": iterations,
        "minutes": minutes,
        "validation.folder": str(val) if val else None,
        "data.folders": [str(folder) for folder in data] if data else None,
    }
    read = read_recipe(recipe, {k: v for k, v in given.items() if v is not None} | dict(map(parse_change, changes or [])))
    folder = output or Path(f"{Path(recipe).stem}-x{read.scale}")
    opt.check_inputs(*map(Path, read.data.folders), *([Path(read.validation.folder)] if read.validation.folder else []))
    opt.check_folder(folder)
    if read.init:
        look_up(read.init)

    from ..train.run import Machines
    from ..train.run import train as run

    try:
        with progress_bar("images") as progress:
            weights = run(read, folder, machines=Machines(device, devices, nodes), resume=resume, progress=progress)
    except KeyboardInterrupt:
        say(f"Stopped. The same command goes on with {plain(folder)}.")
        raise
    say(plain(weights))


def finetune(
    images: Annotated[
        list[Path],
        typer.Argument(callback=opt.usable, help="Image files or folders; twenty are enough.", metavar="IMAGE..."),
    ],
    init: Annotated[str, typer.Option(help="Model to start from.")] = "esc-nano-x2",
    kind: Annotated[
        str,
        typer.Option(
            callback=opt.one_of(*KINDS), help="microscopy: a microscope's forward model; photo: bicubic reduction."
        ),
    ] = "microscopy",
    minutes: Annotated[float, typer.Option(callback=opt.some_minutes, help="Of training.")] = 10,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", callback=opt.usable, help="Folder for the result; its name is the model's."),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", help="Of the forward model, such as photons=[20,200].", metavar="OPTION=VALUE"),
    ] = None,
    device: opt.Device = "auto",
) -> None:
    """Make a model better at your kind of images.

    Some of them are held out, to measure before and after; nothing is written if it didn't help. Ctrl-C keeps what was
    learned so far.
    """
    from ..train.recipe import parse_change
    from ..weights.lookup import look_up

    changes = dict(map(parse_change, options or []))
    folder = output or Path(f"{Path(init).stem}-{kind}")
    opt.check_inputs(*images)
    opt.check_folder(folder)
    look_up(init)

    from ..train.finetune import Wish
    from ..train.finetune import finetune as run

    wish = Wish(init, kind, minutes, options=changes, device=device)
    outcome = run(images, wish, folder)
    table = Table("held-out image", "bicubic", "before", "after", box=None)
    for score in outcome.rows():
        table.add_row(plain(score.image), *(f"{value:.2f}" for value in (score.bicubic, score.before, score.after)))
    console.print(table)
    if outcome.weights is None:
        raise EscError(f"after {outcome.iterations:,} iterations it is no better than {init}: nothing was written.")
    say(plain(outcome.weights))
