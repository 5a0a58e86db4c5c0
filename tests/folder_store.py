"""A store that is filled block by block, as plain as can be, which writes down who wrote what."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Region = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Square:
    index: int
    plane: tuple[int, ...]
    region: Region

    def __str__(self) -> str:
        return f"block {self.index}"


@dataclass
class FolderStore:
    folder: Path
    shape: tuple[int, ...]
    edge: int = 64
    samples: bool = False
    full: tuple[int, ...] = field(default=())
    pause: float = 0.0

    def blocks(self, level: int = 0) -> list[Square]:
        *planes, height, width = self.shape[:-1] if self.samples else self.shape
        squares = []
        for *plane, row, column in np.ndindex(*planes, -(-height // self.edge), -(-width // self.edge)):
            top, left = row * self.edge, column * self.edge
            region = (top, min(top + self.edge, height)), (left, min(left + self.edge, width))
            squares.append(Square(len(squares), tuple(plane), region))
        return squares

    def part(self, i: int, n: int, level: int = 0) -> list[Square]:
        return self.blocks()[i - 1 :: n]

    def path(self, block: Square) -> Path:
        return self.folder / f"{block.index}.npy"

    def done(self, block: Square) -> bool:
        return self.path(block).exists()

    def missing(self, level: int = 0) -> list[Square]:
        return [block for block in self.blocks() if not self.done(block)]

    def write(self, block: Square, values: np.ndarray) -> None:
        if block.index in self.full:
            raise OSError(28, "No space left on device")
        time.sleep(self.pause)
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / f"{block.index}.{os.getpid()}.tmp"
        with beside.open("wb") as file:
            np.save(file, values)
        beside.replace(self.path(block))
        with (self.folder / "log").open("a") as log:
            log.write(f"{block.index} {os.getpid()}\n")

    def log(self) -> list[tuple[int, int]]:
        """Return the numbers of the blocks that were written, and by which process."""
        path = self.folder / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(block), int(pid)) for block, pid in (line.split() for line in lines)]

    def whole(self, dtype: Any = np.uint8) -> np.ndarray:
        made = np.zeros(self.shape, dtype)
        for block in self.blocks():
            made[(*block.plane, *(slice(*span) for span in block.region))] = np.load(self.path(block))
        return made


def unless_deadly(item: str) -> None:
    """Take the process with it, or do nothing."""
    if item == "deadly":
        time.sleep(0.5)  # so that other work waits for this process
        os._exit(1)
