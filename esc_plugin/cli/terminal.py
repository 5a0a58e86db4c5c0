"""What the commands share: where they print, and a bar that moves."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

console = Console()
errors = Console(stderr=True)


@contextlib.contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar, if somebody can see it, and give the callback that moves it."""
    if not errors.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


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
