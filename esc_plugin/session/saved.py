"""What a file says of the results of tasks, and whether it can hold them."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import expanduser
from pathlib import Path

import numpy as np

from ..errors import ImageError
from ..files.formats import writable_suffixes
from ..files.ome_axes import Axes
from ..files.ome_layers import Joined, Layer, join
from ..files.ome_notes import Channel
from ..files.room import check_target
from .task import Task

#: What results can be written as; the first is added to a name that has no ending.
SUFFIXES = (".ome.zarr", ".zarr", ".tif", ".tiff")


def named(name: str | Path) -> Path:
    """Return the file that a person means by a name: ``~`` is their home, and without an ending it is OME-Zarr.

    Raises
    ------
    ImageError
        If it ends as images of another format do.
    """
    path = Path(expanduser(name)).absolute()  # noqa: PTH111  # that of Path can't stand a user who isn't there
    if path.name.lower().endswith(SUFFIXES):
        return path
    if path.suffix.lower() in writable_suffixes():
        raise ImageError(f"results are written as OME-Zarr or OME-TIFF; let {path.name!r} end in .ome.zarr or .ome.tif.")
    return path.with_name(path.name + SUFFIXES[0])


def joined(tasks: Sequence[Task], about: Sequence[tuple[Axes, Channel]]) -> Joined:
    """Return the results of tasks as the channels of one image, before they are made.

    Parameters
    ----------
    about : sequence of (Axes, Channel)
        Names, pixel size, position and units of each result's axes, and how it is called and shown.

    Raises
    ------
    ImageError
        If they don't fit together.
    """
    none = (np.broadcast_to(np.zeros((), task.whole.dtype), task.shape) for task in tasks)
    return join([Layer(pixels, *it, task.rgb) for pixels, it, task in zip(none, about, tasks, strict=True)])


def check_saved(tasks: Sequence[Task], about: Sequence[tuple[Axes, Channel]]) -> None:
    """Raise an `ImageError` unless the file that tasks are for can be made, and hold their results."""
    path = tasks[0].settings.store
    if path is None:
        raise ImageError("no file was named.")
    joined(tasks, about)
    check_target(path, sum(task.nbytes for task in tasks))
