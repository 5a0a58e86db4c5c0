"""What not every system can do: tests that need it are skipped elsewhere, and say why."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

#: macOS knows the limits of memory and heeds none of them, Windows has none.
needs_limits = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals that a child could answer")


def symlink(link: Path, target: Path | str) -> None:
    """Make a symbolic link, which Windows lets only some do."""
    try:
        link.symlink_to(target, target_is_directory=Path(target).is_dir())
    except OSError:
        pytest.skip("no links can be made here")
