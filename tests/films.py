"""Small films, made as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av", reason="needs PyAV: pip install av")

#: Kr and Kb of the matrices by their codes of ITU-T H.273.
WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def picture(seed: int = 0, height: int = 32, width: int = 48) -> np.ndarray:
    """Return smooth colours, (H, W, 3) in 0..1, that codecs and subsampling spare."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    return np.stack([0.5 + 0.4 * np.sin(3 * x + seed), 0.5 + 0.4 * np.cos(4 * y - seed), 0.3 + 0.4 * x * y], -1)


def yuv(rgb: np.ndarray, matrix: int, full: bool, bits: int) -> list[np.ndarray]:
    """Return luma and chroma of (H, W, 3) in 0..1 as the standards define them, rounded: the oracle."""
    kr, kb = WEIGHTS[matrix]
    r, g, b = np.moveaxis(rgb, -1, 0)
    luma = kr * r + (1 - kr - kb) * g + kb * b
    chroma = (b - luma) / (2 - 2 * kb), (r - luma) / (2 - 2 * kr)
    top, step = 2**bits - 1, 2 ** (bits - 8)
    values = [luma * top] if full else [step * (16 + 219 * luma)]
    values += [c * (top if full else 224 * step) + 128 * step for c in chroma]
    return [np.rint(value).astype(np.uint8 if bits == 8 else np.uint16) for value in values]


def frame_of(planes: Sequence[np.ndarray], pixel_format: str) -> Any:
    """Return a frame with these planes; chroma is thinned out as the format wants it."""
    frame = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], pixel_format)
    for plane, values in zip(frame.planes, planes, strict=True):
        values = values[:: round(values.shape[0] / plane.height), :: round(values.shape[1] / plane.width)]
        row = plane.line_size // values.dtype.itemsize
        plane.update(np.pad(values, ((0, 0), (0, row - values.shape[1]))).tobytes())
    return frame


def planes_of(frame: Any) -> list[np.ndarray]:
    """Return the planes of a decoded frame as integers."""
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.dtype("<u2")
    return [np.frombuffer(p, kind).reshape(p.height, -1)[:, : p.width].astype(int) for p in frame.planes]


def make_film(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    times: Sequence[int] = (),
    codec: str = "ffv1",
    pixel_format: str = "yuv444p",
    matrix: int = 1,
    full: bool = False,
    sound: str | None = None,
    set_up: Callable[[Any, Any], None] = lambda container, stream: None,
) -> Path:
    """Write pictures (H, W, 3) in 0..1 as a film whose frames are seen at `times` in ms."""
    times = times or [40 * i for i in range(len(pictures))]
    bits = 10 if "10" in pixel_format else 8
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        context.time_base = Fraction(1, 1000)
        context.colorspace, context.color_range = matrix, 2 if full else 1
        if sound:
            tone = container.add_stream(sound, rate=48000, layout="mono")
        set_up(container, stream)
        for time, rgb in zip(times, pictures, strict=True):
            frame = frame_of(yuv(rgb, 6 if matrix == 2 else matrix, full, bits), pixel_format)
            frame.pts, frame.time_base, frame.color_range = time, Fraction(1, 1000), 2 if full else 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            wave = np.sin(np.arange(times[-1] * 48) / 20).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            samples.sample_rate = 48000
            container.mux(tone.encode(samples))
            container.mux(tone.encode(None))
    return path


def frames_in(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def times_in(path: Path) -> list[float]:
    return [round(float(frame.pts * frame.time_base), 6) for frame in frames_in(path)]


def packets_in(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]
