"""What can go wrong: a module each, with a context manager ``fault(stage)``, listed here.

It puts the job's inputs into the folder, starts the job, does something to it, waits for its end, and yields what it did in
words. What is true then is checked by the runner: exit codes, what was said, whole files. After it the fault goes away (what
follows the yield), except for what it left in the folder, and the same command is run again: it must come to the result of
an undisturbed run, and leave nothing unfinished.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module

from ..stage import Stage

#: By name, the jobs that a fault is for; None: all of them.
KINDS: dict[str, tuple[str, ...] | None] = {
    "kill": None,
    "full": None,
    "file_size": None,
    "readonly": None,
    "vanish": None,
    "pair": None,
    "memory": None,
    "clock": None,
    "starved": None,
    "server": ("download", "hub", "remote"),
}


def fault_of(name: str) -> Callable[[Stage], AbstractContextManager[str]]:
    """Import a kind of fault."""
    found: Callable[[Stage], AbstractContextManager[str]] = import_module(f".{name}", __name__).fault
    return found


def forbidden(name: str) -> str:
    """Return why a fault can't be made here; empty if it can. It's what a module's function of that name says."""
    return str(getattr(import_module(f".{name}", __name__), "forbidden", str)())
