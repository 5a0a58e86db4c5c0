"""The model that was loaded last, and how fast it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock

import torch

from ..catalog.load import load_model
from ..device import limited_threads
from ..measure.duration import Speed
from ..progress import Cancel, Progress
from ..upscaler import Upscaler
from .task import Settings


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
        device = self.upscaler.device
        if device.type == "cuda":
            return str(torch.cuda.get_device_name(device))
        if device.type == "mps":
            return "Apple GPU"
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' * (threads > 1)}"


_lock = Lock()
_last: LoadedModel | None = None


def load_on_device(
    settings: Settings, *, offline: bool = False, progress: Progress | None = None, cancel: Cancel | None = None
) -> LoadedModel:
    """Return the model of some settings, on its device; the last one is kept, so that asking again costs nothing.

    Parameters
    ----------
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
    device, limit = settings.device, settings.memory_limit
    with _lock:
        last = _last
        if last is None or last.name != settings.model:
            model = load_model(settings.model, offline=offline, progress=progress, cancel=cancel)
            last = LoadedModel(settings.model, device, Upscaler(model, device=device, memory_limit=limit), Speed())
        elif last.device != device:
            upscaler = Upscaler(last.upscaler.model, device=device, memory_limit=limit)
            last = LoadedModel(settings.model, device, upscaler, Speed())
        elif last.upscaler.memory_limit != limit:  # on which the speed doesn't depend by much
            last = replace(last, upscaler=last.upscaler.with_memory_limit(limit))
        _last = last
        return last


@contextmanager
def ready(
    settings: Settings, *, offline: bool = False, progress: Progress | None = None, cancel: Cancel | None = None
) -> Iterator[LoadedModel]:
    """Give the model of some settings, see `load_on_device`, with no more threads meanwhile than they want."""
    with limited_threads(settings.threads):
        yield load_on_device(settings, offline=offline, progress=progress, cancel=cancel)
