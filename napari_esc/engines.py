"""Models ready to run, kept between runs, and how long they take. It imports torch, so no window waits for it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esc_plugin import Model, Upscaler

#: Edge of the image on which the speed is measured. A GPU needs a large one to be busy.
PROBE_CPU, PROBE_DEVICE = 64, 512


@dataclass
class Engine:
    """A model on a device.

    Attributes
    ----------
    upscaler : Upscaler
        What runs.
    rate : float
        Units of work (see `work`) per second; 0 until it is known.
    """

    upscaler: Upscaler
    rate: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def work(self, size: tuple[int, int], target: tuple[int, int]) -> float:
        """Return the multiplications that it takes to bring a plane from one height and width to another."""
        from esc_plugin.resample import runs_needed

        network, scale = self.upscaler.network, self.upscaler.model.scale
        any_scale = network.config.any_scale
        total = 0.0
        for _ in range(runs_needed(size, target, scale, any_scale)):
            geometry = network.geometry(*size, target if any_scale else None)
            total += network.program(geometry).cost * geometry.grid[0] * geometry.grid[1]
            size = geometry.output
        return total

    def seconds(self, size: tuple[int, int], target: tuple[int, int]) -> float:
        """Predict how long a plane takes; the first time a small image is run to see."""
        with self.lock:
            if not self.rate:
                self._measure()
        return self.work(size, target) / self.rate

    def learn(self, work: float, seconds: float) -> None:
        """Take over what a real run has shown, unless it was too short to tell."""
        if seconds > 1 and work:
            self.rate = work / seconds

    def device_words(self) -> str:
        """Return what it runs on, for people."""
        import torch

        device = self.upscaler.device
        if device.type == "cuda":
            return torch.cuda.get_device_name(device)
        if device.type == "mps":
            return "Apple GPU"
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' * (threads > 1)}"

    def _measure(self) -> None:
        import torch

        edge = PROBE_CPU if self.upscaler.device.type == "cpu" else PROBE_DEVICE
        image = torch.full((1, 3, edge, edge), 0.5)
        self.upscaler.run(image)  # the first one warms up
        start = time.perf_counter()
        self.upscaler.run(image)
        scale = self.upscaler.model.scale
        self.rate = self.work((edge, edge), (edge * scale, edge * scale)) / (time.perf_counter() - start)


_lock = threading.Lock()
_models: dict[str, Model] = {}
_engines: dict[tuple[str, str, int], Engine] = {}


def engine_for(model: str, device: str = "auto", memory_limit: int | None = None) -> Engine:
    """Return a model on a device; the last one is kept, so that asking again costs nothing.

    Parameters
    ----------
    model : str
        See `esc_plugin.load_model`.
    device : str
        See `esc_plugin.Upscaler`.
    memory_limit : int, optional
        In bytes.

    Raises
    ------
    EscError
        If the model or the device can't be had.
    """
    from esc_plugin import Upscaler, load_model

    key = (model, device, memory_limit or 0)
    with _lock:
        if key not in _engines:
            if model not in _models:
                loaded = load_model(model)
                _models.clear()
                _models[model] = loaded
            engine = Engine(Upscaler(_models[model], device=device, memory_limit=memory_limit))
            # The speed doesn't depend on the memory limit by much.
            known = [kept.rate for (m, d, _), kept in _engines.items() if (m, d) == (model, device)]
            engine.rate = known[0] if known else 0.0
            _engines.clear()
            _engines[key] = engine
        return _engines[key]


def forget() -> None:
    """Free all models."""
    with _lock, suppress(KeyError):
        _engines.clear()
        _models.clear()
