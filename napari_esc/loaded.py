"""The model that was loaded last, and how fast it is. Torch is imported when one is loaded, for which no window waits."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from esc_plugin.progress import Cancel, Progress

if TYPE_CHECKING:
    from esc_plugin import Upscaler
    from esc_plugin.measure.duration import Speed


@dataclass(frozen=True)
class LoadedModel:
    """A model on a device.

    Attributes
    ----------
    name, device : str
        As the user named them.
    upscaler : Upscaler
        What runs.
    speed : Speed
        What is known of how long it takes.
    """

    name: str
    device: str
    upscaler: Upscaler
    speed: Speed

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
    from esc_plugin.measure.duration import Speed

    with _lock:
        last = _last
        if last is None or last.name != model:
            loaded = load_model(model, offline=offline, progress=progress, cancel=cancel)
            last = LoadedModel(model, device, Upscaler(loaded, device=device, memory_limit=memory_limit), Speed())
        elif last.device != device:
            upscaler = Upscaler(last.upscaler.model, device=device, memory_limit=memory_limit)
            last = LoadedModel(model, device, upscaler, Speed())
        elif last.upscaler.memory_limit != memory_limit:  # on which the speed doesn't depend by much
            last = replace(last, upscaler=last.upscaler.with_memory_limit(memory_limit))
        _last = last
        return last
