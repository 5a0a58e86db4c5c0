"""How commands load a model: with a bar while it is downloaded, onto a device, mixed with another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .terminal import download_bar

if TYPE_CHECKING:  # torch takes a second to import; commands that need it import what they use
    from ..cluster.launch import Launch
    from ..upscaler import Upscaler
    from ..weights.model import Model


class Where(NamedTuple):
    """What a model computes on, and with what, see `Upscaler`."""

    device: str = "auto"
    precision: str = "auto"
    memory: int | None = None
    threads: int = 0


def open_model(source: str, **options: Any) -> Model:
    """Load a model; show a bar while it is downloaded."""
    from ..catalog.lookup import look_up

    look_up(source)  # torch takes longer to start than to say that there is no such model

    from ..catalog.load import load_model

    with download_bar(source) as progress:
        return load_model(source, progress=progress, **options)


def own_device(device: str, launch: Launch | None) -> str:
    """Return a device; of several processes on a machine with several GPUs, each has its own."""
    if launch is None or device not in ("auto", "gpu", "cuda"):
        return device
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{launch.local_rank % count}" if count else device


def load_upscaler(model: str, window_size: int | None, where: Where) -> Upscaler:
    """Load a model onto a device."""
    from ..upscaler import Upscaler

    loaded = open_model(model, window_size=window_size)
    return Upscaler(loaded, device=where.device, precision=where.precision, memory_limit=where.memory, threads=where.threads)


def load_mixture(
    model: str, blend: str | None, share: float, window_size: int | None, where: Where, reason: str = ""
) -> Upscaler:
    """Load a model, and one that is mixed into it if that is asked for; see `load_upscaler`.

    Parameters
    ----------
    reason : str
        Why it was taken, if nobody has named it.
    """
    loaded = load_upscaler(model, window_size, where).chosen_because(reason)
    if blend is None:
        return loaded
    from ..mixture import Mixture

    return Mixture(loaded, load_upscaler(blend, None, where), share)
