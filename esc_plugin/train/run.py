"""From a recipe to a trained model: everything is checked first, then Lightning runs it."""

from __future__ import annotations

import logging
import re
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.utils.data import DataLoader

from ..batch.find import find_originals
from ..disk import write_text
from ..engine.floor import check_floor, gradient_bytes
from ..errors import EscError
from ..network import ESC
from ..progress import Progress
from ..weights.model import Model
from ..weights.write import file_name
from .batches import Batches, From
from .callback import After, Report, TrainingCallback
from .clock import check_minutes
from .crew import Crew, crew_size
from .first_network import start_network
from .folder import CACHE, CHECKPOINT, TRAINED, alone, check_folder, is_ours, named
from .framework import MisconfigurationException, TensorBoardLogger, lightning, rank_zero_only
from .gan import GanTraining
from .images import Images, open_images
from .micrographs import EDGE, Drawing
from .pairs.maker import PairMaker
from .pairs.registry import make_maker
from .recipe import Recipe, RecipeError
from .shares import chances, check_shares
from .training import Training

LIGHTNING_PRECISION = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
#: May differ when a training goes on; all else would make it another one.
MAY_CHANGE = ("iterations", "minutes", "validation", "checkpoint_every", "card")


@dataclass(frozen=True)
class Machines:
    """Where to train, in Lightning's terms: ``device`` (auto, cpu, cuda, ...), devices of a machine (-1: all), machines."""

    device: str = "auto"
    devices: int = 1
    nodes: int = 1


def train(
    recipe: Recipe,
    output: Path,
    *,
    machines: Machines = Machines(),  # frozen
    resume: bool = False,
    progress: Progress | None = None,
    report: Report | None = None,
    after: After | None = None,
    images: Images | None = None,
) -> Path:
    """Train a model, or go on with it if `output` holds a checkpoint.

    Parameters
    ----------
    recipe : Recipe
    output : Path
        Folder for everything; its name is the model's. Absent, empty, or of this training.
    machines : Machines
    resume : bool
        Raise if there is nothing to go on with.
    progress : callable, optional
        ``progress(done, total)``, in images, while they are decoded.
    report : callable, optional
        ``report(share, row)`` after each iteration: how much is done, 0 to 1, and the row of the log if there is a new one.
    after : callable, optional
        ``after(training) -> bool`` after each iteration: whether to end, as Ctrl-C does.
    images : Images, optional
        What to train on, instead of the recipe's folders.

    Returns
    -------
    Path
        Of the ``.safetensors`` file.

    Raises
    ------
    EscError
        If something is missing or doesn't fit, before work starts.
    KeyboardInterrupt
        If it was ended early, by Ctrl-C, SIGTERM (its argument is the signal) or `after`; there is a checkpoint then.
    """
    started, output = time.monotonic(), named(output)
    if recipe.minutes:
        check_minutes(recipe.minutes)
    check_folder(output, TRAINED, is_ours)
    checkpoint = _checkpoint(recipe, output, resume)
    maker = make_maker(recipe.data.pairs, recipe.scale, recipe.data.patch, recipe.data.options)
    paths, measured = ([], []) if images else _find(recipe)
    with _quiet(), torch.random.fork_rng(_seeded_devices()), ExitStack() as stack:
        network, init = start_network(recipe)
        trainer = _trainer(recipe, output, machines)
        _check_batch(recipe, trainer.world_size)
        _check_memory(recipe, network, trainer)
        if trainer.is_global_zero and not images:  # of arrays it is a folder of nobody else's
            stack.enter_context(alone(output))
        module = make_training(network.to(memory_format=torch.channels_last), recipe)  # type: ignore[call-overload]
        module.started = started
        held_out = shares = None
        if not images:
            images, held_out = _open(recipe, paths, measured, maker, output, progress)
            shares = chances(images, recipe.data)
        card = asdict(recipe.card) | {"license": recipe.card.license or "unknown"}
        card["family"] = card["family"] or _family(recipe, init)
        pairs = Batches(held_out or images, maker, 1, seed=1)
        callback = TrainingCallback(output, recipe, card, pairs, _benchmark(recipe, held_out), report, after)
        trainer.callbacks.append(callback)  # type: ignore[attr-defined]
        write_recipe(recipe, output)
        batches = Batches(images, maker, recipe.data.batch, recipe.seed, trainer.global_rank, trainer.world_size, shares)
        with _crew(trainer, module) as module.crew:
            _fit(trainer, module, _loader(batches, recipe.data.workers, module), checkpoint)
    if callback.stopped_by is not None:
        raise KeyboardInterrupt(callback.stopped_by)  # the command line says so, and ends with its exit code
    return output / file_name(output.name)


