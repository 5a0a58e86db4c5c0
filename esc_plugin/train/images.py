"""The images of a training: decoded once into one file, from which all processes cut their patches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from ..arrays.layout import layout_of
from ..arrays.levels import measure_levels
from ..disk import replacing, write_text
from ..errors import ImageError
from ..files import read_picture
from ..progress import Progress
from .folder import TAG, TAG_NAME


@dataclass(frozen=True)
class Entry:
    """Where one plane lies in the file."""

    name: str
    offset: int
    shape: tuple[int, int, int]
    dtype: str


class Images:
    """Planes (H, W, c), c = 1 or 3, uint8 or uint16, whose whole range is what a network sees as 0..1.

    They stay in a file that is mapped into memory, so that many processes share them.
    """

    def __init__(self, file: Path, entries: list[Entry]) -> None:
        self.file, self.entries = file, entries
        self._bytes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> np.ndarray:
        """Return a plane, a view of the file."""
        entry = self.entries[number]
        if self._bytes is None:
            self._bytes = np.memmap(self.file, np.uint8, "r")
        size = int(np.prod(entry.shape)) * np.dtype(entry.dtype).itemsize
        return self._bytes[entry.offset : entry.offset + size].view(entry.dtype).reshape(entry.shape)

    def __getstate__(self) -> tuple[Path, list[Entry]]:
        """Leave the mapping behind: another process makes its own."""
        return self.file, self.entries

    def __setstate__(self, state: tuple[Path, list[Entry]]) -> None:
        self.__init__(*state)  # type: ignore[misc]


def open_images(paths: Sequence[Path], cache: Path, smallest: int, progress: Progress | None = None) -> Images:
    """Decode images into a file, or find that this was done before.

    Parameters
    ----------
    paths : sequence of Path
    cache : Path
        Folder for the file. Its name depends on the images' names, sizes and times.
    smallest : int
        The least height and width, in pixels.
    progress : callable, optional
        ``progress(done, total)``, in images.

    Raises
    ------
    ImageError
        If one can't be read, or is too small.
    """
    if not (cache / TAG_NAME).is_file():
        write_text(cache / TAG_NAME, TAG)
    key = _key(paths)
    file, index = cache / f"{key}.images", cache / f"{key}.json"
    with FileLock(cache / f"{key}.lock"):  # the processes of a machine start at the same time
        if not index.is_file():
            entries = _decode(paths, file, progress)
            write_text(index, json.dumps([vars(entry) for entry in entries]))
        stored = json.loads(index.read_text(encoding="utf-8"))
    images = Images(file, [Entry(**(e | {"shape": tuple(e["shape"])})) for e in stored])
    for entry in images.entries:
        if min(entry.shape[:2]) < smallest:
            size = f"{entry.shape[1]} x {entry.shape[0]}"
            raise ImageError(f"{entry.name!r} is {size} pixels; the recipe's patches need {smallest} x {smallest}.")
    return images


def _key(paths: Sequence[Path]) -> str:
    facts = [(str(path.resolve()), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _decode(paths: Sequence[Path], file: Path, progress: Progress | None) -> list[Entry]:
    entries, offset = [], 0
    with replacing(file) as beside, beside.open("wb") as target:
        for done, path in enumerate(paths, 1):
            for plane in _named_planes(path):
                entries.append(Entry(str(path), offset, plane.shape, plane.dtype.name))
                target.write(plane.data)
                offset += plane.nbytes
                # Values of two bytes must start on an even one.
                offset += target.write(b"\0" * (-offset % 16))
            if progress:
                progress(done, len(paths))
    return entries


def _named_planes(path: Path) -> Iterator[np.ndarray]:
    """Yield what `read_planes` does; every error names the file."""
    try:
        yield from read_planes(path)
    except ImageError as error:
        text = str(error)
        raise ImageError(text if str(path) in text else f"can't train on {str(path)!r}: {text}") from None
    except MemoryError:
        raise ImageError(f"there is no memory for {str(path)!r}.") from None
    except Exception as error:  # planes are decoded when they are asked for, and decoders raise almost anything
        raise ImageError(f"{str(path)!r} is no image that can be read: {' '.join(str(error).split())}.") from None


def read_planes(path: Path) -> Iterator[np.ndarray]:
    """Yield the planes of an image file as `Images` holds them; transparency is left out.

    8-bit values stay as they are. Others are stretched as `Upscaler` does with ``intensity="auto"``, and rounded to 16 bits.
    """
    picture = read_picture(path)
    layout = layout_of(picture.pixels, picture.axes)
    levels = measure_levels(picture.pixels, layout)
    for index in layout.planes():
        plane = layout.plane(picture.pixels, index)
        plane = plane[..., None] if plane.ndim == 2 else plane
        plane = plane[..., :-1] if layout.alpha else plane
        if plane.dtype != np.uint8:
            plane = np.rint(levels[layout.channel(index)].to_unit(plane) * 65535).astype(np.uint16)
        yield np.ascontiguousarray(plane)
