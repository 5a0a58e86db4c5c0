"""The program is ended at a random moment: by Ctrl-C, by a system that shuts down, by one that is out of memory."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from ..stage import Stage

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: Seconds in which a program that was asked to end has ended, however busy the machine.
PATIENCE = 60.0


@contextmanager
def fault(stage: Stage) -> Iterator[str]:
    """Send a signal."""
    stage.lay()
    program, number, moment = stage.start(), stage.rng.choice(SIGNALS), stage.moment()
    program.wait_until(moment)
    program.send(number)
    program.finish(PATIENCE)
    yield f"{number.name} after {moment:.2f} of {stage.seconds:.2f} s"
