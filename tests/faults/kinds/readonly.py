"""A folder can't be written to, from the start or from a random moment on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..mounts import apart, set_read_only
from ..mounts import forbidden as forbidden
from ..places import any_place
from ..runner import MOST_SECONDS
from ..stage import Stage


@contextmanager
def fault(stage: Stage) -> Iterator[str]:
    """Make a folder read-only."""
    named, place = any_place(stage)
    stage.lay()
    moment = stage.rng.choice((0.0, stage.moment()))
    stage.closing.enter_context(apart(place))
    made = not moment and set_read_only(place)
    program = stage.start()
    while not made and program.wait_until(moment):
        made, stage.can_clean = set_read_only(place), False
        moment += 0.01
    program.finish(MOST_SECONDS)
    yield f"{named} was {'' if made else 'never '}read-only, after {moment:.2f} of {stage.seconds:.2f} s"
    set_read_only(place, read_only=False)
