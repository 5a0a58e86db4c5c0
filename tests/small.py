"""Networks that are quick, and one whose output is known without running it."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from esc_plugin import Model, Upscaler
from esc_plugin.network import ESC, EscConfig


def small_config(scale: int = 2, head: str = "classic") -> EscConfig:
    return EscConfig(
        dim=16,
        pdim=8,
        kernel_size=3,
        n_blocks=1,
        conv_blocks=1,
        window_size=8,
        num_heads=2,
        proj_hidden=32,
        conv_hidden=20,
        scale=scale,
        head=head,
        **({"mid_dim": 16, "mlp_hidden": (16,)} if head == "lte" else {}),
    )


def random_upscaler(scale: int = 2, head: str = "classic") -> Upscaler:
    """Return a network that changes what it sees."""
    torch.manual_seed(1)
    config = small_config(scale, head)
    return Upscaler(Model(ESC(config).eval(), config, "random", "test", ""), device="cpu")


def nearest_upscaler(scale: int = 2) -> Upscaler:
    """Return a network that repeats each pixel: the classic head adds its convolution, here zero, to just that."""
    config = small_config(scale)
    network = ESC(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    return Upscaler(Model(network.eval(), config, "nearest", "test", ""), device="cpu")


def stop_at(iteration: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C after an iteration of a training."""
    from esc_plugin.train.training import Training

    count = Training.count

    def counted(training: Training) -> None:
        count(training)
        if training.iteration == iteration:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Training, "count", counted)


def noise_photos(folder: Path, shape: tuple[int, int]) -> Path:
    """Make a folder with two photos (H, W) of nothing but noise, and return it."""
    folder.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (*shape, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


class FakeClock:
    """A `time.monotonic` that stands still but for what is said to take time, on however busy a machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self._monkeypatch, self._start = 0.0, monkeypatch, time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: self._start + self.now)

    def takes(self, seconds: float, owner: Any, name: str) -> None:
        """Let each call of a function take so many seconds."""
        function = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            self.now += seconds
            return function(*arguments, **options)

        self._monkeypatch.setattr(owner, name, timed)
