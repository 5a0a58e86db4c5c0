"""The commands about training: ``esc-sr train`` and ``finetune``."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..catalog.purposes import MICROSCOPY
from ..device import limited_threads
from ..errors import EscError
from . import options as opt
from . import values
from .completion import model_names, recipes
from .terminal import complain, errors, plain, say, say_table

if TYPE_CHECKING:
    from ..train.wish import HeldOutGain

#: How small images are made of large ones, see `esc_plugin.train.finetune`, and of what it makes them.
KINDS = {"microscopy": MICROSCOPY, "photo": "clean photo"}
#: Iterations of a training, and machines or devices of one, beyond which a slip of the hand is likelier.
MOST_ITERATIONS, MOST_MACHINES = 10**9, 10**4
#: From less than a second to ten years.
some_minutes = values.within(0.01, 5_256_000)
#: Seconds between two lines where nobody sees a bar.
QUIET = 30
HELPS = "More --minutes, more images or another --kind may help"


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            callback=values.usable,
            help="Name of a recipe, such as classic or nano, or a YAML file.",
            metavar="RECIPE",
            autocompletion=recipes,
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(callback=values.usable, help="Folder of images, searched recursively; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", callback=values.usable, help="Folder for the results; its name is the model's."),
    ] = None,
    scale: Annotated[
        int | None, typer.Option("-s", "--scale", callback=values.within(1, 16), help="Scale of the model.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(metavar="MODEL", autocompletion=model_names, help="Model to start from; x3 and x4 may start from x2."),
    ] = None,
    val: Annotated[Path | None, typer.Option(callback=values.usable, help="Folder of true images to measure with.")] = None,
    iterations: Annotated[
        int | None, typer.Option(callback=values.within(1, MOST_ITERATIONS), help="How many, instead of the recipe's.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(callback=some_minutes, help="End after this time, all included; the schedule follows the clock."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Only go on with what is there; never begin anew.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any entry of the recipe, such as optimizer.lr=1e-4.", metavar="ENTRY=VALUE"),
    ] = None,
    device: opt.Device = "auto",
    devices: Annotated[
        int, typer.Option(callback=values.within(-1, MOST_MACHINES), help="Devices of each machine; -1 for all.")
    ] = 1,
    nodes: Annotated[
        int,
        typer.Option(
            callback=values.within(1, MOST_MACHINES), help="Machines; start the command on each, as Lightning says."
        ),
    ] = 1,
    threads: opt.Threads = 0,
) -> None:
    """Train a model by a recipe, or go on with one.

    esc-sr train nano --data photos/ --val Set5/ --minutes 60 -o mine-x2

    A folder that holds a checkpoint is gone on with. Ctrl-C stops with a checkpoint.
    """
    from ..catalog.lookup import look_up
    from ..train.folder import TRAINED, check_folder, is_ours, named
    from ..train.recipe import parse_change, read_recipe

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
    values.check_inputs(*map(Path, read.data.folders), *([Path(read.validation.folder)] if read.validation.folder else []))
    values.check_folder(folder)
    check_folder(named(folder), TRAINED, is_ours)
    if read.init:
        look_up(read.init)

    from ..train.run import Machines
    from ..train.run import train as run

    try:
        with limited_threads(threads), Bar(folder.name) as bar:
            machines = Machines(device, devices, nodes)
            weights = run(read, folder, machines=machines, resume=resume, progress=bar.decoded, report=bar.report)
    except KeyboardInterrupt as stopped:
        say(f"Stopped. The same command goes on with {plain(folder)}.")
        if signal.SIGTERM in stopped.args:
            sys.exit(128 + signal.SIGTERM)
        raise
    say(plain(weights))


def finetune(
    images: Annotated[
        list[Path],
        typer.Argument(callback=values.usable, help="Image files or folders; five to twenty are enough.", metavar="IMAGE"),
    ],
    init: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=model_names,
            help="Model to start from; by default a bundled one for such images.",
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            **values.one_of_words(*KINDS), help="microscopy: a microscope's forward model; photo: bicubic reduction."
        ),
    ] = "microscopy",
    minutes: Annotated[
        float, typer.Option(callback=some_minutes, help="How long all of it may take, measuring included.")
    ] = 10,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", callback=values.usable, help="Folder for the result; its name is the model's."),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any option of the forward model, such as photons=[20,200].", metavar="OPTION=VALUE"),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Write a model that got better even if bicubic interpolation is better still.")
    ] = False,
    purpose: opt.Purpose = None,
    device: opt.Device = "auto",
    threads: opt.Threads = 0,
) -> None:
    """Make a model better at your kind of images.

    Some of them are held out, to measure before and after. Ctrl-C keeps what was learned so far.

    Nothing is written if the result is no better than the start, or than bicubic interpolation.
    """
    from ..catalog.by_purpose import start_for
    from ..catalog.lookup import look_up
    from ..train.folder import FINETUNED, check_folder, named
    from ..train.recipe import parse_change

    changes = dict(map(parse_change, options or []))
    init = init or start_for(purpose or KINDS[kind]).name
    folder = output or Path(f"{Path(init).stem}-{kind}")
    values.check_inputs(*images)
    values.check_folder(folder)
    check_folder(named(folder), FINETUNED)
    look_up(init)

    from ..train.finetune import finetune as run
    from ..train.wish import Wish

    wish = Wish(init, kind, minutes, options=changes, device=device, keep=keep, purpose=purpose or "")
    with limited_threads(threads), Bar(folder.name) as bar:
        outcome = run(images, wish, folder, bar.move, gain=bar.learned, note=lambda text: complain("note", text))
    rows = [(score.image, *(f"{v:.2f}" for v in (score.bicubic, score.before, score.after))) for score in outcome.rows()]
    say_table(("held-out image", "bicubic", "before", "after"), *rows)
    if outcome.weights is None:
        ways = "; --keep writes it all the same" if outcome.gained else ""
        raise EscError(f"{outcome.problem}; nothing was written. {HELPS}{ways}.")
    if outcome.problem:
        complain("note", f"{outcome.problem}. {HELPS}.")
    say(plain(outcome.weights))


class Bar:
    """A bar that moves where somebody sees it, and a line now and then where not. It appears with the first thing to say."""

    def __init__(self, name: str) -> None:
        columns = (
            TextColumn("{task.fields[name]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, TextColumn("{task.description}"), console=errors) if errors.is_terminal else None
        self._name, self._begun, self._last = name, time.monotonic(), 0.0
        self._learned: str | None = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def decoded(self, done: int, total: int) -> None:
        """Show how many images are decoded."""
        self._show(done / total, f"{done:,} of {total:,} images", f"reading images for {self._name}")

    def report(self, share: float, row: dict[str, float]) -> None:
        """Show how far a training is, and its figures."""
        text = describe(row) if row else None
        self._show(share, text, self._name)
        if row and ("psnr" in row or share >= 1):
            self._print(share, text or "")

    def move(self, done: int, total: int) -> None:
        """Show how much of the whole is done."""
        self._show(done / total, self._learned, self._name)

    def learned(self, found: HeldOutGain) -> None:
        """Show from now on what was learned so far."""
        self._learned = f"held out {found.now:.2f} dB (start {found.start:.2f}, bicubic {found.bicubic:.2f})"

    def _show(self, share: float, text: str | None, name: str) -> None:
        if self._bar is None:
            if time.monotonic() - max(self._last, self._begun) > QUIET:
                self._print(share, text or name)
            return
        if not self._bar.tasks:
            self._bar.add_task("", total=1.0, name=plain(name))
            self._bar.start()
        description = plain(text) if text else None  # None leaves what is there
        self._bar.update(self._bar.tasks[0].id, completed=share, name=plain(name), description=description)

    def _print(self, share: float, text: str) -> None:
        minutes = (time.monotonic() - self._begun) / 60
        say(f"{100 * share:5.1f} %  {minutes:6.1f} min  {plain(text)}")
        self._last = time.monotonic()


def describe(row: dict[str, float]) -> str:
    """Return a row of a training's log as text."""
    text = f"iteration {row['iteration']:,.0f}  loss {row['loss']:.5f}  rate {row['learning_rate']:.2e}"
    if "psnr" not in row:
        return text
    better = "" if row["psnr"] > row["bicubic"] else ", which is better"
    return f"{text}  PSNR {row['psnr']:.2f} dB (bicubic {row['bicubic']:.2f}{better})"
