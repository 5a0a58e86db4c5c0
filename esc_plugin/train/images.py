"""The images of a training: decoded once into one file, from which all processes cut their patches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from ..disk import replacing, write_text
from ..errors import ImageError
from ..progress import Progress
from .folder import TAG, TAG_NAME
from .micrographs import Drawing
from .sources import naming, read_planes


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

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each plane, (N,)."""
        return np.array([entry.shape[0] * entry.shape[1] for entry in self.entries], np.float64)

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


def open_images(
    paths: Sequence[Path],
    cache: Path,
    smallest: int,
    progress: Progress | None = None,
    drawing: Drawing | None = None,
) -> Images:
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
    drawing : Drawing, optional
        Micrographs to draw, the last of the images.

    Raises
    ------
    ImageError
        If one can't be read, or is too small.
    """
    if not (cache / TAG_NAME).is_file():
        write_text(cache / TAG_NAME, TAG)
    key = _key(paths, drawing)
    file, index = cache / f"{key}.images", cache / f"{key}.json"
    with FileLock(cache / f"{key}.lock"):  # the processes of a machine start at the same time
        if not index.is_file():
            entries = _decode(paths, drawing, file, progress)
            write_text(index, json.dumps([vars(entry) for entry in entries]))
        stored = json.loads(index.read_text(encoding="utf-8"))
    images = Images(file, [Entry(**(e | {"shape": tuple(e["shape"])})) for e in stored])
    for entry in images.entries:
        if min(entry.shape[:2]) < smallest:
            size = f"{entry.shape[1]} x {entry.shape[0]}"
            raise ImageError(f"{entry.name!r} is {size} pixels; the recipe's patches need {smallest} x {smallest}.")
    return images


def _key(paths: Sequence[Path], drawing: Drawing | None) -> str:
    facts: list[Any] = [(str(path.resolve()), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths]
    facts += [vars(drawing)] if drawing else []
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _decode(paths: Sequence[Path], drawing: Drawing | None, file: Path, progress: Progress | None) -> list[Entry]:
    total = len(paths) + (drawing.images if drawing else 0)
    with ImageWriter(file) as writer:
        for done, (name, planes) in enumerate(chain(map(_read, paths), drawing or ()), 1):
            with naming(Path(name)):
                for plane in planes:
                    writer.add(name, plane)
            if progress:
                progress(done, total)
    return writer.entries


def _read(path: Path) -> tuple[str, Iterator[np.ndarray]]:
    return str(path), read_planes(path)


class ImageWriter:
    """Puts planes into a file, one after the other; the file appears when the context is left, whole or not at all."""

    def __init__(self, file: Path) -> None:
        self.file, self.entries = file, list[Entry]()
        self._offset = 0
        self._open = ExitStack()

    def __enter__(self) -> ImageWriter:
        with ExitStack() as stack:
            beside = stack.enter_context(replacing(self.file))
            self._target = stack.enter_context(beside.open("wb"))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def add(self, name: str, plane: np.ndarray) -> None:
        """Write a plane (H, W, c), contiguous."""
        self.entries.append(Entry(name, self._offset, plane.shape, plane.dtype.name))
        self._target.write(plane.data)
        self._offset += plane.nbytes
        # Values of two bytes must start on an even one.
        self._offset += self._target.write(b"\0" * (-self._offset % 16))

    @property
    def images(self) -> Images:
        """What was written."""
        return Images(self.file, self.entries)
