"""Films as bytes: good ones of every container and codec at hand, and the odd ones that cameras and attackers make."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any

import av
import numpy as np

from ..films import picture
from .mutate import NUMBERS

#: Suffix, codec and format of pixels; what an installation can't write is left out.
KINDS = (
    *(("mp4", "libx264", "yuv420p"), ("mov", "libx264", "yuv422p"), ("mkv", "libx264", "yuv444p10le")),
    *(("mp4", "libx265", "yuv420p10le"), ("webm", "libvpx-vp9", "yuv420p"), ("mkv", "ffv1", "yuv444p")),
    *(("avi", "mjpeg", "yuvj420p"), ("mpg", "mpeg2video", "yuv420p"), ("ts", "mpeg2video", "yuv420p")),
    *(("mov", "prores_ks", "yuv422p10le"), ("wmv", "wmv2", "yuv420p"), ("flv", "flv", "yuv420p"), ("mov", "png", "rgb24")),
    *(("avi", "mpeg4", "yuv420p"), ("mkv", "rawvideo", "yuv420p"), ("mov", "qtrle", "rgb24"), ("mkv", "mjpeg", "yuvj444p")),
)
#: Formats of pixels that few films have; FFV1, PNG and raw video take many.
FORMATS = (
    *(
        "gray",
        "gray10le",
        "gray16le",
        "ya8",
        "pal8",
        "rgb24",
        "bgr0",
        "bgra",
        "rgba",
        "gbrp",
        "gbrp10le",
        "gbrap",
        "rgb48le",
    ),
    *("yuv410p", "yuv411p", "yuv440p", "yuva420p", "yuva444p", "yuv420p16le", "yuv444p12le", "nv12", "uyvy422", "monow"),
    *("rgb555le", "rgb565le", "bgr8", "xyz12le", "yuv422p10le", "x2rgb10le", "yuvj420p", "yuvj422p", "yuvj444p", "monob"),
)
PAYLOADS = (
    "ffv1",
    "png",
    "rawvideo",
    "huffyuv",
    "utvideo",
    "qtrle",
    "mpeg4",
    "libx264",
    "mjpeg",
    "gif",
    "dnxhd",
    "prores_ks",
)
SUFFIXES = ("mkv", "mkv", "mov", "avi", "mp4", "nut")
MUXERS = {"mkv": "matroska", "mpg": "mpeg", "ts": "mpegts", "wmv": "asf"}


def film(
    suffix: str,
    codec: str,
    pixel_format: str,
    *,
    sizes: tuple[tuple[int, int], ...] = ((16, 24),) * 3,
    times: tuple[int, ...] = (),
    rate: Fraction = Fraction(25),
    sound: bool = False,
    set_up: Callable[[Any, Any], None] = lambda container, stream: None,
) -> bytes:
    """Return a film whose frames have `sizes` and are seen at `times` in ticks of its rate; an error where that can't be."""
    file = io.BytesIO()
    with av.open(file, "w", format=MUXERS.get(suffix, suffix)) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = sizes[0]
        stream.pix_fmt = pixel_format
        tone = container.add_stream("pcm_s16le" if suffix in ("avi", "mov", "mkv") else "aac", rate=8000) if sound else None
        set_up(container, stream)
        for number, size in enumerate(sizes):
            rgb = (255 * picture(number, *size)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = times[number] if times else number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for packet in _sound(tone) if tone else ():
            container.mux(packet)
    return file.getvalue()


def _sound(tone: Any) -> Iterator[Any]:
    samples = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout=tone.layout.name.split("(")[0])
    samples.sample_rate = 8000
    yield from tone.encode(av.AudioResampler(format=tone.format.name, layout=tone.layout.name).resample(samples)[0])
    yield from tone.encode(None)


@cache
def good() -> dict[str, bytes]:
    """Return films by name."""
    found = {}
    for number, (suffix, codec, pixel_format) in enumerate(KINDS):
        made = _maybe(suffix, codec, pixel_format, sound=number % 2 == 0) or _maybe(suffix, codec, pixel_format)
        if made:
            found[f"{number}.{suffix}"] = made
    return found


