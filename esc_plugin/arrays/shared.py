"""One set of means for several planes, such as the frames of a film."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from ..errors import ImageError
from ..texts import quoted
from .layout import Layout
from .surveyed import PlaneSurvey, RunSurvey


def checked_shared(shared: str | None, layout: Layout) -> str:
    """Return the axes whose entries share their means, in the order of the image's.

    Raises
    ------
    ImageError
        If the image lacks one, or they aren't axes that count planes.
    """
    counting = "".join(axis for axis in layout.axes if axis not in "YXS")
    if not isinstance(shared, str | None) or not set((shared or "").upper()) <= set(counting):
        there = f"of {counting!r}" if counting else "and this image has none"
        raise ImageError(f"shared must be axes that count planes, {there}, not {quoted(shared)}.")
    return "".join(axis for axis in counting if axis in (shared or "").upper())


def share_means(planes: Sequence[PlaneSurvey], layout: Layout, shared: str) -> list[PlaneSurvey]:
    """Give all planes that differ along some axes only the mean of their means, so that a film doesn't flicker.

    Parameters
    ----------
    planes : sequence of PlaneSurvey
        Of all planes of `layout`, each surveyed by itself.
    shared : str
        The axes.
    """
    groups: dict[Hashable, list[PlaneSurvey]] = {}
    apart = [place for place, axis in enumerate(layout.axes) if axis not in f"{shared}YXS"]
    keys = [tuple(index[place] for place in apart) for index in layout.planes()]
    for key, plane in zip(keys, planes, strict=True):
        groups.setdefault(key, []).append(plane)
    means = {key: (_mean([p.colours for p in group]), _mean([p.alpha for p in group])) for key, group in groups.items()}
    return [
        replace(plane, colours=means[key][0] if plane.colours else (), alpha=means[key][1] if plane.alpha else ())
        for key, plane in zip(keys, planes, strict=True)
    ]


def _mean(chains: Sequence[tuple[RunSurvey, ...]]) -> tuple[RunSurvey, ...]:
    """Average over planes, run by run; those without runs, which are opaque or not enlarged, don't count."""
    return tuple(_mean_run(runs) for runs in zip(*filter(None, chains), strict=True))


def _mean_run(runs: Sequence[RunSurvey]) -> RunSurvey:
    precisions = {run.precision for run in runs}  # they differ where a shorter one overflowed
    means = np.stack([run.means for run in runs]).mean(0, np.float64).astype(np.float32)
    return RunSurvey(precisions.pop() if len(precisions) == 1 else "float32", means)
