"""The command line in a process of its own, forked from one that has everything imported: ten times as fast as a new one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import psutil

#: What the process imports before it is forked.
PRELOADED = ["tests.faults.preloaded"]
#: Seconds in which a program's own processes end after it.
LINGERING = 10.0
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(PRELOADED)


class Program:
    """A command that runs.

    Parameters
    ----------
    arguments : sequence of str
        After ``esc-sr``.
    folder : Path
        Where it runs.
    said : Path
        A file for all that it says.
    environment : mapping of str to str
    before : callable, optional
        Called in the new process before the command, such as to set limits; it must be a function that can be pickled.
    program : str
        What is run, as module and function.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        said: Path,
        environment: Mapping[str, str],
        before: Callable[[], None] | None = None,
        program: str = "esc_plugin.cli:main",
    ) -> None:
        self.said_file, self.killed, self.hung, self.unheard = said, 0, False, False
        given = (program, list(arguments), folder, said, dict(environment), before)
        self.process = context.Process(target=_main, args=given)
        self.process.start()
        while not said.exists() and self.process.exitcode is None:  # before that, signals meet no program
            time.sleep(0.002)
        self.began = time.monotonic()

    def wait_until(self, seconds: float) -> bool:
        """Wait so long after the start; return whether the program still runs."""
        self.process.join(max(self.began + seconds - time.monotonic(), 0))
        return self.process.exitcode is None

    def send(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.process.exitcode is None and self.process.pid:
            self.killed = number
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def finish(self, seconds: float) -> int | None:
        """Wait for the end and return the exit code, negative for a signal; None if it takes longer, when it is ended."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.hung = True
            self.process.kill()
            self.process.join()
        return code

    def left(self) -> list[str]:
        """Return the command lines of processes of the ended program that live on, and end them."""
        until = time.monotonic() + LINGERING
        while (alive := self._session()) and time.monotonic() < until:
            time.sleep(0.05)
        named = []
        for process in alive:
            with suppress(psutil.Error):
                named.append(" ".join(process.cmdline())[:200])
                process.kill()
        return named

    def _session(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == self.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    @property
    def said(self) -> str:
        """All that it said."""
        return self.said_file.read_text(errors="replace") if self.said_file.exists() else ""


def _main(
    program: str,
    arguments: list[str],
    folder: Path,
    said: Path,
    environment: dict[str, str],
    before: Callable[[], None] | None,
) -> None:
    os.setsid()  # what it starts can be told by it
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.environ.update(environment)
    os.chdir(folder)
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["esc-sr", *arguments]
    if before is not None:
        before()
    module, _, name = program.partition(":")
    getattr(import_module(module), name)()
