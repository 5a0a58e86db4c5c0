"""Filling a store with one result: survey, rendering and the end, each of which can be gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

from ..errors import EscError, ImageError, needs
from ..files.zarr_claim import OURS
from ..files.zarr_store import ShardedImage
from ..progress import Cancel, Progress, share_of
from ..survey import Survey
from .crew import crew
from .exact import Group, run_exact
from .large import Large
from .render import Summary, built_by, render

#: What several processes have found so far.
JOURNAL = f"{OURS}/journal"


def upscale_large(
    large: Large,
    survey: Survey | None = None,
    *,
    sampled: int | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    part: tuple[int, int] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Summary:
    """Survey an image, render what its store lacks, and finish it; with `part`, only a part of the rendering.

    Parameters
    ----------
    survey : Survey, optional
        What is known of the image. Else it is what the store has of an earlier call, or made now.
    sampled : int, optional
        Make it of so many pixels of each plane.
    workers, scheduler, part, progress, cancel
        See `render`.

    Raises
    ------
    EscError
        If it can't be done. What is finished stays, and the same call goes on with it.
    """
    known = large.known(survey)
    if known is None and part:
        raise EscError("parts of one image need its survey; make it with esc-sr survey, and give it with --survey to each.")
    if known is None:
        check_crew(workers, scheduler)
    elif not (survey or part):
        _check_method(large.target, known, sampled)
    told = None if known else share_of(progress, 0, 0.5)
    known = known or large.surveyed(sampled, told, cancel)
    store = large.store(known)
    finish = None if part else partial(large.finish, store, known)
    try:
        summary = render(
            large.upscaler,
            large.picture.pixels,
            known,
            store,
            workers=workers,
            scheduler=scheduler,
            part=part,
            finish=finish,
            progress=share_of(progress, 0.5, 1) if told else progress,
            cancel=cancel,
            mask=large.where,
        )
    except ImageError:
        if not large.was_finished(store, known):
            raise
        summary = Summary(0, 0, (), len(store.blocks()), False)
    if summary.missing and large.was_finished(store, known):
        return Summary(summary.rendered, len(store.blocks()) - summary.rendered, (), 0, True)
    return summary


def check_crew(workers: int, scheduler: str | None) -> None:
    """Raise an `EscError` unless there can be such a crew: it is needed only after the survey, which may take hours."""
    if workers > 1:
        needs("cluster")
    with crew(scheduler=scheduler):
        pass


def _check_method(target: str, known: Survey, sampled: int | None) -> None:
    """Raise an `ImageError` if the result was begun with a survey of another kind than what is asked for now."""
    asked = "exact" if sampled is None else "sampled"
    if known.method != asked:
        raise ImageError(
            f"{target!r} was begun with a survey that is {known.method}, not {asked} (--sampled); go on with that, "
            "choose another name, or replace it with --overwrite."
        )


def finish_large(
    large: Large,
    survey: Survey | None = None,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Finish what parts have rendered: the pyramid is left to make, by whom says `render`.

    Raises
    ------
    ImageError
        If blocks are missing; the text says how many.
    """
    if (known := large.known(survey)) is None:
        raise ImageError(f"nothing has been begun at {large.target!r}.")
    store = large.store(known)
    with crew(workers, scheduler, cancel) as hands:
        large.finish(store, known, each=built_by(hands), progress=progress, cancel=cancel)


def upscale_together(large: Large, group: Group, progress: Progress | None = None, cancel: Cancel | None = None) -> Summary:
    """Upscale an image exactly with the other processes of a group, each its band, in the same pass as the survey.

    Raises
    ------
    EscError
        In all processes, if any can't go on. The same call goes on with what has been found.
    """
    if large.request.shared:
        raise EscError("means that planes share are known only after all of them; make the survey first, and give --survey.")
    with group.together():
        if group.rank == 0:
            large.store(None)
        group.gather("the store is there")
        large.overwrite = False
        store = large.store(None)
    shard, objects = store.grid.shard, store.objects
    journal = objects.local / JOURNAL if objects.local else None
    done = count()

    def write(index: Any, region: Any, values: Any) -> None:
        for block in _blocks(store, index, region):
            (top, bottom), (left, right) = block.region
            store.write(block, values[top - region.top : bottom - region.top, left - region.left : right - region.left])
            next(done)

    def finished(index: Any, region: Any) -> bool:
        return all(map(store.done, _blocks(store, index, region)))

    survey = run_exact(
        large.upscaler,
        large.picture.pixels,
        large.request,
        group,
        write=write,
        finished=finished,
        rows=shard,
        journal=journal,
        progress=progress,
        cancel=cancel,
        mask=large.where,
    )
    with group.together():
        group.gather("all blocks are there")
        if group.rank == 0:
            large.finish(store, survey)
    blocks, made = len(store.blocks()), sum(map(int, group.gather(str(next(done)))))
    return Summary(made, blocks - made, (), 0, True)


def _blocks(store: ShardedImage, index: Any, region: Any) -> Iterator[Any]:
    """Yield the blocks of a plane that begin in a band."""
    plane = tuple(i for i in index if not isinstance(i, slice))
    for block in store.blocks():
        if block.plane == plane and region.top <= block.region[0][0] < region.bottom:
            yield block
