"""The model that was loaded last, and how fast it is. Torch is imported when one is loaded, for which no window waits."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from esc_plugin.progress import Cancel, Progress

if TYPE_CHECKING:
    from esc_plugin import Upscaler

#: Seconds that a run must last for its speed to be believed.
LEAST_SECONDS = 1.0


@dataclass(frozen=True)
class LoadedModel:
    """A model on a device.

    Attributes
    ----------
    name, device : str
        As the user named them.
    upscaler : Upscaler
        What runs.
    rates : dict of str to float
        Multiplications per second, by precision, as far as they are known.
    """

    name: str
    device: str
    upscaler: Upscaler
    rates: dict[str, float] = field(default_factory=dict)
    _measuring: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def seconds(self, image: Any, size: tuple[int, int], target: tuple[int, int]) -> float:
        """Predict how long it takes to bring a plane of an image from `size` to `target`, height and width.

        The first time, a small plane is run to see.
        """
        from esc_plugin.measure.duration import measure_rate
        from esc_plugin.upscaler import bits_of

        precision = self.upscaler.precision_for(image)
        with self._measuring:
            if precision not in self.rates:
                self.rates[precision] = measure_rate(self.upscaler, bits_of(image))
        return self._multiplications(size, target) / self.rates[precision]

    def learn(self, image: Any, size: tuple[int, int], target: tuple[int, int], planes: int, seconds: float) -> None:
        """Take over the speed that a real run has shown, unless it was too short to tell."""
        if seconds > LEAST_SECONDS and (done := self._multiplications(size, target) * planes):
            self.rates[self.upscaler.precision_for(image)] = done / seconds

    def device_text(self) -> str:
        """Return what it runs on, for people."""
        import torch

        device = self.upscaler.device
        if device.type == "cuda":
            return str(torch.cuda.get_device_name(device))
        if device.type == "mps":
            return "Apple GPU"
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' * (threads > 1)}"

    def _multiplications(self, size: tuple[int, int], target: tuple[int, int]) -> float:
        from esc_plugin.measure.duration import work

        return work(self.upscaler, size, target)


_lock = threading.Lock()
_last: LoadedModel | None = None


def load_on_device(
    model: str,
    device: str = "auto",
    memory_limit: int | None = None,
    *,
    offline: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> LoadedModel:
    """Return a model on a device; the last one is kept, so that asking again costs nothing.

    Parameters
    ----------
    model : str
        A name on offer, a path or a repository of the Hub, see `esc_plugin.load_model`.
    device : str
        ``"auto"`` or a torch device.
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
    global _last  # what is kept is one thing
    from esc_plugin import Upscaler, load_model

    with _lock:
        last = _last
        if last is None or last.name != model:
            loaded = load_model(model, offline=offline, progress=progress, cancel=cancel)
            last = LoadedModel(model, device, Upscaler(loaded, device=device, memory_limit=memory_limit))
        elif last.device != device:
            last = LoadedModel(model, device, Upscaler(last.upscaler.model, device=device, memory_limit=memory_limit))
        elif last.upscaler.memory_limit != memory_limit:
            # The speed doesn't depend on the limit by much.
            last = replace(last, upscaler=last.upscaler.with_memory_limit(memory_limit))
        _last = last
        return last
