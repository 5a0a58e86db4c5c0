"""A folder is renamed, removed or emptied at a random moment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..places import any_place
from ..runner import MOST_SECONDS
from ..stage import Stage


@contextmanager
def fault(stage: Stage) -> Iterator[str]:
    """Take a folder away; what was in it comes back afterwards, where nothing has taken its place."""
    stage.lay()
    (named, place), way = any_place(stage), stage.rng.choice(("renamed", "removed", "emptied"))
    program, moment, kept = stage.start(), stage.moment(), stage.scratch / "kept"
    program.wait_until(moment)
    if way == "renamed":
        place.rename(kept)
    else:
        kept.mkdir()
        _move(place, kept)
    if way == "removed":
        with suppress(OSError):  # something was made meanwhile
            place.rmdir()
    program.finish(MOST_SECONDS)
    place.mkdir(exist_ok=True)
    _move(kept, place)
    stage.can_clean = False
    yield f"{named} was {way} after {moment:.2f} of {stage.seconds:.2f} s"


def _move(source: Path, target: Path) -> None:
    """Move what is in a folder, as far as that has no name of something in the other one."""
    for path in list(source.iterdir()):
        there = target / path.name
        with suppress(FileNotFoundError):  # the program has removed it meanwhile
            if path.is_dir() and there.is_dir():
                _move(path, there)
            elif not there.exists():
                shutil.move(path, there)
