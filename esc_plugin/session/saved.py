"""What a file says of the results of tasks, and whether it can hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ImageError
from ..files.ome_axes import Axes
from ..files.ome_layers import Joined, Layer, join
from ..files.ome_notes import Channel
from ..files.room import check_target
from .task import Task


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
