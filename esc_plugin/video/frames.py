"""Frames that a program has in memory, as a film that can be upscaled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .film import Film
from .library import failing_as, pyav

#: Without loss, and quick.
CODEC, PIXEL_FORMAT = "ffv1", "bgr0"


def write_frames(path: Path, frames: Iterable[np.ndarray], rate: Fraction) -> None:
    """Write frames without loss.

    Parameters
    ----------
    path : Path
        A name that ends in ``.mkv``.
    frames : iterable of numpy.ndarray
        (H, W, 3) uint8, of one size.
    rate : Fraction
        Frames in a second.

    Raises
    ------
    ImageError
        If it can't be written.
    """
    with failing_as(f"can't write {str(path)!r}"), pyav().open(str(path), "w") as container:
        stream = container.add_stream(CODEC, rate=rate)
        stream.pix_fmt = PIXEL_FORMAT
        for number, rgb in enumerate(frames):
            if not number:
                stream.height, stream.width = rgb.shape[:2]
            frame = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format=PIXEL_FORMAT)
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def in_eight_bits(images: Tensor) -> Iterator[np.ndarray]:
    """Yield a batch (B, H, W, 3 or more) in 0..1 as frames, (H, W, 3) uint8."""
    return (image[..., :3].float().clamp(0, 1).mul(255).round().byte().cpu().numpy() for image in images)


def like_frames_of(film: Film) -> Tensor:
    """Return a batch (1, H, W, 3) of the size and the bits of a film's frames that takes no memory, to plan with."""
    return torch.tensor(0.0 if film.depth == 8 else 1 / 65535).expand(1, *film.size, 3)
