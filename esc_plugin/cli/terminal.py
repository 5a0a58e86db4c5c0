"""What the commands share: where they print, and a bar that moves."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from ..texts import printable


class SafeConsole(Console):
    """A console on which names of files and texts out of them can't move the cursor, recolour, or end in an error."""

    def render(self, *args: Any, **options: Any) -> Iterable[Segment]:
        """Escape what isn't printable; all that is shown comes through here."""
        for segment in super().render(*args, **options):
            yield segment if segment.control else Segment("\n".join(map(printable, segment.text.split("\n"))), segment.style)


console = SafeConsole()
errors = SafeConsole(stderr=True)


def plain(text: object) -> str:
    """Return a text for the console: on one line, and what would be markup is shown instead of obeyed."""
    return escape(printable(str(text)))


def say(text: str) -> None:
    """Print a line of a result; a terminal may break it, a file doesn't."""
    console.print(text, soft_wrap=True, highlight=False)


def complain(kind: str, text: object, color: str = "yellow") -> None:
    """Print one line to standard error: an error, a warning or a note."""
    errors.print(f"[{color}]{kind}:[/] {plain(text)}", soft_wrap=True, highlight=False)


class WarningLines(logging.Handler):
    """Shows what the core warns of, which nobody would see otherwise."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record as one line."""
        kind = "note" if record.levelno < logging.WARNING else "warning"
        complain(kind, " ".join(record.getMessage().split()))


@contextlib.contextmanager
def shown_warnings(name: str) -> Iterator[None]:
    """Print warnings of the logger `name` and those below it."""
    logger, handler = logging.getLogger(name), WarningLines()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextlib.contextmanager
def progress_bar(name: str, describe: Callable[[int, int], str] | None = None) -> Iterator[Callable[[int, int], None]]:
    """Show a bar, if somebody can see it, and give the callback that moves it.

    Parameters
    ----------
    describe : callable, optional
        ``describe(done, total)`` says how far it is, behind the name.
    """

    def told(done: int, total: int) -> None:
        text = f"{name}, {describe(done, total)}" if describe else name
        bar.update(task, completed=done, total=total or None, description=plain(text))

    if not errors.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(plain(name), total=None)
        yield told


@contextlib.contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does, so that half a download is removed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def download_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Give a callback that shows a bar once there is something to report: most models are here already."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_unwound_by_sigterm())
        shown: list[Callable[[int, int], None]] = []

        def report(done: int, total: int) -> None:
            if not shown:
                shown.append(stack.enter_context(progress_bar(f"downloading {name}")))
            shown[0](done, total)

        yield report
