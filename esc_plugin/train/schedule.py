"""The learning rate as a function of how much of the training is done."""

from __future__ import annotations

from math import cos, pi

from .recipe import Schedule


def rate(schedule: Schedule, progress: float) -> float:
    """Return the learning rate as a share of its peak.

    Parameters
    ----------
    progress : float
        Share of the training that is done, 0 to 1.
    """
    if progress < schedule.warmup:
        return progress / schedule.warmup
    if schedule.kind == "multi-step":
        return schedule.factor ** sum(progress >= milestone for milestone in schedule.milestones)
    done = (progress - schedule.warmup) / ((1 - schedule.warmup) or 1)
    return schedule.last + (1 - schedule.last) * (1 + cos(pi * min(done, 1))) / 2
