"""Rendering jobs: blocks of one result into a store that many workers fill together.

A job knows nothing of other blocks, and may be done again at any time. There is no step that waits for all, and no pixels
come back, so that it doesn't matter who works, how many, and how often one of them dies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..arrays.layout import Layout
from ..arrays.lazy import Place
from ..errors import ImageError
from ..progress import Cancel, Progress
from ..renderer import Renderer
from .crew import Crew, crew

if TYPE_CHECKING:
    from ..survey import Survey
    from ..upscaler import Upscaler

logger = logging.getLogger(__name__)


class Block(Protocol):
    """A piece of a result that is written at once; its text says which."""

    @property
    def plane(self) -> tuple[int, ...]:
        """Index of the axes but Y, X and S, in the order of the image."""
        ...

    @property
    def region(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns, ends excluded."""
        ...


class Store(Protocol):
    """What is filled block by block, by any number of workers, in any order. It must be picklable."""

    def blocks(self, level: int = 0) -> Sequence[Any]:
        """Return all blocks, in an order that never changes."""
        ...

    def part(self, i: int, n: int, level: int = 0) -> Sequence[Any]:
        """Return part `i` of `n` (1 to `n`) of the blocks."""
        ...

    def missing(self, level: int = 0) -> Sequence[Any]:
        """Return the blocks that aren't done."""
        ...

    def done(self, block: Any) -> bool:
        """Whether a block is done."""
        ...

    def write(self, block: Any, values: Any) -> None:
        """Write a block, (Y, X) or (Y, X, S), and note that it is done."""
        ...


#: Ends a result of which nothing is missing: ``finish(each=..., progress=..., cancel=...)``, see `ShardedImage.finish`.
Finish = Callable[..., None]


@dataclass(frozen=True)
class Summary:
    """What became of a rendering.

    Attributes
    ----------
    rendered : int
        Blocks that were made now.
    kept : int
        Blocks that were done before, of those that were asked for.
    failures : tuple of str
        What went wrong, a line for each block.
    missing : int
        Blocks of the whole result that aren't done.
    finished : bool
        Whether the result was finished.
    """

    rendered: int
    kept: int
    failures: tuple[str, ...]
    missing: int
    finished: bool


@dataclass(frozen=True)
class Job:
    """Renders any block of one result and writes it."""

    render: Renderer
    image: Any
    store: Store

    def __call__(self, block: Block) -> None:
        """Do it, unless it is done: dask does tasks again whose worker is gone, with all that it knew of them."""
        if self.store.done(block):
            return
        values = self.render(self.image, self.place(block))
        axes = self.render.survey.request.axes
        # (..., Y, X[, S]) whatever the order of the array's axes is
        planes = tuple(slice(None) if axis in "YXS" else 0 for axis in axes)
        self.store.write(block, Layout(values.shape, axes).plane(values, planes))

    def place(self, block: Block) -> Place:
        """Return where a block lies, for each axis of the array."""
        layout = self.render.survey.request.layout
        spans = dict(zip((a for a in layout.axes if a not in "YXS"), map(_one, block.plane), strict=True))
        spans |= {"Y": block.region[0], "X": block.region[1], "S": (0, layout.samples)}
        return tuple(spans[a] for a in layout.axes)


def _one(i: int) -> tuple[int, int]:
    return i, i + 1


class Local:
    """A dask array whose parts are computed by who reads them: a task that waited for other tasks would hold its worker.

    Parameters
    ----------
    array : dask.array.Array
        The array. What of it lies in the memory of a cluster can't travel.
    """

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return the values."""
        return np.asarray(self.array[index].compute(scheduler="synchronous"))


def render(
    upscaler: Upscaler,
    image: Any,
    survey: Survey,
    store: Store,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    part: tuple[int, int] | None = None,
    finish: Finish | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    mask: np.ndarray | None = None,
) -> Summary:
    """Render what a store lacks of a result.

    Parameters
    ----------
    upscaler : Upscaler
        What renders. It travels to each worker once.
    image : array
        What the survey was made of. Workers read their own parts, so it should be read by index, and be there for all.
    survey : Survey
        Of the image, for this upscaler.
    store : Store
        Where the result goes.
    workers : int
        Processes on this machine, see `crew`.
    scheduler : str, optional
        Address of a scheduler of dask whose workers are taken instead.
    part : pair of int, optional
        ``(i, n)``: only part i of n (1 to n) of the blocks, for machines that know nothing of each other.
    finish : callable, optional
        What ends the result once nothing is missing, such as ``partial(store.finish, name)``.
    progress, cancel : callable, optional
        ``progress(done, total)`` in blocks, and ``cancel() -> bool``; blocks that are being made are finished then.
    mask : numpy.ndarray, optional
        See `Upscaler.__call__`. The strength is that of the survey's request.

    Returns
    -------
    Summary
        A block that fails, such as one whose pixels can't be read, is told there, and the others go on.

    Raises
    ------
    ImageError
        If survey, image and store don't belong together.
    StoreError
        If the store takes nothing more, as on a full disk.
    Cancelled
        If `cancel` returned ``True``.
    EscError
        If there are no such workers. In all cases what is done stays done.
    """
    if workers < 1:
        raise ImageError(f"workers must be 1 or more, not {workers!r}.")
    upscaler.check(survey, survey.request, image)
    mask = upscaler.mask(mask, survey.request)
    renderer = Renderer(upscaler, survey, np.dtype(image.dtype), mask)
    blocks = store.part(*part) if part else store.blocks()
    job = Job(renderer, _travelling(image), store)
    _check_store(job, store.blocks()[-1])
    missing = set(store.missing())
    todo = [block for block in blocks if block in missing]
    with crew(workers, scheduler, cancel) as hands:
        failures = tuple(_rendered(hands, job, todo, len(blocks), progress))
        left = len(store.missing()) if not part or finish else len(missing) - len(todo) + len(failures)
        if finish and not left:
            finish(each=built_by(hands), progress=progress, cancel=cancel)
    return Summary(len(todo) - len(failures), len(blocks) - len(todo), failures, left, bool(finish) and not left)


def _rendered(hands: Crew[Any], job: Job, todo: Sequence[Block], total: int, progress: Progress | None) -> Iterator[str]:
    """Yield what goes wrong."""
    for done, (block, failure) in enumerate(hands(job, todo), total - len(todo) + 1):
        if failure:
            line = failure if str(block) in failure else f"{block}: {failure}"
            logger.error("%s", line)
            yield line
        if progress:
            progress(done, total)


def built_by(hands: Crew[Any]) -> Callable[[Callable[[Any], None], Iterable[Any]], Iterator[None]]:
    """Return what builds blocks of a pyramid with a crew, see `ShardedImage.finish`."""

    def each(function: Callable[[Any], None], blocks: Iterable[Any]) -> Iterator[None]:
        for _, failure in hands(function, blocks):
            if failure:
                raise ImageError(failure)
            yield

    return each


def _travelling(image: Any) -> Any:
    return Local(image) if hasattr(image, "dask") else image


def _check_store(job: Job, last: Block) -> None:
    shape = job.render.shape
    try:
        ends = tuple(stop for _, stop in job.place(last))
    except ValueError:
        ends = ()
    if ends != shape:
        (_, bottom), (_, right) = last.region
        raise ImageError(
            f"the store's last block, plane {last.plane}, ends at row {bottom}, column {right}; the result is {shape}."
        )
