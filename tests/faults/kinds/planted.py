"""A fault of the program itself, to see that it is found; not in the list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..planted import WRONGS
from ..stage import Stage


@contextmanager
def fault(stage: Stage) -> Iterator[str]:
    """Let the program do something wrong."""
    stage.lay()
    wrong = stage.rng.choice(list(WRONGS))
    stage.start(PLANTED=wrong).finish(10.0)
    yield wrong
