"""How a result is encoded: which codec, how well, and in what numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays.sizes import Size
from ..errors import EscError, ImageError
from .colours import Colours, Conversion
from .film import Film
from .library import failing_as, pyav
from .names import container_of

#: Constant rate factor of x264 and x265 where nobody asks for a quality: hardly to be told from the original.
USUAL_FACTOR = 16
#: Options of each encoder but the quality; what its quality is called; and the worst that it knows.
ENCODERS: dict[str, tuple[dict[str, str], str, int]] = {
    # With its macroblock tree, the same frames become other bits from run to run (measured at 192 x 128 and 320 x 180).
    "libx264": ({"preset": "medium", "mbtree": "0"}, "crf", 51),
    "libx265": ({"preset": "medium", "x265-params": "log-level=error"}, "crf", 51),
    "libvpx-vp9": ({"b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "2"}, "crf", 63),
    "libsvtav1": ({"preset": "5"}, "crf", 63),
    "ffv1": ({"level": "3", "g": "1", "slicecrc": "1"}, "", 0),
}
#: Narrower than this, x265's tree of coding units (4.2, as PyAV 18 has it) writes beyond its memory, and the process ends.
NARROW, WITHOUT_TREE = 64, {"x265-params": "log-level=error:cutree=0"}
#: An encoder looks ahead by some dozens of frames, and after a kill a segment is made again: so many pixels at most, and
#: so many frames.
SEGMENT_PIXELS, SEGMENT_FRAMES = 2**28, (12, 240)


@dataclass(frozen=True)
class Encoding:
    """All that an encoder is told.

    Attributes
    ----------
    codec : str
        FFmpeg's name of the encoder.
    pixel_format : str
        Of the frames.
    options : dict
        Of the encoder.
    size : tuple of int
        Height and width of a frame.
    rate, aspect, colours
        See `Film`.
    """

    codec: str
    pixel_format: str
    options: dict[str, str]
    size: Size
    rate: Fraction
    aspect: Fraction
    colours: Colours

    @property
    def segment(self) -> int:
        """Frames of a segment. It depends on nothing but the result, so that a resumed run makes the same ones."""
        least, most = SEGMENT_FRAMES
        return min(max(SEGMENT_PIXELS // (self.size[0] * self.size[1]), least), most)

    def content(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self) | {"rate": str(self.rate), "aspect": str(self.aspect), "segment": self.segment}

    def write(self, path: Path, frames: Iterable[Any]) -> None:
        """Write a film of frames from `Conversion.frame`, which can be decoded on its own.

        Its frames are only numbered: the times are put in when segments are joined.
        """
        with failing_as(f"can't write frames of {self.size[1]} x {self.size[0]} (width x height) by {self.codec}"):
            self._write(path, frames)

    def _write(self, path: Path, frames: Iterable[Any]) -> None:
        with pyav().open(str(path), "w", format="matroska") as container:
            stream = container.add_stream(self.codec, rate=self.rate, options=self.options)
            stream.height, stream.width = self.size
            stream.pix_fmt = self.pixel_format
            context = stream.codec_context
            context.sample_aspect_ratio, context.time_base = self.aspect, 1 / self.rate
            self.colours.mark_encoder(context)
            for number, frame in enumerate(frames):
                frame.pts, frame.time_base = number, 1 / self.rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def encoding_for(film: Film, size: Size, target: Path, quality: int | None = None, lossless: bool = False) -> Encoding:
    """Choose what an expert would: H.264 for 8 bits, H.265 for more, VP9 or AV1 in WebM; the film's own colours throughout.

    Parameters
    ----------
    film : Film
        The original.
    size : tuple of int
        Height and width of the result, see `whole_size`.
    target : Path
        Where it goes.
    quality : int, optional
        From 1 to 100. By default 69, the rate factor 16.
    lossless : bool
        Whether to write FFV1, which only Matroska should hold.

    Raises
    ------
    EscError
        If the container isn't for that, or this PyAV lacks the encoder.
    """
    container = container_of(target)
    if lossless and container != "matroska":
        raise ImageError(f"a lossless film (FFV1) goes into .mkv, not {target.name!r}.")
    if lossless and quality is not None:
        raise ImageError(f"a lossless film has no quality to choose, but {quality!r} was asked for; leave one of them out.")
    deep = film.bits > 8
    if container == "webm":
        codec, chroma = "libsvtav1" if deep else "libvpx-vp9", "420"
    else:
        codec, chroma = "ffv1" if lossless else "libx265" if deep else "libx264", film.chroma
    bits = (16 if film.bits > 12 else 12 if film.bits > 10 else 10) if lossless else 10
    options, name, worst = ENCODERS[codec]
    if name:
        options = options | {name: str(factor_for(quality, worst))}
    if codec == "libx265" and size[1] < NARROW:
        options = options | WITHOUT_TREE
    try:
        pyav().Codec(codec, "w")
    except ValueError:
        raise EscError(f"this PyAV was built without the encoder {codec!r}; write another container, or lossless.") from None
    pixel_format = f"yuv{chroma}p{bits}le" if deep else f"yuv{chroma}p"
    return Encoding(codec, pixel_format, options, size, film.rate, film.aspect, film.colours)


def factor_for(quality: int | None, worst: int) -> int:
    """Return the constant rate factor of an encoder whose worst is `worst`, for a quality from 1 to 100.

    Not 0, which is lossless with x264, in a profile that hardly any player knows.
    """
    factor = USUAL_FACTOR if quality is None else 51 * (100 - quality) / 100
    return max(round(factor * worst / 51), 1)


def whole_size(film: Film, target: Path, size: Size) -> Size:
    """Return a size without the last row or column where samples of colour are shared by two.

    Cut, not scaled: one row is nothing, but scaling by it would soften the whole picture.
    """
    chroma = "420" if container_of(target) == "webm" else film.chroma
    down, across = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}[chroma]
    return max(size[0] // down, 1) * down, max(size[1] // across, 1) * across


def blank(convert: Conversion, size: Size) -> Sequence[Any]:
    """Return a black frame, to try an encoder with."""
    return [convert.frame(np.zeros((*size, 3), np.uint8 if convert.bits == 8 else np.uint16))]
