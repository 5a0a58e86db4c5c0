"""Whether a file makes in its own runtime what torch makes of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log10
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import EscError
from .formats import Format
from .order import CHECKED, Order

#: By precision: largest difference to torch, in units of the image's 0..1, that the check lets pass. Single pixels may lose
#: much by eight bits; of them, the whole picture is judged.
LIMITS = {"float32": 1e-4, "float16": 2e-2, "int8": inf}
#: PSNR against torch, in dB, that eight bits must reach: less is seen, as if the ranges were those of other pictures.
LEAST_INT8 = 40.0


@dataclass(frozen=True)
class Difference:
    """How far a file is from torch, of values in 0..1.

    Attributes
    ----------
    shape : tuple of int
        Of the picture, (1, 3, H, W).
    largest : float
        Over all outputs of the file.
    psnr : float
        Of the upscaled picture against torch's, in dB.
    """

    shape: tuple[int, ...]
    largest: float
    psnr: float


def check(order: Order, kind: Format, path: Path) -> tuple[Difference, ...]:
    """Run pictures through a file and the network it was made of.

    Raises
    ------
    EscError
        If they differ by more than `LIMITS` allow, in shape or in value.
    """
    found = tuple(compare(order, kind, path, inputs) for inputs in _trials(order, kind))
    worst = max(difference.largest for difference in found)
    if not worst <= LIMITS[order.precision]:  # NaN is no agreement either
        raise EscError(
            f"{kind.name}'s runtime and torch differ by {worst:.2g} for {order.model.name!r}, more than "
            f"{LIMITS[order.precision]:g}; nothing was written."
        )
    least = min(difference.psnr for difference in found)
    if order.precision == "int8" and not least >= LEAST_INT8:
        raise EscError(
            f"in eight bits {order.model.name!r} comes only to {least:.1f} dB of torch, not to {LEAST_INT8:g}; nothing was "
            "written. Calibrate with more pictures of the kind that will be upscaled, write float16, or leave out the check."
        )
    return found


def compare(order: Order, kind: Format, path: Path, inputs: dict[str, Tensor]) -> Difference:
    """Run one set of inputs through a file and through torch."""
    arrays = {name: value.numpy() for name, value in inputs.items()}
    found = kind.converter.run(path, arrays, torch.get_num_threads())
    with torch.inference_mode():
        made = order.network()(*inputs.values()) if order.form == "regions" else _whole(order, inputs["image"])
    expected = dict(zip(order.outputs, made if isinstance(made, tuple) else (made,), strict=True))
    for name, value in expected.items():
        if found[name].shape != tuple(value.shape):
            raise EscError(f"{kind.name}'s runtime makes {name} {found[name].shape}, not {tuple(value.shape)}.")
    apart = {name: torch.from_numpy(np.asarray(found[name], np.float32)) - value for name, value in expected.items()}
    largest = max(float(difference.abs().max()) for difference in apart.values())
    square = float(apart["upscaled"].square().mean())
    return Difference(tuple(inputs["image"].shape), largest, -10 * log10(square) if square else inf)


def _whole(order: Order, image: Tensor) -> Tensor:
    """Run the network itself, not what was made of it for the export."""
    height, width = image.shape[-2:]
    upscaled: Tensor = order.model.network(image, (order.scale * height, order.scale * width))
    return upscaled


def _trials(order: Order, kind: Format) -> Sequence[dict[str, Tensor]]:
    """Return inputs for the check: pictures larger than a window but no multiple of it, and smaller ones if they may be."""
    window = order.window
    small = [(window + 5, window // 2 + 3), (max(window // 3, 1), window + 2)]
    others = small if kind.small_images else [(window + 5, 2 * window + 3)]
    sizes = [order.size] if order.size else [*others, (CHECKED[0] * window, CHECKED[1] * window)]
    return [_with_picture(order, *size) for size in sizes]


def _with_picture(order: Order, height: int, width: int) -> dict[str, Tensor]:
    return order.example(height, width) | {"image": picture(height, width)}


def picture(height: int, width: int) -> Tensor:
    """Draw what has the spectrum of photographs, amplitudes falling as 1 / frequency (Field, 1987), and edges on it.

    Returns
    -------
    Tensor
        (1, 3, H, W) in 0..1.
    """
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 1 / (height + width)
    noise = np.fft.rfft2(random.standard_normal((3, height, width))) / frequency
    drawn = np.fft.irfft2(noise, s=(height, width))
    drawn = drawn / (drawn.std() + 1e-6) / 6 + 0.5
    drawn[:, height // 3 :, width // 3 : width // 2] = 0.9
    drawn[:, height // 2 : height // 2 + 2] = 0.1
    return torch.from_numpy(np.clip(drawn, 0, 1)).float()[None]