def _maybe(*about: Any, **options: Any) -> bytes:
    """Return a film, or nothing where FFmpeg refuses to make it."""
    try:
        return film(*about, **options)
    except (av.FFmpegError, ValueError, OSError, OverflowError, AttributeError, RuntimeError):
        return b""


def odd(rng: Random) -> tuple[str, str, bytes]:
    """Return what is odd, a name and a film; nothing where FFmpeg refuses to make it."""
    suffix, codec, what = rng.choice(SUFFIXES), rng.choice(PAYLOADS), rng.choice(tuple(ODD))
    return what, f"a.{'mkv' if suffix == 'nut' else suffix}", ODD[what](rng, suffix, codec)


@cache
def _formats(codec: str) -> list[str]:
    """Return the formats of pixels that an encoder takes, of those that frames can be made in."""
    known = {one.name for one in av.Codec(codec, "w").video_formats or ()}
    return [name for name in (*FORMATS, "yuv420p", "yuv422p", "yuv444p") if name in known] or list(FORMATS)


def _usual(codec: str) -> str:
    return next(
        (name for name in ("yuv420p", "yuv422p", "rgb24", "yuvj420p") if name in _formats(codec)), _formats(codec)[0]
    )


def _format(rng: Random, suffix: str, codec: str) -> bytes:
    codec = rng.choice(("ffv1", "ffv1", "rawvideo", codec))
    return _maybe("mkv" if codec == "ffv1" else suffix, codec, rng.choice(_formats(codec)))


def _sizes(rng: Random, suffix: str, codec: str) -> bytes:
    edges = (1, 2, 3, 7, 16, 33, 64)
    return _maybe(suffix, codec, _usual(codec), sizes=((rng.choice(edges), rng.choice(edges)),) * 2)


def _changing(rng: Random, suffix: str, codec: str) -> bytes:
    """Return two films of other sizes, one behind the other, in a container that takes that."""
    first, second = (
        _maybe(rng.choice(("ts", "mpg")), "mpeg2video", "yuv420p", sizes=(size,) * 3) for size in ((16, 24), (32, 16))
    )
    return first + second


def _times(rng: Random, suffix: str, codec: str) -> bytes:
    numbers = [rng.choice((0, 0, 1, 2, 40, 10**4, 2**31, 2**40, 2**62, -5, -(2**40))) for _ in range(4)]
    times = tuple(sorted(numbers) if rng.random() < 0.7 else numbers)
    return _maybe(suffix, codec, _usual(codec), sizes=((16, 24),) * 4, times=times)


def _rate(rng: Random, suffix: str, codec: str) -> bytes:
    rate = Fraction(rng.choice((1, 24, 999, 30_000, 10**6, 2**31 - 1)), rng.choice((1, 1001, 10**5, 2**30)))
    return _maybe(suffix, codec, _usual(codec), rate=rate)


def _tags(rng: Random, suffix: str, codec: str) -> bytes:
    def set_up(container: Any, stream: Any) -> None:
        context = stream.codec_context
        context.colorspace, context.color_range = rng.randrange(16), rng.randrange(4)
        context.color_primaries, context.color_trc = rng.randrange(24), rng.randrange(20)
        context.sample_aspect_ratio = Fraction(rng.choice((0, 1, 3, 2**30)), rng.choice((1, 7, 2**30)))
        text = rng.choice(
            ("{}", "[" * 9000, '{"software": "esc-plugin 9", "image": []}', "\x1b[31m", "x" * 9000, "\ud800", "")
        )
        container.metadata.update({"comment": text, "title": text[:50], "rotate": "90"})
        if hasattr(stream, "set_display_rotation") and rng.random() < 0.5:
            stream.set_display_rotation(rng.choice((90, 180, 270, -90, 45, 1, 720)))

    return _maybe(suffix, codec, _usual(codec), set_up=set_up)


def _streams(rng: Random, suffix: str, codec: str) -> bytes:
    """Return a film with other streams beside it, or without a film."""
    file = io.BytesIO()
    kinds = rng.choices(("video", "sound", "text", "attachment", "cover"), k=rng.choice((1, 2, 3)))
    try:
        with av.open(file, "w", format=rng.choice(("matroska", "mov", "mpegts", "matroska"))) as container:
            # A muxer that has begun takes no more streams, and doesn't survive them.
            for packets in [_added(container, kind, codec) for kind in kinds]:
                container.mux(list(packets))
    except (av.FFmpegError, ValueError, AttributeError, RuntimeError, OSError):
        return b""
    return file.getvalue()


