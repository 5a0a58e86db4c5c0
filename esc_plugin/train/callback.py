"""What a training leaves in its folder: checkpoints, the log, samples, and the model with its card."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from ..catalog.publish import model_card
from ..disk import replacing, write_text
from ..errors import EscError
from ..network import ESC
from ..weights.model import Model, read_model
from .batches import Batches
from .folder import CHECKPOINT
from .framework import lightning
from .log import Log, draw_curve
from .recipe import Recipe
from .training import Training
from .validation import Figures, measure_folder, measure_pairs, sample_picture

#: Iterations between two rows of the log.
LOG_EVERY = 50
#: ``report(share, row)``, called after each iteration: how much of the training is done, 0 to 1, and the new row of the log,
#: by its columns; empty if there is none.
Report = Callable[[float, dict[str, float]], None]
#: ``after(training) -> bool``, called after each iteration: whether the training shall end with it, as by Ctrl-C. What it
#: raises ends it at once.
After = Callable[[Training], bool]


class TrainingCallback(lightning.Callback):
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
    benchmark : Path, optional
        A folder to measure by the protocol.
    report, after : callable, optional
        See `Report` and `After`.

    Attributes
    ----------
    stopped_by : int, optional
        The signal that ended it early, or 1 where `after` did.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        card: dict[str, Any],
        pairs: Batches,
        benchmark: Path | None = None,
        report: Report | None = None,
        after: After | None = None,
    ) -> None:
        self.folder, self.recipe, self.card, self.pairs, self.benchmark = folder, recipe, card, pairs, benchmark
        self.report = report or (lambda share, row: None)
        self.after = after or (lambda training: False)
        self.stopped_by: int | None = None
        self._signal = 0
        self._sums: dict[str, torch.Tensor] = {}
        self._summed = 0
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Open the log; from here on Ctrl-C means: stop after this iteration, with a checkpoint."""
        assert isinstance(module, Training)
        trainer.should_stop = module.progress >= 1  # gone on with, but nothing is left to do
        if threading.current_thread() is threading.main_thread():  # only there Python hears of signals
            self._handlers = {n: signal.signal(n, self._stop) for n in (signal.SIGINT, signal.SIGTERM)}
        if trainer.is_global_zero:
            self.log = Log(self.folder, module.iteration)
            if self.recipe.minutes and self.recipe.validation.folder and not trainer.should_stop:
                begun = time.monotonic()
                self._measure(self._model(module), module)
                module.measuring = time.monotonic() - begun
            if trainer.should_stop and not self._sample(module).is_file():
                self.export(module)  # it was stopped in its last iteration, of which there is no model yet

    def _stop(self, number: int, frame: Any) -> None:
        if self._signal:  # asked twice
            raise KeyboardInterrupt(number)
        self._signal = number

    def on_train_batch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule, *_: Any) -> None:
        """Count, log, measure, keep."""
        assert isinstance(module, Training)
        module.count()
        self._sum(module.losses)
        if self._asked_to_stop(module):
            trainer.should_stop = True
        last, number = trainer.should_stop, module.iteration
        due = number % self.recipe.validation.every == 0 and not module.ends_soon
        validate = due or (last and self.stopped_by is None)
        if trainer.is_global_zero:
            logs = validate or last or number % LOG_EVERY == 0
            self.report(module.progress, self._log_row(trainer, module, validate) if logs else {})
        if last or number % self.recipe.checkpoint_every == 0:
            self._save(trainer)

    def _save(self, trainer: lightning.Trainer) -> None:
        # Lightning writes into the system's temporary folder and copies from there, which a full disk would cut off.
        if trainer.is_global_zero:
            with replacing(self.folder / CHECKPOINT) as beside:
                trainer.save_checkpoint(beside)
        else:  # it tells the first process what it knows, and writes nothing
            trainer.save_checkpoint(self.folder / CHECKPOINT)

    def _asked_to_stop(self, module: Training) -> bool:
        self._signal = self._signal or int(self.after(module))
        # A signal reaches the devices' processes in different iterations; all must end with the same one.
        if module.agrees_now:
            self.stopped_by = int(module.agreed(self._signal)) or None
        return self.stopped_by is not None

    def _sum(self, losses: dict[str, torch.Tensor]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().float()
        self._summed += 1

    def _log_row(self, trainer: lightning.Trainer, module: Training, validate: bool) -> dict[str, float]:
        row = {name: float(value) / self._summed for name, value in self._sums.items()}
        self._sums, self._summed = {}, 0
        if not isfinite(row["loss"]):  # before it reaches the model that is there, or the checkpoint
            raise EscError(
                f"the loss is {row['loss']} at iteration {module.iteration:,}; lower optimizer.lr, or set optimizer.clip."
            )
        row |= {"iteration": module.iteration, "seconds": module.seconds, "learning_rate": module.learning_rate}
        if validate:
            begun = time.monotonic()
            found = self.export(module)
            module.measuring = time.monotonic() - begun
            if found:
                row |= {"psnr": found.psnr, "bicubic": found.bicubic}
        self.log.add(row)
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in row.items() if k != "iteration"}, step=module.iteration)
        return row

    def export(self, module: Training) -> Figures | None:
        """Measure the averaged weights, draw samples, and write the model with its card."""
        model = self._model(module)
        with replacing(self._sample(module)) as beside:
            sample_picture(model.network, self.pairs, module.device).save(beside, format="png")
        found = self._measure(model, module)
        model.card["training"] = self.card["training"] or training_text(self.recipe, module.iteration, module.seconds)
        if found and found.figures:
            model.card.update(figures=found.figures, ssim=found.ssim)
        model.network.to("cpu")
        write_model(model, self.folder)
        return found

    def _sample(self, module: Training) -> Path:
        return self.folder / "samples" / f"{module.iteration:08}.png"

    def _model(self, module: Training) -> Model:
        network = ESC(module.network.config)
        network.load_state_dict(module.average.module.state_dict())
        network = network.to(module.device).eval().requires_grad_(False)
        return Model(network, network.config, self.folder.name, "esc-sr train", "", dict(self.card))

    def _measure(self, model: Model, module: Training) -> Figures | None:
        if self.benchmark:
            with module.crew.resting():
                return measure_folder(model, self.benchmark, str(module.device))
        return measure_pairs(model.network, self.pairs, module.device) if self.recipe.validation.folder else None

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Draw the curve."""
        if trainer.is_global_zero:
            draw_curve(self.log.path, self.folder / "curve.png", self.folder.name)
        self._restore()

    def on_exception(self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException) -> None:
        """Hear signals as before."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def write_model(model: Model, folder: Path) -> Path:
    """Write weights, ``config.json`` and the card, in place of those that are there; return the first."""
    weights = model.save_pretrained(folder, force=True)
    card = model_card(read_model(weights, card=model.card), f"YOU/{model.name}", weights.name)
    write_text(folder / "README.md", card)
    return weights


def training_text(recipe: Recipe, iterations: int, seconds: float) -> str:
    """Say in a sentence how a model was trained."""
    data, optimizer, loss = recipe.data, recipe.optimizer, recipe.loss
    weights = {"L1": loss.l1, "L2": loss.l2, "perceptual": loss.perceptual, "GAN": loss.gan}
    terms = " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in weights.items() if weight)
    begin = f"From the weights of {Path(recipe.init).stem}" if recipe.init else "From nothing"
    folders = ", ".join(Path(folder).name for folder in data.folders)
    drawn = f"{data.synthetic.images:,} synthetic structures" if data.synthetic.images else ""
    sources = " and ".join(filter(None, (folders and f"images of {folders}", drawn)))
    return (
        f"{begin}, {iterations:,} iterations of {data.batch} patches of {data.patch} pixels ({data.pairs}) in "
        f"{seconds / 60:,.0f} minutes; {terms}, AdamW {optimizer.lr:g}, {recipe.schedule.kind}, EMA {recipe.ema:g}; "
        f"{sources}."
    )
