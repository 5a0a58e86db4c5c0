"""PyAV, which is imported when a film is opened, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from ..errors import EscError, ImageError, needs

#: Before it, streams are copied without what their decoders need to know.
OLDEST = (15, 1)
#: Finer ticks don't fit into the 32 bits that MP4 has for the time from one frame to the next, and frames would be lost.
FINEST = Fraction(1, 1_000_000)
#: Coarser ticks are halved in MP4 until they aren't.
COARSEST = Fraction(1, 10_000)
#: Ticks that a frame may be shown for: MP4 has 31 bits for them, and for what its decoding order adds.
LONGEST = 2**31 - 2**10


def pyav() -> Any:
    """Return PyAV, or raise an `EscError` that says how to get it."""
    needs("video")
    import av

    if tuple(map(int, av.__version__.split(".")[:2])) < OLDEST:
        raise EscError(f"films need PyAV {OLDEST[0]}.{OLDEST[1]} or newer, this is {av.__version__}: pip install -U av")
    return av


@contextmanager
def failing_as(what: str) -> Iterator[None]:
    """Turn errors of PyAV into an `ImageError` of one line that begins with `what`."""
    av = pyav()
    try:
        yield
    except av.FFmpegError as error:
        raise ImageError(f"{what}: {error.strerror or error}.") from None


def limit(max_pixels: int | None) -> dict[str, str]:
    """Return the options by which FFmpeg refuses larger frames before it makes room for them, or decodes them to guess."""
    return {"max_pixels": str(2 * max_pixels)} if max_pixels else {}  # it counts them as coded, in whole blocks


@contextmanager
def reading(path: str, max_pixels: int | None = None) -> Iterator[Any]:
    """Give the opened container of a film.

    Parameters
    ----------
    path : str
        Of the file.
    max_pixels : int, optional
        Of a frame that is looked at.

    Raises
    ------
    ImageError
        If it is none, or what is inside can't be read meanwhile.
    """
    # Tags in another encoding, such as old cameras write them, are no reason to refuse a film.
    how = {"metadata_errors": "replace", "options": limit(max_pixels)}
    with failing_as(f"can't read the film {path!r}"), pyav().open(path, **how) as container:
        yield container
