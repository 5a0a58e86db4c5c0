"""Every fault there is, on purpose: whoever looks for faults must find them."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from random import Random

from esc_plugin.errors import EscError

from ..case import FAULTS, REFUSED, RIGHT, Case, check


def case(rng: Random) -> Case:
    """Return a case that is named after what becomes of it."""
    what = rng.choice((*FAULTS, RIGHT, REFUSED))
    return Case(what, {"a.txt": b"words"}, lambda folder: attempted(folder, what))


def attempted(folder: Path, what: str) -> list[str]:
    """Do what the case is named after."""
    if what == "traceback":
        raise KeyError("a")
    if what == "hang":
        while True:
            pass
    if what == "memory":
        bytearray(2**29)[::4096] = bytes(2**29 // 4096)  # each page is touched
    check(what != "wrong", "it isn't right")
    if what == "half file":
        (folder / "half.txt").write_text("hal")
        raise EscError("and then the disk was full.")
    if what == "code run":
        try:
            os.system("exit 0")
        except OSError:
            raise EscError("somebody swallowed it.") from None
    if what == "crash":
        ctypes.string_at(0) if sys.platform != "win32" else os._exit(1)
    if what == REFUSED:
        raise EscError("no.")
    (folder / "made.txt").write_text("whole")
    return ["made.txt"]
