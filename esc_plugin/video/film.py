"""A film as its file describes it, and its frames, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..arrays.sizes import Size
from ..errors import ImageError
from ..files.picture import MAX_PIXELS
from .claims import check_claims
from .colours import Colours, colours_of, has_no_matrix
from .library import limit, pyav, reading

#: A rate outside of it is a guess of the container's, such as the clock that it counts in.
RATES = (Fraction(1), Fraction(240))
USUAL_RATE = Fraction(25)
#: Chroma samples by how many of 16 x 16 pixels there are across and down.
CHROMA = {(8, 8): "420", (8, 16): "422", (16, 16): "444"}


@dataclass(frozen=True)
class Film:
    """What a file says of its first film.

    Attributes
    ----------
    path : str
        Of the file.
    size : tuple of int
        Height and width of a frame in pixels, upright.
    turns : int
        Quarter turns to the left after which a decoded frame is upright.
    aspect : Fraction
        Width of a pixel in its heights, upright.
    bits : int
        Of a value: 8, or more.
    chroma : str
        Of how many pixels there is a sample of colour: ``"420"``, ``"422"`` or ``"444"``.
    colours : Colours
        What the numbers mean.
    rate : Fraction
        Frames in a second, on average.
    time_base : Fraction
        Seconds of a tick, in which times of frames are counted.
    window : tuple of float
        Seconds from the beginning, and how many; 0 for all that follow.
    notes : tuple of str
        What the result will lack, and what is wrong with the film.
    metadata : dict of str
        Tags of the file.
    sound : str
        File whose sound and subtitles the result gets; by default the film's own.
    max_pixels : int
        Of a frame.
    """

    path: str
    size: Size
    turns: int
    aspect: Fraction
    bits: int
    chroma: str
    colours: Colours
    rate: Fraction
    time_base: Fraction
    window: tuple[float, float] = (0.0, 0.0)
    notes: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    sound: str = ""
    max_pixels: int = MAX_PIXELS

    @property
    def depth(self) -> int:
        """Bits of a value of RGB that hold a frame: 8 or 16."""
        return 8 if self.bits <= 8 else 16

    @property
    def first_tick(self) -> int:
        """The time at which the result begins."""
        return round(self.window[0] / self.time_base)

    def frames(self, damaged: Callable[[Exception], None] = lambda _: None) -> Iterator[Any]:
        """Decode the frames in the order in which they are seen; only those of the window.

        Parameters
        ----------
        damaged : callable, optional
            See `decoded`.

        Raises
        ------
        ImageError
            If one can't be decoded.
        """
        start, duration = self.window
        with reading(self.path, self.max_pixels) as container:
            for frame in decoded(container, self.max_pixels, damaged):
                time = None if frame.pts is None else float(frame.pts * frame.time_base)
                if time is not None and duration and time >= start + duration:
                    return
                if time is None or not start or time >= start:
                    self._check(frame)
                    yield frame

    def _check(self, frame: Any) -> None:
        size = (frame.height, frame.width)[:: -1 if self.turns % 2 else 1]
        if size != self.size:
            raise ImageError(
                f"a frame of {self.path!r} has another size than the first, {size[1]} x {size[0]} after "
                f"{self.size[1]} x {self.size[0]}; cut the film there."
            )


def decoded(container: Any, max_pixels: int, damaged: Callable[[Exception], None] = lambda _: None) -> Iterator[Any]:
    """Decode the first film in a container.

    Parameters
    ----------
    max_pixels : int
        Of a frame.
    damaged : callable, optional
        Is told the error if the last frames can't be decoded, as where a file was cut off. One that others follow is raised.
    """
    stream, found, problem = moving(container), False, None
    # Threads that have a frame each forget what goes wrong with the last ones, as many as there are cores.
    stream.thread_type = "SLICE"
    stream.codec_context.options = limit(max_pixels)
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except pyav().FFmpegError as error:
            problem = problem or error
            continue
        if problem and frames and packet.size:
            raise problem
        found = found or bool(frames)
        yield from frames
    if problem and not found:
        raise problem
    if problem:
        damaged(problem)


def moving(container: Any) -> Any:
    """Return the first stream of a container that is a film, and no picture of a cover.

    Raises
    ------
    ImageError
        If there is none, or nothing that decodes it.
    """
    streams = [stream for stream in container.streams.video if not is_cover(stream)]
    if not streams:
        raise ImageError(f"there is no film in {container.name!r}.")
    if streams[0].codec_context is None:
        raise ImageError(f"the film in {container.name!r} has a codec that this PyAV can't decode.")
    return streams[0]


def is_cover(stream: Any) -> bool:
    """Whether a stream of pictures is one picture that belongs to the file."""
    disposition = getattr(stream, "disposition", None)
    return bool(disposition and disposition & type(disposition).attached_pic)


def open_film(path: str, max_pixels: int = MAX_PIXELS, window: tuple[float, float] = (0.0, 0.0)) -> Film:
    """Read what a file says of itself and of its first frame.

    Parameters
    ----------
    path : str
        Of the file.
    max_pixels : int
        A film that claims to have larger frames is refused.
    window : tuple of float
        See `Film`.

    Raises
    ------
    EscError
        If it can't be read, has colours or transparency that would be lost, or PyAV is missing.
    """
    check_claims(path)
    with reading(path, max_pixels) as container:
        stream = moving(container)
        if stream.width * stream.height > max_pixels:
            raise ImageError(f"{path!r} claims frames of {stream.width} x {stream.height} pixels, more than {max_pixels:,}.")
        frame = _first(container, max_pixels)
        if frame is None:
            raise ImageError(f"there is no frame in the film {path!r}.")
        kind, turns = frame.format, _turns(path, frame)
        if _is_transparent(stream, kind):
            raise ImageError(f"{path!r} has transparency ({kind.name}), which no codec that is written keeps; flatten it.")
        aspect = stream.sample_aspect_ratio or Fraction(1)
        chroma = CHROMA.get((kind.chroma_width(16), kind.chroma_height(16)), "444")
        return Film(
            path,
            (frame.height, frame.width)[:: -1 if turns % 2 else 1],
            turns,
            1 / aspect if turns % 2 else aspect,
            max(component.bits for component in kind.components),
            "420" if has_no_matrix(kind) or len(kind.components) < 3 else chroma,
            colours_of(frame, stream.codec_context),
            _rate(stream),
            stream.time_base,
            window,
            tuple(_notes(container, stream, frame)),
            dict(container.metadata),
            max_pixels=max_pixels,
        )


def _first(container: Any, max_pixels: int) -> Any:
    try:
        return next(decoded(container, max_pixels), None)
    except pyav().FFmpegError:
        if moving(container).width:
            raise
        raise ImageError(
            f"{container.name!r} claims frames of more than {max_pixels:,} pixels, or of none, or is damaged."
        ) from None


def _is_transparent(stream: Any, kind: Any) -> bool:
    names = {"ya8", "rgba", "bgra", "argb", "abgr"} | {"rgba64le", "rgba64be", "bgra64le", "bgra64be"}
    said = {key.lower(): value for key, value in stream.metadata.items()}.get("alpha_mode") == "1"  # VP8 and VP9 in WebM
    return said or kind.name in names or kind.name.startswith(("yuva", "gbrap", "ya16"))


def _turns(path: str, frame: Any) -> int:
    angle = getattr(frame, "rotation", 0)
    if angle % 90:
        raise ImageError(f"the film {path!r} shall be shown turned by {angle} degrees; only quarter turns can be kept.")
    return int(angle // 90) % 4


def _rate(stream: Any) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate) if rate and RATES[0] <= rate <= RATES[1] else USUAL_RATE


def _notes(container: Any, stream: Any, frame: Any) -> Iterator[str]:
    if frame.interlaced_frame:
        yield "the film is interlaced, and its half-pictures are enlarged as they lie; deinterlace it first."
    left_out = [other for other in container.streams if other is not stream and not is_copied(other)]
    if left_out:
        kinds = ", ".join(sorted({"cover" if other.type == "video" else other.type for other in left_out}))
        yield f"streams of these kinds are left out: {kinds}."


def is_copied(stream: Any) -> bool:
    """Whether a stream beside the film goes into the result as it is."""
    return stream.type in ("audio", "subtitle")
