"""One image by many processes: the exact survey of it, and in the same pass the exact picture.

Each process works on a band of the result, and on what that needs of the image. All that they share is a sum of some numbers
for each layer that depends on the whole image, so any number of processes gives the same bits.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays.layout import Index, layout_of
from ..arrays.levels import Levels
from ..arrays.stack import Stack
from ..arrays.surveyed import PlaneSurvey
from ..device import free_bytes, instruction_set, precision_name
from ..engine.plan import SHARE_OF_FREE
from ..errors import EscError, ImageError
from ..network.grid import Region
from ..progress import Cancel, Progress, part_of, stop_if_asked
from ..survey import Request, Survey, image_digest
from ..upscaler import Upscaler
from ..version import __version__
from .bands import Bands, PlaneOf, Write, borders, plane_layout
from .group import Group, joined
from .journal import Journal, JournalFile, whole_lines
from .launch import distributed

__all__ = ["Group", "Write", "distributed", "joined", "run_exact"]

logger = logging.getLogger(__name__)


def run_exact(
    upscaler: Upscaler,
    image: Any,
    request: Request,
    group: Group,
    *,
    write: Write | None = None,
    finished: Callable[[Index, Region], bool] | None = None,
    rows: int = 1,
    journal: str | Path | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    mask: np.ndarray | None = None,
) -> Survey:
    """Make the survey of an image, and the picture if wanted. All processes of a group call it with the same arguments.

    Parameters
    ----------
    upscaler : Upscaler
        On the device of this process.
    image : array
        NumPy, dask, zarr, or what else is read by index. Each process reads the rows that its band needs; rank 0 also looks
        for the levels of intensity, and at transparency where that must be opaque.
    request : Request
        What is asked for, see `Upscaler.request`.
    group : Group
        From `joined`.
    write : callable, optional
        ``write(index, region, values)`` takes the band of this process, once for each plane: `region` in pixels of that
        plane of the result, `values` with its axes. Without it, only the survey is made.
    finished : callable, optional
        ``finished(index, region) -> bool``: whether a band needn't be made again, as is known of a plane that was surveyed
        before.
    rows : int
        Bands begin at multiples of so many rows of the result, such as those of a shard, which one process must write.
        Where there are fewer than processes, some have nothing to do.
    journal : Path, optional
        A file in which rank 0 keeps what has been found. If it is there, the work goes on from there, with any number of
        processes: they needn't wait for each other before they come to what isn't known. It is removed at the end.
    progress, cancel : callable, optional
        See `Upscaler.__call__`; each process may have its own.
    mask : numpy.ndarray, optional
        See `Upscaler.__call__`.

    Returns
    -------
    Survey
        The same in all processes.

    Raises
    ------
    EscError
        In all processes, if any can't go on.
    """
    with group.together():
        path = JournalFile(Path(journal)) if journal is not None and group.rank == 0 else None
        mask = upscaler.mask(mask, request)
        processes = _agreement(group, upscaler, image, request, mask)
        known = _begun(group, upscaler, image, request, path, cancel)
        known.head = replace(known.head, request=request)  # which a journal of another strength serves, too
        bands = borders(request.target[0], group.size, rows if write else 1)
        with _set_up(upscaler, known, processes):
            work = _Work(upscaler, image, group, known, bands, path, write, finished, mask)
            planes = tuple(work.planes(progress, cancel))
    if path:
        path.remove()
    return replace(known.head, planes=planes)


@dataclass
class _Work:
    """What the processes do once they agree."""

    upscaler: Upscaler
    image: Any
    group: Group
    known: Journal
    borders: tuple[int, ...]
    file: JournalFile | None
    write: Write | None
    finished: Callable[[Index, Region], bool] | None
    mask: np.ndarray | None

    def planes(self, progress: Progress | None, cancel: Cancel | None) -> Iterator[PlaneSurvey]:
        """Do one plane after the other."""
        planes = self.known.head.request.layout.planes()
        for i, index in enumerate(planes):
            stop_if_asked(cancel)
            part = part_of(progress, i, len(planes))
            if i < len(self.known.planes):
                yield self._known(index, self.known.planes[i], part, cancel)
            else:
                yield self._found(index, part, cancel)

    def _found(self, index: Index, progress: Progress | None, cancel: Cancel | None) -> PlaneSurvey:
        """Survey a plane, and make the band."""
        bands = self._bands
        region = bands.region(self._width)
        # Without a band there is as little to do as can be: to be there whenever sums are made.
        view, stack = self._plane(index, region or Region(0, 0, 1, 1), bands)
        out = self._room(stack) if self.write and region else None
        found = stack.run(view, out, progress, cancel)[0]
        if self.known.sums:
            raise EscError("the journal has more sums than a plane needs; remove it.")
        if self.file:
            self.file.add_plane(found)
        self._hand_out(index, region, out)
        return found

    def _known(self, index: Index, plane: PlaneSurvey, progress: Progress | None, cancel: Cancel | None) -> PlaneSurvey:
        """Make the band of a plane that was surveyed before."""
        region = self._bands.region(self._width)
        if not self.write or not region or (self.finished and self.finished(index, region)):
            return plane
        view, stack = self._plane(index, region)
        out = self._room(stack)
        stack.run(view, out, progress, cancel, [plane])
        self._hand_out(index, region, out)
        return plane

    def _hand_out(self, index: Index, region: Region | None, out: np.ndarray | None) -> None:
        if self.write and region and out is not None:
            self.write(index, region, out)

    @property
    def _bands(self) -> Bands:
        return Bands(self._reduce, self.group.rank, self.group.size, self.borders)

    @property
    def _width(self) -> int:
        return self.known.head.request.target[1]

    def _plane(self, index: Index, region: Region, bands: Bands | None = None) -> tuple[Any, Stack]:
        """Return a plane as an array, and what makes a region of its result."""
        request = self.known.head.request
        layout = request.layout
        levels = self.known.head.levels_of(np.dtype(self.image.dtype))
        stack = self.upscaler.stack(request, levels, region, bands, self.mask)
        stack = replace(stack, layout=plane_layout(layout), levels=[levels[layout.channel(index)]])
        if isinstance(self.image, np.ndarray):
            return self.image[index], stack
        return PlaneOf(self.image, index, stack.layout), stack

    @staticmethod
    def _room(stack: Stack) -> np.ndarray:
        return np.empty(stack.shape, stack.dtype)

    def _reduce(self, total: Tensor) -> Tensor:
        """Return the sum over all processes: one that is known, or one that they make now."""
        if self.known.sums:
            known = self.known.sums.popleft()
            if known.shape != total.shape:
                raise EscError(f"the journal has a sum of {tuple(known.shape)} where {tuple(total.shape)} is asked for.")
            return known.to(total.device, total.dtype)
        found = self.group.sum(total)
        if self.file:
            self.file.add_sum(found)
        return found


def _agreement(group: Group, upscaler: Upscaler, image: Any, request: Request, mask: np.ndarray | None) -> int:
    """Return how many processes share the memory of this one, once it is sure that all are about to do the same."""
    device = upscaler.device
    same = {
        "version": __version__,
        "model": upscaler.recipe,
        "network": upscaler.model.fingerprint,
        "precision": precision_name(upscaler.dtype_for(request.bits)),
        "image": image_digest(image, request.layout),
        "mask": "" if mask is None else image_digest(mask, layout_of(mask, "YX")),
        **asdict(request),
    }
    machine = [torch.__version__, instruction_set(device)]
    place = [socket.gethostname(), str(device)]
    told = [json.loads(text) for text in group.gather(json.dumps([same, machine, place]))]
    for rank, (other, _, _) in enumerate(told):
        for name, value in told[0][0].items():
            if other[name] != value:
                raise EscError(f"rank {rank} has the {name} {other[name]!r:.200}, but rank 0 has {value!r:.200}.")
    if group.rank == 0:
        for rank, (_, other, _) in enumerate(told):
            _warn_of_mixture(f"rank {rank} runs on", other, "rank 0 on", machine)
    return sum(other == place for _, _, other in told)


def _warn_of_mixture(one: str, first: list[str], two: str, second: list[str]) -> None:
    if first != second:
        text = (
            "%s torch %s with %s, %s torch %s with %s: results may differ in their last bits from those of equal machines."
        )
        logger.warning(text, one, *first, two, *second)


def _begun(
    group: Group, upscaler: Upscaler, image: Any, request: Request, file: JournalFile | None, cancel: Cancel | None
) -> Journal:
    """Return what is known, in all processes: what rank 0 finds in its file, or what it has to begin with."""
    text = ""
    if group.rank == 0:
        text = (_continued(upscaler, image, request, file) if file else None) or _new(upscaler, image, request, cancel)
        if file:
            file.begin(text)
    return Journal.read(group.gather(text)[0])


def _continued(upscaler: Upscaler, image: Any, request: Request, file: JournalFile) -> str | None:
    """Return what the file holds, if it is there.

    Raises
    ------
    ImageError
        If it belongs to other work.
    """
    if (text := file.read()) is None:
        return None
    try:
        found = Journal.read(text)
        upscaler.check(found.survey, request, image)
        found.check(precision_name(upscaler.dtype_for(request.bits)))
    except ImageError as error:
        raise ImageError(f"can't go on with {str(file.path)!r}: {error} Remove it, or name another.") from None
    was = found.head.environment
    _warn_of_mixture(
        "the journal was begun on",
        [was.torch, was.instructions],
        "this is",
        [torch.__version__, instruction_set(upscaler.device)],
    )
    return whole_lines(text)


def _new(upscaler: Upscaler, image: Any, request: Request, cancel: Cancel | None) -> str:
    """Look at the image for what must be known before the first plane."""
    wished = request.intensity
    if not isinstance(wished, str):
        wished = [Levels(float(low), float(high), np.dtype(image.dtype)) for low, high in wished]
    levels = upscaler.levels(image, axes=request.axes, intensity=wished, nan=request.nan, cancel=cancel)
    upscaler.stack(request, levels).check(image, cancel=cancel)
    head = upscaler.surveyed(image, request, levels, [PlaneSurvey()] * request.layout.count)
    return Journal(head, precision_name(upscaler.dtype_for(request.bits))).header()


@contextmanager
def _set_up(upscaler: Upscaler, known: Journal, processes: int) -> Iterator[None]:
    """Let processes of one machine share its memory, and go on in float32 if something shorter is known to overflow."""
    before = upscaler.memory_limit, upscaler.precision
    if upscaler.memory_limit is None and processes > 1:
        upscaler.memory_limit = int(free_bytes(upscaler.device) * SHARE_OF_FREE) // processes
    if any(run.precision != known.precision for plane in known.planes for run in (*plane.colours, *plane.alpha)):
        upscaler.precision = "float32"
    try:
        yield
    finally:
        upscaler.memory_limit, upscaler.precision = before
