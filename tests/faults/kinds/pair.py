"""The same command is started twice in one folder: by a click too many, by two users, by two jobs of a queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..stage import Stage
from ..truth import FaultError

#: A click too many, in seconds.
AT_ONCE = 0.02
#: Seconds in which both have come to an end, however busy the machine.
PATIENCE = 300.0
#: One of these is in what is said where a command finds that the other one is at work, or was quicker.
REASONS = ("another process", "is there already", "holds ", "not empty")


@contextmanager
def fault(stage: Stage) -> Iterator[str]:
    """Start the command twice, and wait for both."""
    stage.lay()
    between = stage.rng.uniform(0, AT_ONCE) if stage.rng.random() < 0.5 else stage.moment(1.0)
    first = stage.start()
    first.wait_until(between)
    second = stage.start()
    codes = [program.finish(PATIENCE) for program in (first, second)]
    what = f"a second one {between:.3f} s after the first of {stage.seconds:.2f} s"
    for program, code in zip((first, second), codes, strict=True):
        if code and not any(reason in program.said for reason in REASONS):
            raise FaultError("wrong", f"{what}: exit {code}, and not for the other one: {program.said[-300:]!r}")
    if 0 not in codes:
        raise FaultError("wrong", f"{what}: none came to a result: {first.said[-200:]!r}, {second.said[-200:]!r}")
    yield what
