"""Control groups of Linux, in which a program may have only so much: what containers and batch systems give theirs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
#: Seconds until a group whose processes have ended can be removed.
PATIENCE = 10.0


def place_of(controller: str) -> Path | None:
    """Return the folder in which groups of a controller can be made, or None where this process may not."""
    of_v1 = (ROOT / controller).is_dir()
    place = ROOT / controller if of_v1 else ROOT
    with suppress(OSError):
        if of_v1 or controller in (place / "cgroup.subtree_control").read_text().split():
            return place if os.access(place, os.W_OK) else None
    return None


@contextmanager
def group(controller: str, settings: Mapping[str, str]) -> Iterator[Path]:
    """Make a group, and end what lives in it and remove it afterwards.

    Parameters
    ----------
    controller : {"memory", "pids"}
    settings : mapping of str to str
        By file; files that this system doesn't have are left out.
    """
    place = place_of(controller)
    assert place, f"this process may make no group of {controller}"
    folder = place / f"esc-faults-{os.getpid()}"
    folder.mkdir()
    try:
        for name, value in settings.items():
            if (folder / name).exists():
                (folder / name).write_text(value)
        yield folder
    finally:
        _remove(folder)


def enter(folder: Path) -> None:
    """Put this process into a group."""
    (folder / "cgroup.procs").write_text(str(os.getpid()))


def ended_by_memory(folder: Path) -> bool:
    """Whether the kernel ended a process of a group because there was no more memory in it."""
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError):
            lines = (folder / name).read_text().splitlines()
            return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines)
    return False


def _remove(folder: Path) -> None:
    until, left = time.monotonic() + PATIENCE, True
    while left:
        for process in (folder / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        try:
            folder.rmdir()
            left = False
        except OSError:  # what has just ended still counts
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
