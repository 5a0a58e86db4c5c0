"""A process of its own for what may take all memory, fill the disk or never end."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIMITS = """
import resource
for kind, limit in ((resource.RLIMIT_AS, {memory}), (resource.RLIMIT_FSIZE, {file_size}), (resource.RLIMIT_CPU, {seconds})):
    resource.setrlimit(kind, (limit, limit))
"""


def run_confined(program: str, *arguments: object, memory: int = 2**30, file_size: int = 2**20, seconds: int = 60) -> str:
    """Run a program under limits, and return what it printed; its arguments are ``sys.argv[1:]``."""
    if sys.platform != "linux":
        pytest.skip("only Linux limits the memory of a process")
    program = LIMITS.format(memory=memory, file_size=file_size, seconds=seconds) + textwrap.dedent(program)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=5 * seconds)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
