"""Several runs that look at parts of one image and share its means."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from ..network.program import mean_of
from .run import Run
from .workers import Workers


def walk_together(runs: Sequence[Run], pixels: int) -> tuple[list[Tensor], list[Tensor]]:
    """Take runs from mean to mean, each mean taken over what all of them count.

    Parameters
    ----------
    runs : sequence of Run
        Of one program. Their programs end before the head, which alone may ask for more of a map than was foreseen.
    pixels : int
        What they count together.

    Returns
    -------
    means : list of Tensor
        (1, P) float32, in the order of the program.
    sums : list of Tensor
        (runs, P) float64 on the host: of each run, what each mean was made of.

    Raises
    ------
    NotFiniteError
        If features overflow in a precision shorter than float32.
    """
    means: list[Tensor] = []
    sums: list[Tensor] = []
    workers = Workers(max(run.plan.workers for run in runs))
    for run in runs:
        run.workers = workers
    walks = [run.walk() for run in runs]
    try:
        totals = [next(walk, None) for walk in walks]
        while found := [total for total in totals if total is not None]:
            mean = mean_of(torch.stack(found).sum(0), pixels)
            means.append(mean)
            sums.append(torch.stack([total.cpu().double().sum(0)[0] for total in found]))
            totals = [_sent(walk, mean) for walk in walks]
    finally:
        for walk in walks:
            walk.close()
        workers.close()
    return means, sums


def _sent(walk: Generator[Tensor, Tensor, None], mean: Tensor) -> Tensor | None:
    try:
        return walk.send(mean)
    except StopIteration:
        return None
