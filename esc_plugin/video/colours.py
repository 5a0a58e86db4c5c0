"""What the numbers of a frame mean, and frames as RGB and back, by the matrix and the range that the film states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays.sizes import Size
from ..errors import ImageError
from .library import pyav

#: Codes of ITU-T H.273 for "nobody says".
UNKNOWN = 2
#: Matrices by their codes of H.273, as libswscale names them; it knows no others.
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
BT709, BT601 = 1, 6
LIMITED, FULL = 1, 2
#: Bicubic, accurate rounding, full chroma in and out, as libswscale numbers them: only so does an untouched frame come back
#: as it was, to one level of 8 bits. Its quick ways are off by four in the chroma, or draw nonsense from 10 bits.
EXACT = 0x4 | 0x40000 | 0x2000 | 0x4000


@dataclass(frozen=True)
class Colours:
    """What the numbers mean, in codes of ITU-T H.273.

    Attributes
    ----------
    matrix : int
        Between RGB and luma with chroma.
    full : bool
        Whether black and white are 0 and 255 rather than 16 and 235.
    primaries, transfer : int
        Which lights the numbers stand for. They pass through: the network sees the numbers.
    """

    matrix: int
    full: bool
    primaries: int = UNKNOWN
    transfer: int = UNKNOWN

    @property
    def range(self) -> int:
        """The range as FFmpeg counts it."""
        return FULL if self.full else LIMITED

    def mark_encoder(self, context: Any) -> None:
        """Have an encoder say it."""
        context.colorspace, context.color_range = self.matrix, self.range
        context.color_primaries, context.color_trc = self.primaries, self.transfer


def has_no_matrix(kind: Any) -> bool:
    """Whether a format of pixels is RGB."""
    return bool(kind.is_rgb or kind.has_palette)


def colours_of(frame: Any, context: Any) -> Colours:
    """Return what a film's first frame and its decoder say, and what players take it for where they say nothing.

    Raises
    ------
    ImageError
        If the matrix is none that libswscale knows.
    """
    primaries, transfer = int(context.color_primaries), int(context.color_trc)
    if has_no_matrix(frame.format):
        return Colours(BT709, False, primaries, transfer)  # it has no matrix; the result needs one
    matrix, full = int(frame.colorspace), int(frame.color_range) == FULL or frame.format.name.startswith("yuvj")
    if matrix in (0, UNKNOWN):
        matrix = guessed_matrix((frame.height, frame.width))
    if matrix not in MATRICES:
        raise ImageError(f"the film's colours have the matrix {matrix} of ITU-T H.273, which can't be converted.")
    return Colours(matrix, full, primaries, transfer)


def guessed_matrix(size: Size) -> int:
    """Return what players assume where nothing is said: that of HD from 1280 pixels wide or 577 high on, as mpv does.

    A larger result would be taken for HD, so it must say what its small original was taken for.
    """
    return BT709 if size[1] >= 1280 or size[0] > 576 else BT601


@dataclass
class Conversion:
    """Frames as RGB, and RGB as frames.

    Attributes
    ----------
    colours : Colours
        Of the film, and of the result.
    bits : int
        Of a value of RGB: 8 or 16.
    pixel_format : str
        Of the result, such as ``"yuv420p"``.
    turns : int
        Quarter turns to the left after which frames are upright.
    """

    colours: Colours
    bits: int
    pixel_format: str
    turns: int = 0
    _reformatters: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def _rgb(self) -> str:
        return "rgb24" if self.bits == 8 else "rgb48le"

    @property
    def _of_rgb(self) -> int:
        """The range of RGB, which libswscale ignores; but PyAV before 17 ignores all where both ends are the same."""
        return LIMITED if self.colours.full else FULL

    def rgb(self, frame: Any) -> np.ndarray:
        """Return a decoded frame, (H, W, 3) uint8 or uint16, upright."""
        source = self._of_rgb if has_no_matrix(frame.format) else self.colours.range
        decoded = self._reformat(frame, self._rgb, source, self._of_rgb).to_ndarray()
        return np.ascontiguousarray(np.rot90(decoded, self.turns))

    def frame(self, rgb: np.ndarray) -> Any:
        """Return a frame for the encoder of (H, W, 3) of the same type as `rgb` gives."""
        frame = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format=self._rgb)
        frame = self._reformat(frame, self.pixel_format, self._of_rgb, self.colours.range)
        frame.colorspace, frame.color_range = self.colours.matrix, self.colours.range
        return frame

    def _reformat(self, frame: Any, pixel_format: str, source: int, target: int) -> Any:
        reformatter = self._reformatters.setdefault(pixel_format, pyav().video.reformatter.VideoReformatter())
        matrix = MATRICES[self.colours.matrix]
        return reformatter.reformat(
            frame,
            format=pixel_format,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=source,
            dst_color_range=target,
            interpolation=EXACT,
        )
