"""No file may become larger than a limit, as on systems with quotas and on old disks."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ..runner import MOST_SECONDS
from ..stage import Stage

#: Bytes that what the program says may take: a line for each block of a store, and why it ended.
LEAST = 6000
#: Bytes that the C library keeps for later: where only they are refused, not everybody hears of it.
END = 4096


@contextmanager
def fault(stage: Stage) -> Iterator[str]:
    """Set a limit."""
    stage.lay()
    sizes = sorted(path.stat().st_size for path in stage.reference.rglob("*") if path.is_file())
    if stage.rng.random() < 0.5:
        limit = round(LEAST * (1.2 * max(*sizes, LEAST) / LEAST) ** stage.rng.random())
    else:
        limit = max(stage.rng.choice(sizes) - stage.rng.randint(1, END), LEAST)
    stage.start(before=partial(_set_limit, limit)).finish(MOST_SECONDS)
    yield f"no file above {limit:,} bytes"


def _set_limit(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
