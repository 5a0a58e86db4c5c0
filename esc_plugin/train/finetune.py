"""A few images of one's own make a model better at their kind: the short way, measured on images that it never saw."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..batch.find import find_originals
from ..catalog.gains import Gain
from ..catalog.load import load_model
from ..device import choose_device
from ..errors import EscError, ImageError
from ..measure.scores import mean, write_scores
from ..network import ESC
from ..progress import Progress
from ..weights.model import Model
from .callback import Report, write_model
from .clock import Clock
from .folder import CACHE, CHECKPOINT, FINETUNED, check_folder, named
from .held_out import HeldOut, HeldOutScore, draw_scores
from .images import Images, open_images
from .pairs.registry import make_maker
from .recipe import Data, Optimizer, Recipe, Schedule
from .run import Machines, train
from .split import split
from .wish import KINDS, Outcome, Wish

__all__ = ["Outcome", "Wish", "finetune"]

#: Low-resolution pixels: of a training patch, of a held-out crop, and the least of both.
PATCH, CROP, LEAST = 48, 128, 16
#: Of the time, the share that the first measuring takes at most.
MEASURING = 1 / 8
#: The last measuring, as long as the first and somewhat more; crops that are drawn or sampled; seconds to draw and write.
SLOWER, DRAWN, WRITING = 1.25, 4, 3
#: The highest learning rate, and the paper's 5e-4 for 64 channels as their product.
RATE, RATE_BY_WIDTH = 1e-3, 0.032


def finetune(images: Sequence[str | Path], wish: Wish, output: Path, progress: Progress | None = None) -> Outcome:
    """Fine-tune a model, and write it if that made it better, than before and than bicubic interpolation.

    What is written: the weights with ``config.json`` and a card, the figures of the held-out images (``held-out.csv`` and
    ``held-out.png``), and the same detail before and after (``example.png``).

    Parameters
    ----------
    images : sequence of path
        Files, or folders that are searched. Of five files or more, one in five is held out; of fewer, a quarter of each.
    wish : Wish
    output : Path
        Folder for the result, absent or empty; its name is the model's.
    progress : callable, optional
        ``progress(done, total)``, of reading, measuring and training together.

    Raises
    ------
    EscError
        If something is missing or doesn't fit, before work starts.
    KeyboardInterrupt
        If it was stopped before anything was learned.
    """
    clock, output = Clock(0 if wish.iterations else wish.minutes, progress), named(output)
    check_folder(output, FINETUNED)
    paths = list(dict.fromkeys(path.resolve() for path in find_originals(images)))
    choose_device(wish.device)
    model = load_model(wish.init)
    make_maker(KINDS[wish.kind].pairs, model.scale, LEAST, wish.options or {})  # its options, before images are read
    with _beside(output) as folder:
        seen, unseen = split(paths, folder / "parts")
        held_out = _held_out(open_images(unseen, folder / CACHE, 1, clock.part(0, 0.02)), model, wish)
        recipe = _recipe(open_images(seen, folder / CACHE, 1, clock.part(0.02, 0.05)), seen, model, wish)
        before, reserve = _measure_first(held_out, model.network, clock)
        if recipe.minutes:
            recipe = replace(recipe, minutes=_minutes(clock.left, reserve))
        train_part = clock.part(0.1, 0.95)
        interrupted = _train(recipe, folder, wish.device, lambda share, row: train_part(share, 1))
        network, iterations = _averaged(folder / CHECKPOINT, model)
        after = _measure_last(held_out, network, clock, before, reserve)
        found = Outcome(None, held_out.scores(before, after), iterations, interrupted)
        if not found.problem or (wish.keep and found.gained):
            how = f"{iterations:,} iterations of {recipe.data.batch} patches on {len(seen)} images"
            card = _card(model, wish, found.scores, how)
            made = Model(network, model.config, output.name, model.source, model.sha256, card)
            found = replace(found, weights=_write(found.scores, held_out, model, made, folder.parent / "written", output))
    clock.finish()
    return found


def _measure_first(held_out: HeldOut, network: ESC, clock: Clock) -> tuple[list[float], float]:
    """Measure the start, on as many crops as time allows; return how long measuring it again and drawing will take."""
    begun = time.monotonic()
    errors = held_out.measure(network, seconds=MEASURING * clock.left, tell=clock.part(0.05, 0.1))
    each = (time.monotonic() - begun) / len(errors)
    return errors, SLOWER * each * (len(errors) + DRAWN) + WRITING


def _minutes(left: float, reserve: float) -> float:
    """Return the minutes of training: what is left without the reserve, half of it at least, and never none."""
    return max(left - reserve, left / 2, 1e-3) / 60


def _measure_last(held_out: HeldOut, network: ESC, clock: Clock, before: list[float], reserve: float) -> list[float]:
    """Measure the result on the same crops; on a machine that became busy on fewer, because the clock decides."""
    drawing = (reserve - WRITING) * DRAWN / (len(before) + DRAWN) + WRITING
    return held_out.measure(network, len(before), seconds=clock.left - drawing, tell=clock.part(0.95, 1))


def _write(scores: list[HeldOutScore], held_out: HeldOut, model: Model, made: Model, work: Path, output: Path) -> Path:
    """Write all files elsewhere on the disk, then move them: a full disk leaves nothing at the named place."""
    write_scores(work / "held-out.csv", scores, digits=3)
    draw_scores(scores, (model.name, made.name), work / "held-out.png")
    held_out.draw({model.name: model.network, made.name: made.network}, work / "example.png")
    made.network.cpu()
    weights = write_model(made, work)
    try:
        output.mkdir(exist_ok=True)
        for path in work.iterdir():
            path.replace(output / path.name)
    except OSError as error:
        raise EscError(f"can't write into {str(output)!r}: {error.strerror}.") from None
    return output / weights.name


@contextmanager
def _beside(output: Path) -> Iterator[Path]:
    """Give a folder of the same name, in a temporary one on the same disk, which may hold other things too."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise EscError(f"can't write into {str(output.parent)!r}: {error.strerror}.") from None
    with work as folder:
        yield Path(folder) / "training" / output.name


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
        raise ImageError(
            f"{Path(smallest.name).name!r} leaves {size} pixels; {LEAST * scale} x {LEAST * scale} are the least."
        )
    return fitting


