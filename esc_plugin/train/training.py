"""What happens in an iteration, as Lightning wants it: loss, optimizer, moving average, and when it is over."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import partial
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ..arrays.filters import sharpen
from ..network import ESC
from .crew import Crew, mean_loss
from .framework import lightning
from .recipe import Recipe

#: Low- and high-resolution patches, (B, 3, h, w) and (B, 3, H, W), float32 in 0..1.
Batch = tuple[Tensor, Tensor]
#: Iterations between two moments at which several devices agree on the time and on whether to stop.
AGREE_EVERY = 10


class Training(lightning.LightningModule):
    """Fit a network to pairs by L1, L2 or both.

    A training with other terms overrides `training_step`, and `configure_optimizers` if it has another optimizer. The
    counting, the learning rate (of all optimizers), the average and the checkpoint are here.

    Parameters
    ----------
    network : ESC
        It is trained in place.
    recipe : Recipe

    Attributes
    ----------
    iteration : int
        Iterations done. (Lightning's `global_step` counts the steps of all optimizers.)
    average : AveragedModel
        The exponential moving average of the network's weights; its `module` is an ESC.
    started : float
        When this part of it was begun, as of `time.monotonic`: reading images belongs to it.
    measuring : float
        Seconds that measuring and writing take at the end. The minutes of the recipe include them.
    crew : Crew
        Among which batches are divided.
    losses : dict of str to Tensor
        Of the last iteration, by name, detached; what the log shows. "loss" is their weighted sum.
    """

    def __init__(self, network: ESC, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.network = network.train().requires_grad_(True)
        average = AveragedModel(network, multi_avg_fn=partial(_average, recipe.ema))
        self.average = average.requires_grad_(False)
        self.iteration = 0
        self.losses: dict[str, Tensor] = {}
        self.crew = Crew()
        self.started = time.monotonic()
        self.measuring = 0.0
        self._seconds_before = self._seconds = self._reserve = 0.0

    def forward(self, low: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, 3, h, w) -> (B, 3, *size), not clipped."""
        found: Tensor = self.network(low.to(memory_format=torch.channels_last), size)
        return found

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Return the loss of a batch."""
        loss = mean_loss(self.crew, self._loss, batch, self.network.parameters())
        self.losses = {"loss": loss.detach()}
        return loss

    def _loss(self, low: Tensor, high: Tensor) -> Tensor:
        weights, wanted = self.recipe.loss, self.target(high)
        found = self(low, cast("tuple[int, int]", tuple(high.shape[-2:])))
        terms = ((weights.l1, F.l1_loss), (weights.l2, F.mse_loss))
        return torch.stack([weight * term(found, wanted) for weight, term in terms if weight]).sum()

    def target(self, high: Tensor) -> Tensor:
        """Return what is to be learned: high-resolution patches (B, 3, H, W), sharpened if the recipe says so."""
        return sharpen(high) if self.recipe.loss.sharpen else high

    def configure_optimizers(self) -> Any:
        """AdamW over the network; the learning rate is set before each iteration."""
        return self.adamw(self.network)

    def adamw(self, module: torch.nn.Module) -> torch.optim.AdamW:
        """Return the recipe's optimizer for the parameters of a module."""
        o = self.recipe.optimizer
        betas = cast("tuple[float, float]", o.betas)
        return torch.optim.AdamW(module.parameters(), o.lr, betas, weight_decay=o.weight_decay)

    def generator(self) -> np.random.Generator:
        """Return a source of chance that is this iteration's own (and this device's), resumed or not."""
        return np.random.default_rng([self.recipe.seed, self.iteration, self.global_rank, 1])

    @property
    def progress(self) -> float:
        """Share of the training that is done: of its minutes if it has them, otherwise of its iterations."""
        if self.recipe.minutes:
            return min(self._seconds / (60 * self.recipe.minutes - self._reserve), 1.0)
        return min(self.iteration / self.recipe.iterations, 1.0)

    @property
    def seconds(self) -> float:
        """Time spent on it, over all its parts if it was resumed."""
        return self._seconds

    @property
    def ends_soon(self) -> bool:
        """Whether measuring now would leave no time before the measuring at the end."""
        minutes = self.recipe.minutes
        return bool(minutes) and self._seconds + self.measuring >= 60 * minutes - self._reserve

    @property
    def learning_rate(self) -> float:
        """Of the iteration to come."""
        # Taken in its middle: the first of a warm-up would do nothing at a rate of 0.
        half = 0 if self.recipe.minutes else 0.5 / self.recipe.iterations
        return self.recipe.optimizer.lr * self.recipe.schedule.rate(min(self.progress + half, 1.0))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient."""
        if self.recipe.optimizer.clip:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.recipe.optimizer.clip)

    def on_train_batch_start(self, batch: Batch, number: int) -> None:
        """Set the learning rate."""
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate

    def count(self) -> None:
        """Count, average, and stop when it is over: after each iteration, before anything is written of it."""
        self.iteration += 1
        self.average.update_parameters(self.network)
        self._tell_time()
        if self.progress >= 1:
            self.trainer.should_stop = True

    def _tell_time(self) -> None:
        seconds = self._seconds_before + time.monotonic() - self.started
        if not self.recipe.minutes:
            self._seconds = seconds
        elif self.agrees_now:  # all devices must set the same learning rate
            self._seconds = self.agreed(seconds)
            # Never more than half: something must be learned.
            self._reserve = min(self.agreed(self.measuring), 30 * self.recipe.minutes)

    @property
    def agrees_now(self) -> bool:
        """Whether this is an iteration after which the devices compare notes: not all, because they wait for each other."""
        return self.trainer.world_size == 1 or self.iteration % AGREE_EVERY == 0

    def agreed(self, value: float) -> float:
        """Return the largest of the devices' values; all must call it after the same iteration."""
        if self.trainer.world_size == 1:
            return value
        return float(self.trainer.strategy.reduce(torch.tensor(value, device=self.device), reduce_op="max"))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning doesn't know."""
        checkpoint["esc"] = {"iteration": self.iteration, "seconds": self._seconds, "recipe": asdict(self.recipe)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        self.iteration = checkpoint["esc"]["iteration"]
        self._seconds = self._seconds_before = checkpoint["esc"]["seconds"]


@torch.no_grad()
def _average(decay: float, averaged: Any, current: Any, count: Any) -> None:
    """Take an iteration into the average of those before, by the number of which the decay rises to what the recipe says.

    With all of it from the start, a short training would hold more of the weights it began with than of what it learned.
    """
    kept = min(decay, (1 + int(count)) / (10 + int(count)))
    torch._foreach_lerp_(averaged, current, 1 - kept)
