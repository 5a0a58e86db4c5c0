"""What a kind of image file is: what it can hold, how it is told, read and written. The kinds are listed in `formats`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from .picture import Picture

#: What most formats have a place for.
USUAL = frozenset({"colour profile", "EXIF", "XMP"})
#: A format is told by so many bytes at the start of a file.
HEAD_BYTES = 16


@dataclass(frozen=True)
class Format:
    """One kind of image file.

    Attributes
    ----------
    name : str
        As people write it, and as `Picture.format` says it.
    suffixes : tuple of str
        In lower case, with their dots; the first is the usual one.
    starts : re.Pattern
        Matches the first `HEAD_BYTES` of such a file, whatever the file is called.
    read : callable
        ``read(path, max_pixels) -> Picture``, of an address too if the format has such; raises an `ImageError`, or whatever
        its decoder raises.
    read_lazily : callable, optional
        The same, for pixels that are read when they are indexed; `max_pixels` is for what can't be.
    packet : callable
        ``packet(path) -> bytes or None``: the XMP packet, without the image being decoded.
    write : callable, optional
        ``write(file, picture, quality)`` to a file that is open for reading too; `quality` is 1 to 100 or ``None``.
        A format without it is only read.
    dtypes, axes : tuple of str, optional
        What pixels can be, such as ``"uint8"`` and ``"YXS"``; by default anything.
    alpha : bool
        Whether a pixel can be transparent.
    largest_side : int, optional
        Most rows or columns.
    exact : bool
        Whether each value is read again as it was written.
    keeps : frozenset of str
        Which of the things that `carried` names it has a place for.
    check : callable, optional
        ``check(picture, shape, dtype)`` raises an `ImageError` for what the fields above can't say.
    store : bool
        Whether it is a folder, or behind an address, that is filled block by block, see `ShardedImage`, and not written at
        once.
    inner_suffix : str
        What may stand before a suffix and belongs to it: ``".ome"`` of ``a.ome.tif``.
    """

    name: str
    suffixes: tuple[str, ...]
    starts: re.Pattern[bytes]
    read: Callable[[Any, int], Picture]
    packet: Callable[[Any], bytes | None]
    write: Callable[[IO[bytes], Picture, int | None], None] | None = None
    read_lazily: Callable[[Any, int], Picture] | None = None
    dtypes: tuple[str, ...] | None = None
    axes: tuple[str, ...] | None = None
    alpha: bool = True
    largest_side: int | None = None
    exact: bool = False
    keeps: frozenset[str] = frozenset()
    check: Callable[[Picture, tuple[int, ...], np.dtype], None] | None = None
    inner_suffix: str = ""
    store: bool = False

    def holds_type(self, dtype: np.dtype) -> bool:
        """Whether pixels can be of a type, in any byte order."""
        return self.dtypes is None or dtype.name in self.dtypes

    def holds_axes(self, axes: str) -> bool:
        """Whether an image can have these axes, such as ``"YXS"``."""
        return self.axes is None or axes in self.axes

    def split_stem(self, stem: str) -> tuple[str, str]:
        """Return a name without its suffix, and what of it belongs to the suffix: ``("a", ".ome")`` of ``"a.ome"``."""
        inner = self.inner_suffix
        return (stem[: -len(inner)], stem[-len(inner) :]) if inner and stem.lower().endswith(inner) else (stem, "")


def carried(picture: Picture) -> list[str]:
    """Return what a picture carries that only some formats have a place for, by the names in `Format.keeps`."""
    names = {name for name, _ in picture.chunks}
    found = {
        "colour profile": bool(picture.icc),
        "EXIF": bool(picture.exif),
        "XMP": bool(picture.xmp),
        "text": bool(names & {b"tEXt", b"zTXt", b"iTXt"}),
        # A profile says more of the colours.
        "gamma and primaries": not picture.icc and bool(names & {b"gAMA", b"cHRM", b"cICP"}),
        "comment": bool(picture.comment),
        "IPTC": bool(picture.iptc),
        "TIFF metadata": picture.tiff is not None and bool(picture.tiff.metadata),
        "resolution": bool(picture.dpi),
        "pixel size": picture.ome is not None and picture.tiff is None,  # which says it itself
    }
    return [name for name, is_there in found.items() if is_there]