def _held_out(images: Images, model: Model, wish: Wish) -> HeldOut:
    patch = _fitting(images, model.scale, CROP)
    maker = make_maker(KINDS[wish.kind].pairs, model.scale, patch, wish.options or {})
    return HeldOut(images, maker, choose_device(wish.device))


def _recipe(images: Images, seen: list[Path], model: Model, wish: Wish) -> Recipe:
    kind = KINDS[wish.kind]
    return Recipe(
        init=wish.init,
        scale=model.scale,
        data=Data(
            folders=tuple(map(str, seen)),
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


def _train(recipe: Recipe, folder: Path, device: str, report: Report) -> bool:
    """Train; tell whether it was stopped, with something learned."""
    try:
        train(recipe, folder, machines=Machines(device), report=report)
    except KeyboardInterrupt:
        if not (folder / CHECKPOINT).is_file():
            raise
        return True
    return False


def _averaged(checkpoint: Path, model: Model) -> tuple[ESC, int]:
    """Return the network with averaged weights of a checkpoint, and how many iterations it took."""
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
    prefix = "average.module."
    network = ESC(model.config)
    network.load_state_dict({k.removeprefix(prefix): v for k, v in stored["state_dict"].items() if k.startswith(prefix)})
    return network.eval().requires_grad_(False), stored["esc"]["iteration"]


def _gain(purpose: str, scores: list[HeldOutScore], reduction: str) -> Gain:
    found, images = mean(scores), "held-out image" + ("" if len(scores) == 1 else "s")
    return Gain(purpose, len(scores), images, reduction, round(found.after - found.bicubic, 2))


def _card(model: Model, wish: Wish, scores: list[HeldOutScore], work: str) -> dict[str, Any]:
    found, kind = mean(scores), KINDS[wish.kind]
    purpose = wish.purpose or kind.purpose
    figures = f"mean PSNR {found.after:.2f} dB; before {found.before:.2f}, bicubic {found.bicubic:.2f}"
    figures += "" if found.after > found.bicubic else ": bicubic interpolation is better"
    gain = _gain(purpose, scores, kind.reduction)
    return {
        "family": model.card.get("family", ""),
        "purpose": purpose,
        "detail": kind.detail,
        "license": model.card.get("license") or "unknown",
        "license_note": "As the model it was trained from; the images may ask for more.",
        "training": f"Fine-tuned from {model.name}: {work} (pairs: {kind.pairs}). "
        f"On crops of {len(scores)} held-out images, {figures}.",
        "gains": [asdict(gain)],
    }