def _check_memory(recipe: Recipe, network: ESC, trainer: lightning.Trainer) -> None:
    """Raise an `EscError` if a batch doesn't fit into memory; a GPU says so itself."""
    data, more = recipe.data, 0.0
    if trainer.strategy.root_device.type == "cpu":
        part = data.batch // trainer.world_size
        more = gradient_bytes(network, data.patch, data.patch, part, getattr(torch, recipe.precision))
    check_floor(f"training with {data.batch} patches of {data.patch} x {data.patch} (data.batch, data.patch)", more)


def make_training(network: ESC, recipe: Recipe) -> Training:
    """Return the training that a recipe's loss asks for."""
    return (GanTraining if recipe.loss.gan or recipe.loss.perceptual else Training)(network, recipe)


def _crew(trainer: lightning.Trainer, module: Training) -> Crew:
    # A step of the discriminator wants all of the network's output.
    return Crew(1 if isinstance(module, GanTraining) else crew_size(trainer.strategy.root_device))


def _fit(trainer: lightning.Trainer, module: Training, loader: DataLoader[Any], checkpoint: Path | None) -> None:
    try:
        trainer.fit(module, loader, ckpt_path=checkpoint)
    except torch.OutOfMemoryError:
        raise EscError(f"{module.device} has no memory for such batches; lower data.batch or data.patch.") from None
    except OSError as error:  # a full disk, for one
        raise EscError(
            f"the training can't be written: {error.strerror or error}. The same command goes on from the last checkpoint."
        ) from None


def _checkpoint(recipe: Recipe, output: Path, resume: bool) -> Path | None:
    path = output / CHECKPOINT
    if not path.is_file():
        if resume:
            raise RecipeError(f"there is nothing to go on with in {str(output)!r}: it holds no {CHECKPOINT}.")
        return None
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)["esc"]
    except Exception:  # torch raises almost anything on damaged files, and on those of other programs
        raise RecipeError(
            f"{str(path)!r} is no checkpoint that can be gone on with; name another --output, or delete it to begin anew."
        ) from None
    other = [name for name, value in asdict(recipe).items() if name not in MAY_CHANGE and not _same(name, value, stored)]
    if other:
        raise RecipeError(
            f"{str(output)!r} holds a training with another {', '.join(other)}; take that recipe, or another --output."
        )
    return path


def _same(name: str, value: Any, stored: dict[str, Any]) -> bool:
    before = stored["recipe"].get(name)
    if isinstance(usual := asdict(Recipe(init="any"))[name], dict):  # older checkpoints know fewer entries
        before = usual | before
    if name == "data":  # who makes the pairs doesn't change them
        value, before = ({k: v for k, v in d.items() if k != "workers"} for d in (value, before))
    return bool(value == before)


def _find(recipe: Recipe) -> tuple[list[Path], list[Path]]:
    """Find the images to train on and those to measure with."""
    data = recipe.data
    if not data.folders and not data.synthetic.images:
        raise RecipeError("data.folders: missing; name folders of images with --data.")
    check_shares(data)
    paths, held_out = find_originals(data.folders) if data.folders else [], list[Path]()
    if recipe.validation.folder:
        held_out = find_originals([recipe.validation.folder])
        if both := {path.resolve() for path in paths} & {path.resolve() for path in held_out}:
            raise RecipeError(f"validation.folder: {str(min(both))!r} is trained on too; measure on other images.")
    return paths, held_out


