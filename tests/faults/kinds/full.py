"""The disk is full: of bytes, or of files; then there is more room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..mounts import forbidden as forbidden
from ..mounts import resize, small_disk
from ..places import any_place
from ..runner import MOST_SECONDS
from ..stage import Stage

PAGE = 4096


@contextmanager
def fault(stage: Stage) -> Iterator[str]:
    """Leave less room than the job may need."""
    named, place = any_place(stage)
    stage.closing.enter_context(small_disk(place))
    stage.lay()
    used = os.statvfs(place)
    pages, files = used.f_blocks - used.f_bfree, used.f_files - used.f_ffree
    if stage.rng.random() < 0.3:
        room, what = stage.rng.randint(0, 3 * _files(stage.reference) + 6), "files"
        resize(place, inodes=files + room)
    else:
        most = _pages(stage.reference) - _pages(stage.folder) if place == stage.folder else 2**10
        room, what = round(stage.rng.uniform(0, 1) ** 2 * (1.5 * most + 8)), "pages"
        resize(place, size=max(pages + room, 1) * PAGE)
    stage.start().finish(MOST_SECONDS)
    yield f"{named} had room for {room} {what}"
    resize(place)


def _files(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*"))


def _pages(folder: Path) -> int:
    return sum(-(-path.stat().st_size // PAGE) for path in folder.rglob("*") if path.is_file())
