"""Models ready to run, kept between runs, and how long they take. It imports torch, so no window waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from esc_plugin import Model, Upscaler


@dataclass
class Engine:
    """A model on a device.

    Attributes
    ----------
    upscaler : Upscaler
        What runs.
    rates : dict of str to float
        Units of work (see `work`) per second, by precision, as far as they are known.
    """

    upscaler: Upscaler
    rates: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def work(self, size: tuple[int, int], target: tuple[int, int]) -> float:
        """Return the multiplications that it takes to bring a plane from one height and width to another."""
        from esc_plugin.measure.duration import work

        return work(self.upscaler, size, target)

    def seconds(self, image: Any, size: tuple[int, int], target: tuple[int, int]) -> float:
        """Predict how long a plane of an image takes; the first time a small one is run to see."""
        from esc_plugin.measure.duration import measure_rate
        from esc_plugin.upscaler import bits_of

        precision = self.upscaler.precision_for(image)
        with self.lock:
            if precision not in self.rates:
                self.rates[precision] = measure_rate(self.upscaler, bits_of(image))
        return self.work(size, target) / self.rates[precision]

    def learn(self, image: Any, work: float, seconds: float) -> None:
        """Take over what a real run has shown, unless it was too short to tell."""
        if seconds > 1 and work:
            self.rates[self.upscaler.precision_for(image)] = work / seconds

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


_lock = threading.Lock()
_models: dict[str, Model] = {}
_engines: dict[tuple[str, str, int], Engine] = {}


def engine_for(
    model: str,
    device: str = "auto",
    memory_limit: int | None = None,
    *,
    offline: bool = False,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Engine:
    """Return a model on a device; the last one is kept, so that asking again costs nothing.

    Parameters
    ----------
    model : str
        See `esc_plugin.load_model`.
    device : str
        See `esc_plugin.Upscaler`.
    memory_limit : int, optional
        In bytes.
    offline : bool
        Use only what is on this machine.
    progress, cancel : callable, optional
        Of a download.

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
                loaded = load_model(model, offline=offline, progress=progress, cancel=cancel)
                _models.clear()
                _models[model] = loaded
            engine = Engine(Upscaler(_models[model], device=device, memory_limit=memory_limit))
            # The speed doesn't depend on the memory limit by much.
            for (m, d, _), kept in _engines.items():
                if (m, d) == (model, device):
                    engine.rates = kept.rates
            _engines.clear()
            _engines[key] = engine
        return _engines[key]
