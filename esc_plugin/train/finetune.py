"""A few images of one's own make a model better at their kind: the short way, measured on images that it never saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..batch.find import find_originals
from ..catalog.load import load_model
from ..device import choose_device
from ..disk import folder_beside
from ..engine.floor import check_floor
from ..errors import EscError, ImageError
from ..measure.scores import write_scores
from ..network import ESC
from ..progress import Cancel, Progress
from ..weights.model import Model
from .callback import write_model
from .clock import Clock
from .finetuned import listed, make_card
from .folder import CHECKPOINT, FINETUNED, check_folder, named
from .held_out import HeldOut, HeldOutScore, draw_scores
from .images import Images
from .notes import notes
from .pairs.registry import make_maker
from .recipe import Data, Optimizer, Recipe, Schedule
from .run import Machines, train
from .sources import ImageArray, Source, name_of
from .split import split
from .watch import Watch
from .wish import KINDS, HeldOutGain, Outcome, Wish

__all__ = ["HeldOutGain", "ImageArray", "Outcome", "Wish", "finetune"]

#: Low-resolution pixels: of a training patch, of a held-out crop, and the least of both.
PATCH, CROP, LEAST = 48, 128, 16
#: Of the time, the share that the first measuring takes at most.
MEASURING = 1 / 8
#: The last measuring, as long as the first and somewhat more; crops that are drawn or sampled; seconds to draw and write.
SLOWER, DRAWN, WRITING = 1.25, 4, 3
#: The highest learning rate, and the paper's 5e-4 for 64 channels as their product.
RATE, RATE_BY_WIDTH = 1e-3, 0.032


def finetune(
    images: Sequence[str | Path | ImageArray],
    wish: Wish,
    output: Path,
    progress: Progress | None = None,
    *,
    gain: Callable[[HeldOutGain], None] | None = None,
    note: Callable[[str], None] | None = None,
    stop: Cancel | None = None,
    cancel: Cancel | None = None,
) -> Outcome:
    """Fine-tune a model, and write it if that made it better, than before and than bicubic interpolation.

    What is written: the weights with ``config.json`` and a card, the figures of the held-out images (``held-out.csv`` and
    ``held-out.png``), and the same detail before and after (``example.png``). It all appears at once, or not at all.

    It may run in any thread, and leaves nothing behind in torch, Lightning or the handling of signals.

    Parameters
    ----------
    images : sequence of Path or ImageArray
        Files, folders that are searched, and arrays with names. What of them is held out, says `split`.
    wish : Wish
    output : Path
        Folder for the result, absent or empty; its name is the model's. `new_model_folder` names one in the models folder:
        then the model is on offer as soon as it is there.
    progress : callable, optional
        ``progress(done, total)``, of reading, measuring and training together.
    gain : callable, optional
        ``gain(found)`` with a `HeldOutGain`: of the start, then now and then, and of the result.
    note : callable, optional
        ``note(text)`` before training begins: what the gain will not show, such as that held-out images look like others.
    stop : callable, optional
        ``stop() -> bool``, asked after each iteration: end now, and go on with what was learned, as Ctrl-C does.
    cancel : callable, optional
        ``cancel() -> bool``, asked after each piece of work: give up, and write nothing.

    Raises
    ------
    EscError
        If something is missing or doesn't fit, before work starts.
    Cancelled
        If `cancel` returned ``True``.
    KeyboardInterrupt
        If it was stopped before anything was learned.
    """
    clock, output = Clock(0 if wish.iterations else wish.minutes, progress), named(output)
    check_folder(output, FINETUNED)
    sources = _sources(images)
    choose_device(wish.device)
    check_floor("fine-tuning")
    model = load_model(wish.init)
    make_maker(KINDS[wish.kind].pairs, model.scale, LEAST, wish.options or {})  # its options, before images are read
    with _beside(output) as folder:
        seen, unseen = split(sources, folder.parent / "images", clock.part(0, 0.05), cancel)
        told = list(notes(seen, unseen))
        if note:
            for text in told:
                note(text)
        held_out, recipe = _held_out(unseen, model, wish), _recipe(seen, model, wish)
        before, seconds = _measure_first(held_out, model.network, clock, cancel)
        reserve = SLOWER * seconds * (len(before) + DRAWN) + WRITING
        if recipe.minutes:
            recipe = replace(recipe, minutes=_minutes(clock.left, reserve))
        watch = Watch(held_out, before, seconds, gain, stop, cancel)
        interrupted = _train(recipe, folder, wish.device, seen, clock, watch)
        network, iterations = _averaged(folder / CHECKPOINT, model)
        after = _measure_last(held_out, network, clock, before, reserve, cancel)
        watch.told(iterations, after)
        found = Outcome(None, held_out.scores(before, after), iterations, interrupted)
        if not found.problem or (wish.keep and found.gained):
            planes = f"{len(seen):,} planes of {listed(entry.name for entry in seen.entries)}"
            work = f"{iterations:,} iterations of {recipe.data.batch} patches of {planes}"
            card = make_card(model, wish, found.scores, work, told)
            made = Model(network, model.config, output.name, model.source, model.sha256, card)
            found = replace(found, weights=_write(found.scores, held_out, model, made, folder.parent / "written", output))
    clock.finish()
    return found


def _sources(images: Sequence[str | Path | ImageArray]) -> list[Source]:
    """Find the files, and leave arrays as they are; each is there once.

    Raises
    ------
    ImageError
        If there are none, or two of one name.
    """
    arrays = [image for image in images if isinstance(image, ImageArray)]
    named = [image for image in images if not isinstance(image, ImageArray)]
    paths = list(dict.fromkeys(path.resolve() for path in find_originals(named)))
    names = [name_of(array) for array in arrays]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ImageError(f"two images are called {twice[0]!r}; give each a name of its own.")
    if not (paths or arrays):
        raise ImageError("there is no image to learn from; name one or more.")
    return [*paths, *arrays]


def _measure_first(held_out: HeldOut, network: ESC, clock: Clock, cancel: Cancel | None) -> tuple[list[float], float]:
    """Measure the start, on as many crops as time allows; return the seconds that one takes, too."""
    begun = time.monotonic()
    errors = held_out.measure(network, seconds=MEASURING * clock.left, tell=clock.part(0.05, 0.1), cancel=cancel)
    return errors, (time.monotonic() - begun) / len(errors)


def _minutes(left: float, reserve: float) -> float:
    """Return the minutes of training: what is left without the reserve, half of it at least, and never none."""
    return max(left - reserve, left / 2, 1e-3) / 60


def _measure_last(
    held_out: HeldOut, network: ESC, clock: Clock, before: list[float], reserve: float, cancel: Cancel | None
) -> list[float]:
    """Measure the result on the same crops; on a machine that became busy on fewer, because the clock decides."""
    drawing = (reserve - WRITING) * DRAWN / (len(before) + DRAWN) + WRITING
    return held_out.measure(network, len(before), seconds=clock.left - drawing, tell=clock.part(0.95, 1), cancel=cancel)


def _write(scores: list[HeldOutScore], held_out: HeldOut, model: Model, made: Model, work: Path, output: Path) -> Path:
    """Write all files elsewhere on the disk, then move them: a full disk leaves nothing at the named place."""
    write_scores(work / "held-out.csv", scores, digits=3)
    draw_scores(scores, (model.name, made.name), work / "held-out.png")
    held_out.draw({model.name: model.network, made.name: made.network}, work / "example.png")
    made.network.cpu()
    weights = write_model(made, work)
    check_folder(output, FINETUNED)  # somebody may have made one of that name meanwhile
    try:
        if output.is_dir():  # perhaps the one that the program runs in
            for path in work.iterdir():
                path.replace(output / path.name)
        else:
            work.rename(output)
    except OSError as error:
        raise EscError(f"can't write into {str(output)!r}: {error.strerror}.") from None
    return output / weights.name


@contextmanager
def _beside(output: Path) -> Iterator[Path]:
    """Give a folder of the same name, in a temporary one on the same disk, which may hold other things too."""
    with folder_beside(output) as folder:
        yield folder / "training" / output.name


def _fitting(images: Images, scale: int, wanted: int) -> int:
    """Return the edge of low-resolution patches that every image has room for.

    Raises
    ------
    ImageError
        If one is too small.
    """
    smallest = min(images.entries, key=lambda entry: min(entry.shape[:2]))
    fitting = min(wanted, min(smallest.shape[:2]) // scale)
    if fitting < LEAST:
        size = f"{smallest.shape[1]} x {smallest.shape[0]}"
        raise ImageError(f"{smallest.name!r} leaves {size} pixels; {LEAST * scale} x {LEAST * scale} are the least.")
    return fitting


def _held_out(images: Images, model: Model, wish: Wish) -> HeldOut:
    patch = _fitting(images, model.scale, CROP)
    maker = make_maker(KINDS[wish.kind].pairs, model.scale, patch, wish.options or {})
    return HeldOut(images, maker, choose_device(wish.device))


def _recipe(images: Images, model: Model, wish: Wish) -> Recipe:
    kind = KINDS[wish.kind]
    return Recipe(
        init=wish.init,
        scale=model.scale,
        data=Data(
            pairs=kind.pairs,
            options=wish.options or {},
            patch=_fitting(images, model.scale, PATCH),
            batch=8,
            workers=0,
        ),
        optimizer=Optimizer(lr=min(RATE, RATE_BY_WIDTH / model.config.dim) * kind.rate, betas=(0.9, 0.99), clip=1.0),
        schedule=Schedule(kind="one-cycle", warmup=0.05, last=0.02),
        iterations=wish.iterations or 1,
        minutes=0 if wish.iterations else wish.minutes,
        precision=_precision(choose_device(wish.device)),
        ema=0.99,  # some hundred iterations; a slower average would still hold much of the start
    )


def _precision(device: torch.device) -> str:
    """Return what is quickest: half precision where the processor computes in it."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)() if device.type == "cpu" else {}
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


def _train(recipe: Recipe, folder: Path, device: str, images: Images, clock: Clock, watch: Watch) -> bool:
    """Train; tell whether it was stopped, with something learned."""
    part = clock.part(0.1, 0.95)
    try:
        train(
            recipe,
            folder,
            machines=Machines(device),
            report=lambda share, row: part(share, 1),
            after=watch,
            images=images,
        )
    except KeyboardInterrupt:
        if not (folder / CHECKPOINT).is_file():
            raise
        return True
    return False


def _averaged(checkpoint: Path, model: Model) -> tuple[ESC, int]:
    """Return the network with averaged weights of a checkpoint, and how many iterations it took."""
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
    prefix = "average.module."
    network = deepcopy(model.network)  # a new one would draw weights, and with them change what others draw
    network.load_state_dict({k.removeprefix(prefix): v for k, v in stored["state_dict"].items() if k.startswith(prefix)})
    return network.eval().requires_grad_(False), stored["esc"]["iteration"]
