"""Segments and all that isn't film of the original, put together without encoding anything again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from heapq import merge
from io import BytesIO
from pathlib import Path
from typing import Any

from ..errors import ImageError
from .film import Film, is_copied
from .library import FINEST, failing_as, pyav, reading
from .names import container_of
from .shots import Timeline

#: What most players and programs know best, and what holds all.
COMMON, ANY = ".mp4", ".mkv"
#: What a container says of itself rather than of the film.
OWN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")


def join(
    film: Film,
    segments: Sequence[Path],
    timeline: Timeline,
    target: Path,
    path: Path,
    tags: Mapping[str, str],
    *,
    silent: bool = False,
) -> None:
    """Write a film.

    Parameters
    ----------
    film : Film
        The original, whose sound, subtitles, chapters and tags are kept.
    segments : sequence of Path
        Files of `Encoding.write`, one after the other.
    timeline : Timeline
        When their frames are seen.
    target : Path
        What the file will be called: its suffix says which container.
    path : Path
        Where to write.
    tags : mapping
        What is written into the container beside the original's own tags.
    silent : bool
        Whether to leave streams of sound and subtitles empty: a trial of whether the container can hold them.

    Raises
    ------
    ImageError
        If the container can't hold what the original has.
    """
    form = container_of(target)
    options = {"movflags": "+faststart"} if form in ("mp4", "mov") else {}
    with ExitStack() as stack:
        first = stack.enter_context(reading(str(segments[0])))
        original = stack.enter_context(reading(film.sound or film.path, film.max_pixels))
        stack.enter_context(failing_as(f"can't write {target.name!r} with all that {film.path!r} holds"))
        out = stack.enter_context(pyav().open(str(path), "w", format=form, options=options))
        video = _copy_stream(out, first.streams.video[0], film.time_base)
        if form in ("mp4", "mov") and video.codec_context.name in ("hevc", "libx265"):
            video.codec_context.codec_tag = "hvc1"  # without it, Apple's players show nothing
        copied = {stream.index: _checked_copy(out, stream, target) for stream in original.streams if is_copied(stream)}
        out.metadata.update({key: value for key, value in film.metadata.items() if key.lower() not in OWN_TAGS})
        out.metadata.update(tags)
        _copy_chapters(original, out, film)
        # Containers don't show what comes before the time 0, so all of it begins so much later.
        lead = max(-timeline.times[0], 0)
        packets = [_film_packets(segments, timeline, film, video, lead)]
        if copied and not silent:
            packets.append(_other_packets(original, copied, film, lead * film.time_base))
        for _, packet in merge(*packets, key=lambda pair: pair[0]):
            out.mux(packet)


def common_suffix(film: Film) -> str:
    """Return the suffix of a container for a result that has no name yet: MP4 if it can hold all of the film."""
    with (
        reading(film.sound or film.path, film.max_pixels) as original,
        pyav().open(BytesIO(), "w", format=container_of(Path(f"film{COMMON}"))) as out,
    ):
        names = {_codec_name(stream) for stream in original.streams if is_copied(stream)}
        return COMMON if names <= out.supported_codecs else ANY


def _codec_name(stream: Any) -> str:
    return str(stream.codec_context.codec.canonical_name) if stream.codec_context else "unknown"


def _copy_stream(out: Any, stream: Any, time_base: Fraction) -> Any:
    """Add a stream like another one; its packets will come with times in `time_base`."""
    try:
        made = out.add_stream_from_template(stream)
    except ValueError:  # the decoder, by whose name an encoder is looked for, is another library's
        made = out.add_stream_from_template(stream, opaque=True)
    with suppress(RuntimeError):  # older PyAVs know one of encoders only; the container then takes its own
        made.time_base = max(time_base, FINEST)
    made.metadata.update(stream.metadata)
    if disposition := getattr(stream, "disposition", None):
        made.disposition = disposition.value
    return made


def _checked_copy(out: Any, stream: Any, target: Path) -> Any:
    """Add a stream, or raise an `ImageError` that says which one the container can't hold."""
    name = _codec_name(stream)
    if name not in out.supported_codecs:
        raise ImageError(
            f"{target.suffix} can't hold the {stream.type} of the film ({name}); write .mkv, which holds all: --format mkv."
        )
    return _copy_stream(out, stream, stream.time_base)


def _copy_chapters(original: Any, out: Any, film: Film) -> None:
    if any(film.window) or not hasattr(out, "set_chapters"):
        return
    with suppress(AttributeError):
        if chapters := original.chapters():
            out.set_chapters(chapters)


def _film_packets(
    segments: Sequence[Path], timeline: Timeline, film: Film, stream: Any, lead: int
) -> Iterator[tuple[Fraction, Any]]:
    """Yield the packets of all segments with their times, `lead` ticks later, and when to decode each."""
    delay = max(max((place - rank for place, rank in enumerate(_ranks(path))), default=0) for path in segments)
    times, done = [time + lead for time in timeline.times], 0
    ends = [*times[1:], timeline.end + lead]
    step = times[1] - times[0] if len(times) > 1 else 1
    for path in segments:
        ranks = _ranks(path)
        with reading(str(path)) as container:
            for place, (rank, packet) in enumerate(zip(ranks, _packets(container.demux(video=0)), strict=True)):
                # A frame is decoded when one is seen that so many places earlier was decoded: never after it is seen itself.
                early = done + place - delay
                packet.dts = times[early] if early >= 0 else times[0] + early * step
                packet.pts = times[done + rank]
                packet.duration = ends[done + rank] - packet.pts
                packet.time_base, packet.stream = film.time_base, stream
                yield packet.dts * film.time_base, packet
        done += len(ranks)


def _ranks(path: Path) -> list[int]:
    """Return, for each packet of a segment in the order of decoding, which of its frames it is in the order of showing."""
    with reading(str(path)) as container:
        numbers = [packet.pts for packet in _packets(container.demux(video=0))]
    place = {number: rank for rank, number in enumerate(sorted(numbers))}
    return [place[number] for number in numbers]


def _other_packets(original: Any, copied: dict[int, Any], film: Film, lead: Fraction) -> Iterator[tuple[Fraction, Any]]:
    """Yield the packets of sound and subtitles as they are, `lead` seconds later; of a part of a film, those of it."""
    start, duration = film.window
    for packet in _packets(original.demux([stream for stream in original.streams if stream.index in copied])):
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None:
            continue
        seconds, base = time * packet.time_base, packet.time_base
        # Sound begins a little before the film, since its decoder needs that.
        if (start and seconds < start) or (duration and seconds >= start + duration):
            continue
        shift = round((Fraction(start) - lead) / base)
        packet.pts, packet.dts = (None if ticks is None else ticks - shift for ticks in (packet.pts, packet.dts))
        packet.stream = copied[packet.stream.index]
        yield (packet.dts if packet.dts is not None else packet.pts) * base, packet


def _packets(packets: Iterator[Any]) -> Iterator[Any]:
    """Leave out the empty ones that tell decoders to finish."""
    return (packet for packet in packets if packet.size)
