"""Disks of the tests' own, where the system lets us mount: small ones, and folders that can't be written to."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

#: Seconds in which a disk stops being busy.
PATIENCE = 5.0


@cache
def forbidden() -> str:
    """Return why nothing can be mounted here; empty if it can."""
    if sys.platform != "linux" or os.geteuid():
        return "only root on Linux may mount"
    with tempfile.TemporaryDirectory(prefix="esc-faults-") as folder:
        try:
            with small_disk(Path(folder)):
                return ""
        except OSError as error:
            return str(error)


@contextmanager
def small_disk(path: Path, size: int = 2**30, inodes: int = 2**20) -> Iterator[None]:
    """Mount a disk in memory over a folder; see `resize`."""
    _run("mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes}", "esc-faults", str(path))
    with _mounted(path):
        yield


def resize(path: Path, size: int = 2**30, inodes: int = 2**20) -> None:
    """Give a `small_disk` another size in bytes and another number of files, not less than there are."""
    _run("mount", "-o", f"remount,size={size},nr_inodes={inodes}", str(path))


@contextmanager
def apart(path: Path) -> Iterator[None]:
    """Let a folder be mounted over itself, so that it can be made read-only by `set_read_only`."""
    _run("mount", "--bind", str(path), str(path))
    with _mounted(path):
        yield


def set_read_only(path: Path, read_only: bool = True) -> bool:
    """Let nobody write to a folder that is `apart`, or again; return whether that was done: not while a file is written."""
    return not _error_of("mount", "-o", f"remount,bind,{'ro' if read_only else 'rw'}", str(path))


@contextmanager
def _mounted(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        until = time.monotonic() + PATIENCE
        while (reason := _error_of("umount", str(path))) and time.monotonic() < until:  # a process may be ending
            time.sleep(0.1)
        if reason:
            _run("umount", "--lazy", str(path))
            raise OSError(reason)


def _run(*command: str) -> None:
    if reason := _error_of(*command):
        raise OSError(reason)


def _error_of(*command: str) -> str:
    """Return why a command failed; empty if it didn't."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (" ".join(done.stderr.split()) or f"{command} failed") if done.returncode else ""
