"""Which of a few images are trained on, and which are held out to measure with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from .images import read_planes

#: Of so many files or more, one in `ONE_IN` is held out whole; of fewer, this share of each.
WHOLE_FILES, ONE_IN, SHARE = 5, 5, 0.25


def split(paths: Sequence[Path], parts: Path) -> tuple[list[Path], list[Path]]:
    """Return files to train on and files to measure with; of few files, pieces that are written into the folder `parts`."""
    if len(paths) >= WHOLE_FILES:
        chosen = set(np.random.default_rng(0).permutation(len(paths))[: len(paths) // ONE_IN].tolist())
        return [p for i, p in enumerate(paths) if i not in chosen], [p for i, p in enumerate(paths) if i in chosen]
    pieces = [piece for number, path in enumerate(paths) for piece in _cut(path, number, parts)]
    return [seen for seen, _ in pieces], [unseen for _, unseen in pieces]


def _cut(path: Path, number: int, parts: Path) -> list[tuple[Path, Path]]:
    """Cut each plane in two across its longer side; of a stack always at the same place, since its planes are alike."""
    pieces = []
    for plane_number, plane in enumerate(read_planes(path)):
        axis = int(plane.shape[1] >= plane.shape[0])
        halves = np.split(plane, [round(plane.shape[axis] * (1 - SHARE))], axis)
        name = f"{path.stem}-{number}-{plane_number}.tif"
        written = parts / "seen" / name, parts / "held-out" / name
        for half, target in zip(halves, written, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            gray = half.shape[2] == 1
            tifffile.imwrite(target, half[..., 0] if gray else half, photometric="minisblack" if gray else "rgb")
        pieces.append(written)
    return pieces
