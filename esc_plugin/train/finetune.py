"""A few images of one's own make a model better at their kind: the short way, measured on images that it never saw."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
import torch

from ..device import choose_device
from ..errors import EscError, ImageError
from ..network import ESC
from ..weights.load import load_model
from ..weights.model import Model
from .held_out import HeldOut, Score, draw_scores, mean, write_scores
from .images import Images, find_training_images, open_images, read_planes
from .keep import CHECKPOINT, write_model
from .pairs import make_maker
from .recipe import Data, Optimizer, Recipe, Schedule
from .run import Machines, train


class Kind(NamedTuple):
    """How small images are made of large ones, what the result is for, and how much there is to learn."""

    pairs: str
    purpose: str
    rate: float


KINDS = {"microscopy": Kind("microscopy", "microscopy", 1.0), "photo": Kind("bicubic", "clean photo", 0.2)}
#: Of so many files or more, one in `ONE_IN` is held out whole; of fewer, this share of each.
WHOLE_FILES, ONE_IN, SHARE = 5, 5, 0.25
#: Low-resolution pixels: of a training patch, of a held-out crop, and the least of both.
PATCH, CROP, LEAST = 48, 128, 16
#: The highest learning rate, and the paper's 5e-4 for 64 channels as their product.
RATE, RATE_BY_WIDTH = 1e-3, 0.032


@dataclass(frozen=True)
class Wish:
    """What to do.

    Attributes
    ----------
    init : str
        The model to start from, as `load_model` takes it.
    kind : {"microscopy", "photo"}
        How small images are made of large ones: by a microscope's forward model, or by bicubic reduction.
    minutes : float
        Of training; measuring comes on top.
    iterations : int
        Instead of minutes, if not 0.
    options : dict
        Of the pair maker, such as ``{"photons": (20, 200)}``.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Raises
    ------
    EscError
        If the kind is none of them, or the time is no time.
    """

    init: str
    kind: str = "microscopy"
    minutes: float = 10
    iterations: int = 0
    options: dict[str, Any] | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what can't be done."""
        if self.kind not in KINDS:
            raise EscError(f"the kind must be one of {', '.join(KINDS)}, not {self.kind!r}.")
        if self.minutes <= 0:
            raise EscError(f"the minutes must be above 0, not {self.minutes!r}.")


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes
    ----------
    weights : Path, optional
        The file; ``None`` if the model didn't get better, and nothing was written.
    scores : list of Score
        By held-out image.
    iterations : int
        Done.
    interrupted : bool
        Whether it was stopped before its time.
    """

    weights: Path | None
    scores: list[Score]
    iterations: int
    interrupted: bool

    def rows(self) -> list[Score]:
        """Return the scores and their mean."""
        return [*self.scores, mean(self.scores)]


def finetune(images: Sequence[str | Path], wish: Wish, output: Path) -> Outcome:
    """Fine-tune a model, and write it if that made it better.

    What is written: the weights with ``config.json`` and a card, the figures of the held-out images (``held-out.csv`` and
    ``held-out.png``), and the same detail before and after (``example.png``).

    Parameters
    ----------
    images : sequence of path
        Files, or folders that are searched. Of five files or more, one in five is held out; of fewer, a quarter of each.
    wish : Wish
    output : Path
        Folder for the result; its name is the model's.

    Raises
    ------
    EscError
        If something is missing or doesn't fit, before work starts.
    KeyboardInterrupt
        If it was stopped before anything was learned.
    """
    target = output / f"{output.name}.safetensors"
    if target.exists():
        raise EscError(f"{str(target)!r} is there already; choose another --output.")
    model = load_model(wish.init)
    paths = list(dict.fromkeys(path.resolve() for path in find_training_images(images)))
    with _beside(output) as folder:
        seen, unseen = split(paths, folder / "parts")
        held_out = _held_out(open_images(unseen, folder / "cache", 1), model, wish)
        recipe = _recipe(open_images(seen, folder / "cache", 1), seen, model, wish)
        before = held_out.measure(model.network)
        interrupted = _train(recipe, folder, wish.device)
        network, iterations = _averaged(folder / CHECKPOINT, model)
        scores = held_out.scores(before, held_out.measure(network))
        if mean(scores).after <= mean(scores).before:
            return Outcome(None, scores, iterations, interrupted)
        write_scores(scores, output / "held-out.csv")
        draw_scores(scores, (model.name, output.name), output / "held-out.png")
        held_out.draw({model.name: model.network, output.name: network}, output / "example.png")
        card = _card(model, wish, scores, f"{iterations:,} iterations of {recipe.data.batch} patches on {len(seen)} images")
        write_model(Model(network.cpu(), model.config, output.name, model.source, model.sha256, card), output)
    return Outcome(target, scores, iterations, interrupted)


@contextmanager
def _beside(output: Path) -> Iterator[Path]:
    """Give a folder of the same name, in a temporary one on the same disk."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise EscError(f"can't write into {str(output.parent)!r}: {error.strerror}.") from None
    with work as folder:
        yield Path(folder) / output.name


def split(paths: Sequence[Path], parts: Path) -> tuple[list[Path], list[Path]]:
    """Return files to train on and files to measure with; of few files, pieces that are written into the folder `parts`."""
    if len(paths) >= WHOLE_FILES:
        chosen = set(np.random.default_rng(0).permutation(len(paths))[: len(paths) // ONE_IN].tolist())
        return [p for i, p in enumerate(paths) if i not in chosen], [p for i, p in enumerate(paths) if i in chosen]
    pieces = [piece for number, path in enumerate(paths) for piece in _cut(path, number, parts)]
    return [seen for seen, _ in pieces], [unseen for _, unseen in pieces]


def _cut(path: Path, number: int, parts: Path) -> list[tuple[Path, Path]]:
    """Cut each plane in two across its longer side; of a stack always at the same place, since its planes are alike."""
    pieces = []
    for plane_number, plane in enumerate(read_planes(path)):
        axis = int(plane.shape[1] >= plane.shape[0])
        halves = np.split(plane, [round(plane.shape[axis] * (1 - SHARE))], axis)
        name = f"{path.stem}-{number}-{plane_number}.tif"
        written = parts / "seen" / name, parts / "held-out" / name
        for half, target in zip(halves, written, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            gray = half.shape[2] == 1
            tifffile.imwrite(target, half[..., 0] if gray else half, photometric="minisblack" if gray else "rgb")
        pieces.append(written)
    return pieces


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


def _train(recipe: Recipe, folder: Path, device: str) -> bool:
    """Train; tell whether it was stopped, with something learned."""
    try:
        train(recipe, folder, machines=Machines(device))
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


def _card(model: Model, wish: Wish, scores: list[Score], work: str) -> dict[str, Any]:
    found = mean(scores)
    figures = f"mean PSNR {found.after:.2f} dB; before {found.before:.2f}, bicubic {found.bicubic:.2f}"
    return {
        "family": model.card.get("family", ""),
        "purpose": KINDS[wish.kind].purpose,
        "license": model.card.get("license") or "unknown",
        "license_note": "As the model it was trained from; the images may ask for more.",
        "training": f"Fine-tuned from {model.name}: {work} (pairs: {KINDS[wish.kind].pairs}). "
        f"On crops of {len(scores)} held-out images, {figures}.",
    }
