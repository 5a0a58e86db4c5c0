"""What a training leaves in its folder: checkpoints, the log, samples, and the model with its card."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import lightning
import torch

from ..network import ESC
from ..weights.convert import save_model
from ..weights.model import Model, read_model
from ..weights.publish import model_card
from ..weights.store import replacing, write_text
from .batches import Batches
from .log import Bar, Log, draw_curve
from .measure import Found, measure_folder, measure_pairs, sample_picture
from .recipe import Recipe
from .task import Training

CHECKPOINT = "last.ckpt"
#: Iterations between two rows of the log.
LOG_EVERY = 50


class Keeper(lightning.Callback):
    """Counts iterations and writes what is due after each.

    Parameters
    ----------
    folder : Path
        Of the results; its name is the model's.
    recipe : Recipe
    card : dict
        See `Model.card`.
    pairs : Batches
        For sample pictures, and to measure where the field has no protocol; always the same ones.

    Attributes
    ----------
    stopped_by : int, optional
        The signal that ended it early.
    """

    def __init__(self, folder: Path, recipe: Recipe, card: dict[str, Any], pairs: Batches) -> None:
        self.folder, self.recipe, self.card, self.pairs = folder, recipe, card, pairs
        self.stopped_by: int | None = None
        self._signal = 0
        self._sums: dict[str, torch.Tensor] = {}
        self._summed = 0
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Open the log; from here on Ctrl-C means: stop after this iteration, with a checkpoint."""
        assert isinstance(module, Training)
        trainer.should_stop = module.progress >= 1  # gone on with, but nothing is left to do
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._stop)
        if trainer.is_global_zero:
            self.log, self.bar = Log(self.folder, module.iteration), Bar(self.folder.name)

    def _stop(self, number: int, frame: Any) -> None:
        if self._signal:  # asked twice
            raise KeyboardInterrupt
        self._signal = number

    def on_train_batch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule, *_: Any) -> None:
        """Count, log, measure, keep."""
        assert isinstance(module, Training)
        module.count()
        self._sum(module.losses)
        if self._asked_to_stop(module):
            trainer.should_stop = True
        last, number = trainer.should_stop, module.iteration
        validate = number % self.recipe.validation.every == 0 or (last and self.stopped_by is None)
        if trainer.is_global_zero and (validate or last or number % LOG_EVERY == 0):
            self._report(trainer, module, validate)
        if last or number % self.recipe.checkpoint_every == 0:
            trainer.save_checkpoint(self.folder / CHECKPOINT)

    def _asked_to_stop(self, module: Training) -> bool:
        # A signal reaches the devices' processes in different iterations; all must end with the same one.
        if module.agrees_now:
            self.stopped_by = int(module.agreed(self._signal)) or None
        return self.stopped_by is not None

    def _sum(self, losses: dict[str, torch.Tensor]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().float()
        self._summed += 1

    def _report(self, trainer: lightning.Trainer, module: Training, validate: bool) -> None:
        row = {name: float(value) / self._summed for name, value in self._sums.items()}
        self._sums, self._summed = {}, 0
        row |= {"iteration": module.iteration, "seconds": module.seconds, "learning_rate": module.learning_rate}
        if validate:
            found = self.export(module)
            if found:
                row |= {"psnr": found.psnr, "bicubic": found.bicubic}
        self.log.add(row)
        self.bar.show(module.progress, row, important=validate)
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in row.items() if k != "iteration"}, step=module.iteration)

    def export(self, module: Training) -> Found | None:
        """Measure the averaged weights, draw samples, and write the model with its card."""
        network = ESC(module.network.config)
        network.load_state_dict(module.average.module.state_dict())
        network = network.to(module.device).eval().requires_grad_(False)
        (self.folder / "samples").mkdir(exist_ok=True)
        with replacing(self.folder / "samples" / f"{module.iteration:08}.png") as beside:
            sample_picture(network, self.pairs, module.device).save(beside, format="png")
        model = Model(network, network.config, self.folder.name, "esc-sr train", "", dict(self.card))
        found = self._measure(model, module.device)
        model.card["training"] = self.card["training"] or training_text(self.recipe, module.iteration, module.seconds)
        if found and found.figures:
            model.card.update(figures=found.figures, ssim=found.ssim)
        network.to("cpu")
        write_model(model, self.folder)
        return found

    def _measure(self, model: Model, device: torch.device) -> Found | None:
        folder = self.recipe.validation.folder
        if not folder:
            return None
        if self.recipe.data.pairs == "bicubic":
            return measure_folder(model, Path(folder), str(device))
        return measure_pairs(model.network, self.pairs, device)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Draw the curve."""
        if trainer.is_global_zero:
            self.bar.close()
            draw_curve(self.log.path, self.folder / "curve.png", self.folder.name)
        self._restore()

    def on_exception(self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        if hasattr(self, "bar"):
            self.bar.close()
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def write_model(model: Model, folder: Path) -> None:
    """Write weights, ``config.json`` and the card, in place of those that are there."""
    weights = save_model(model, folder, force=True)
    card = model_card(read_model(weights, card=model.card), f"YOU/{model.name}", weights.name)
    write_text(folder / "README.md", card)


def training_text(recipe: Recipe, iterations: int, seconds: float) -> str:
    """Say in a sentence how a model was trained."""
    data, optimizer, loss = recipe.data, recipe.optimizer, recipe.loss
    weights = {"L1": loss.l1, "perceptual": loss.perceptual, "GAN": loss.gan}
    terms = " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in weights.items() if weight)
    begin = f"From the weights of {Path(recipe.init).stem}" if recipe.init else "From nothing"
    folders = ", ".join(Path(folder).name for folder in data.folders)
    return (
        f"{begin}, {iterations:,} iterations of {data.batch} patches of {data.patch} pixels ({data.pairs}) in "
        f"{seconds / 60:,.0f} minutes; {terms}, AdamW {optimizer.lr:g}, {recipe.schedule.kind}, EMA {recipe.ema:g}; "
        f"images of {folders}."
    )