def _added(container: Any, kind: str, codec: str) -> Iterator[Any]:
    """Add a stream, and return what makes its packets."""
    if kind == "attachment":
        container.add_attachment("../../a.ttf", "font/ttf", b"a font")
        return iter(())
    if kind == "text":
        container.add_stream("srt" if container.format.name == "matroska" else "mov_text")
        return iter(())
    if kind == "sound":
        return _sound(container.add_stream("aac", rate=8000, layout="mono"))
    stream = container.add_stream("mjpeg" if kind == "cover" else codec, rate=25)
    stream.height, stream.width, stream.pix_fmt = 16, 24, _usual("mjpeg" if kind == "cover" else codec)
    if kind == "cover":
        stream.disposition = av.stream.Disposition.attached_pic
    return _frames(stream, 1 if kind == "cover" else 3)


def _frames(stream: Any, count: int) -> Iterator[Any]:
    rgb = (255 * picture(0, 16, 24)).astype(np.uint8)
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = number, Fraction(1, 25)
        yield from stream.encode(frame)
    yield from stream.encode(None)


ODD: dict[str, Callable[[Random, str, str], bytes]] = {
    "format": _format,
    "sizes": _sizes,
    "changing": _changing,
    "times": _times,
    "rate": _rate,
    "tags": _tags,
    "streams": _streams,
}

#: Boxes of ISO media that hold boxes, by the bytes that come before those.
HOLDERS = {
    **dict.fromkeys((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"moof", b"traf"), 0),
    **{b"stsd": 8, b"meta": 4, b"avc1": 78, b"hvc1": 78, b"mp4a": 28},
}
#: Elements of Matroska that hold others: segment, info, tracks, an entry, video, colour, clusters, groups, tags, seek head.
MASTERS = (0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0x55B0, 0x1F43B675, 0xA0, 0x1254C367, 0x7373, 0x114D9B74, 0x4DBB)


def boxes(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int, int]]:
    """Yield of each box of ISO media, those inside of others too, where it begins, where its content does, and its end."""
    stop = len(data) if stop is None else stop
    while start + 8 <= stop:
        size, name = struct.unpack_from(">I4s", data, start)
        end = min(start + max(size, 8), stop)
        yield start, start + 8, end
        if name in HOLDERS:
            yield from boxes(data, start + 8 + HOLDERS[name], end)
        start = end


def elements(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int, int]]:
    """Yield the same of each element of Matroska."""
    stop = len(data) if stop is None else stop
    while start < stop:
        name, after = _number(data, start, keep=True)
        size, body = _number(data, after)
        end = min(body + size, stop)
        if not name or body >= stop:
            return
        yield start, body, end
        if name in MASTERS:
            yield from elements(data, body, end)
        start = end


def _number(data: bytes, at: int, keep: bool = False) -> tuple[int, int]:
    """Return a number of a length that it says itself, and where it ends."""
    if at >= len(data) or not data[at]:
        return 0, len(data)
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    return value if keep else value & ((1 << 7 * length) - 1), at + length


def rebuilt(rng: Random, data: bytes) -> bytes:
    """Return ISO media or Matroska with one part changed or a few, whose places in the file are known."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        parts = list((elements if data[:4] == b"\x1aE\xdf\xa3" else boxes)(bytes(found)))
        if not parts:
            break
        start, body, end = rng.choice(parts)
        kind = rng.randrange(8)
        if kind == 0:
            del found[start:end]
        elif kind == 1:
            found[end:end] = found[start:end]
        elif kind == 2:
            found[body - 4 : body] = struct.pack(">I", rng.choice(NUMBERS) % 2**32)
        elif end > body:  # numbers of its content
            size = min(rng.choice((1, 2, 4, 8)), end - body)
            at = rng.randrange(body, max(min(end, body + 120) - size, body) + 1)
            value = rng.choice(NUMBERS) + rng.choice((0, 0, -1, 1))
            found[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "big")
    return bytes(found)
