"""Which share of the patches comes from which folder, and from what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..batch.find import find_originals
from .images import Images
from .recipe import Data, RecipeError


def check_shares(data: Data) -> None:
    """Raise a `RecipeError` unless there is a share for each folder, or none at all."""
    if data.shares and len(data.shares) != len(data.folders):
        raise RecipeError(f"data.shares: {list(data.shares)} are not one for each of {len(data.folders)} folders.")


def chances(images: Images, data: Data) -> np.ndarray | None:
    """Return how often a patch is taken from each plane, (N,); None if that goes by area alone.

    Parameters
    ----------
    images : Images
        Those of `data`; the drawn ones are the last.
    data : Data

    Raises
    ------
    RecipeError
        If a folder that has a share has no image that isn't in one before it.
    """
    if not data.shares and not data.synthetic.images:
        return None
    groups = _groups(images, data)
    drawn = data.synthetic.share if data.folders else 1.0
    parts = np.array(data.shares or [1.0] * bool(data.folders))
    shares = np.append(parts / (parts.sum() or 1) * (1 - drawn if data.synthetic.images else 1), drawn)
    areas = np.bincount(groups, images.areas, len(shares))
    if (empty := np.flatnonzero(areas[:-1] == 0)).size:
        raise RecipeError(f"data.shares: all images of {data.folders[empty[0]]!r} are in another folder too.")
    result: np.ndarray = images.areas * (shares / np.maximum(areas, 1))[groups]
    return result


def _groups(images: Images, data: Data) -> np.ndarray:
    """Return the number of the folder of each plane; what is drawn has the number after the last."""
    folders: Sequence[list[Path]] = [find_originals([folder]) for folder in data.folders]
    number = {str(path): i for i, paths in reversed(list(enumerate(folders))) for path in paths} if data.shares else {}
    files = images.entries[: len(images) - data.synthetic.images]
    last = len(data.shares) or min(len(data.folders), 1)
    return np.array([number.get(entry.name, 0) for entry in files] + [last] * data.synthetic.images, np.int64)
