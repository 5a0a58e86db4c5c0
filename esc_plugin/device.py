"""Where and in what precision to compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from .errors import EscError
from .memory import free_host_bytes, total_host_bytes

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device that a user means.

    Raises
    ------
    EscError
        If this torch can't use it.
    """
    if device == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()  # a device without values, such as "meta", fails here
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EscError(f"can't use device {device!r}, use auto, cpu, cuda, cuda:1 or mps: {reason}") from None
    return chosen


def choose_dtype(precision: str, device: torch.device, harmless: str = "", bits: int = 32) -> torch.dtype:
    """Return the precision of a run: the one rule for all doors.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}
        What the user asked for; anything but ``"auto"`` is what it says.
    device : torch.device
        Where it runs. On others than a CPU the gain hasn't been measured, so that ``"auto"`` is float32.
    harmless : str
        What was measured to cost the model less than 0.01 dB, and less than one of 255 levels in 999 of 1000 pixels.
    bits : int
        Of a value of the image. One with more than 8 bits is for measuring, and shows the difference.

    Raises
    ------
    EscError
        If there is no such precision.
    """
    if precision != "auto":
        if not isinstance(precision, str) or precision not in PRECISIONS:
            raise EscError(f"unknown precision {precision!r}; known are auto, {', '.join(PRECISIONS)}.")
        return PRECISIONS[precision]
    if harmless != "bfloat16" or bits > 8 or device.type != "cpu":
        return torch.float32
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.bfloat16 if supported and supported() else torch.float32


def precision_name(dtype: torch.dtype) -> str:
    """Return the name by which users know a precision."""
    return str(dtype).removeprefix("torch.")


def free_bytes(device: torch.device) -> int:
    """Return the memory that can be had on a device now, in bytes."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    return free_host_bytes()  # of Apple's and other shared memories too


def total_bytes(device: torch.device) -> int:
    """Return the memory that a device has for this process, in bytes."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return total_host_bytes()


@contextmanager
def without_autocast(device: torch.device) -> Iterator[None]:
    """Compute in the precision of the tensors, whatever `torch.autocast` is active around it."""
    with ExitStack() as stack:
        for kind in {"cpu", device.type}:
            if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