def _open(
    recipe: Recipe,
    paths: list[Path],
    held_out: list[Path],
    maker: PairMaker,
    output: Path,
    progress: Progress | None,
) -> tuple[Images, Images | None]:
    """Decode them; first those that are fewer."""
    # The generator only matters for makers that draw a size; the largest is for the highest scale.
    smallest = maker.scale * maker.patch
    measured = open_images(held_out, output / CACHE, smallest, progress) if held_out else None
    drawn = recipe.data.synthetic
    drawing = Drawing(drawn.kind, drawn.images, max(EDGE, smallest), recipe.seed) if drawn.images else None
    return open_images(paths, output / CACHE, smallest, progress, drawing), measured


def _benchmark(recipe: Recipe, held_out: Images | None) -> Path | None:
    """Return the validation folder if ``esc-sr evaluate`` could measure it: bicubic pairs of 8-bit images."""
    folder = Path(recipe.validation.folder)
    if held_out is None or recipe.data.pairs != "bicubic":
        return None
    fits = all(entry.dtype == "uint8" and Path(entry.name).parent == folder for entry in held_out.entries)
    return folder if fits else None


def _check_batch(recipe: Recipe, world: int) -> None:
    if recipe.data.batch % world:
        raise RecipeError(f"data.batch: {recipe.data.batch} patches can't be shared evenly by {world} devices.")


def _family(recipe: Recipe, init: Model | None) -> str:
    if isinstance(recipe.model, str):
        return recipe.model or (init.card.get("family", "") if init else "")
    return ""


def _trainer(recipe: Recipe, output: Path, machines: Machines) -> lightning.Trainer:
    try:
        return _lightning_trainer(recipe, output, machines)
    except (ValueError, RuntimeError, MisconfigurationException) as error:  # an accelerator that isn't there, for one
        raise EscError(f"can't train on {machines.devices} x {machines.device!r}: {' '.join(str(error).split())}") from None


def _lightning_trainer(recipe: Recipe, output: Path, machines: Machines) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator=machines.device,
        devices=machines.devices,
        num_nodes=machines.nodes,
        strategy=_strategy(recipe, machines),
        precision=LIGHTNING_PRECISION[recipe.precision],  # type: ignore[arg-type]
        max_epochs=-1,
        logger=TensorBoardLogger(output, name="", version="tensorboard"),
        use_distributed_sampler=False,  # `Batches` takes its share itself
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _strategy(recipe: Recipe, machines: Machines) -> str:
    # A step of the network leaves the discriminator's gradients out, which DDP must be told.
    one = machines.devices == machines.nodes == 1
    return "auto" if one or not (recipe.loss.gan or recipe.loss.perceptual) else "ddp_find_unused_parameters_true"


def _loader(batches: Batches, workers: int, module: Training) -> DataLoader[Any]:
    return DataLoader(
        batches,
        batch_size=None,
        sampler=From(lambda: module.iteration),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


@rank_zero_only
def write_recipe(recipe: Recipe, output: Path) -> None:
    """Write all of a recipe down as ``recipe.yaml``, so that the same training can be had again."""
    write_text(output / "recipe.yaml", yaml.safe_dump(_plain(asdict(recipe)), sort_keys=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _seeded_devices() -> list[int]:
    """Return the GPUs whose chance a seed changes, which a program that trains in one of its threads wants back."""
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Lightning's remarks on what we chose on purpose, in the meantime alone, and what is told twice.

    Not by `warnings.catch_warnings`, which puts all filters back: a program that trains in a thread may have changed some.
    """
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    ignored = ("ignore", None, Warning, re.compile("lightning"), 0)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    warnings.filters.insert(0, ignored)  # type: ignore[attr-defined]
    before = threading.excepthook

    def told(failure: threading.ExceptHookArgs) -> None:
        # What TensorBoard's thread couldn't write is raised again in the one that trains.
        if not type(failure.thread).__module__.startswith("tensorboard."):
            before(failure)

    threading.excepthook = told
    try:
        yield
    finally:
        threading.excepthook = before
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        with suppress(ValueError):
            warnings.filters.remove(ignored)  # type: ignore[attr-defined]
