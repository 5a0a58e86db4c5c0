"""What the commands share: where they print, and a bar that moves."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from ..errors import EscError
from ..texts import finite, printable


class SafeConsole(Console):
    """A console on which names of files and texts out of them can't move the cursor, recolour, or end in an error."""

    def render(self, *args: Any, **options: Any) -> Iterable[Segment]:
        """Escape what isn't printable; all that is shown comes through here."""
        for segment in super().render(*args, **options):
            yield segment if segment.control else Segment("\n".join(map(printable, segment.text.split("\n"))), segment.style)


console = SafeConsole()
errors = SafeConsole(stderr=True)
#: What some paths are called in all that is said: those of temporary files, which mean nothing to a user.
called: dict[str, str] = {}
#: What standard output holds for programs, see `reserve_stdout`.
readers: set[str] = set()
#: What is said of a result that goes there, once it has.
held: list[str] = []


@contextlib.contextmanager
def fresh_terminal() -> Iterator[None]:
    """Let one command decide who reads standard output, and how much is said."""
    try:
        yield
    finally:
        console.stderr, console.quiet = False, False
        called.clear()
        readers.clear()
        held.clear()


def reserve_stdout(reader: str) -> None:
    """Keep standard output for what a program reads there, and send what people read to standard error.

    Parameters
    ----------
    reader : {"JSON", "a result"}
        What it is.

    Raises
    ------
    EscError
        If it holds something else already.
    """
    if readers and reader not in readers:
        raise EscError("standard output can hold either a result or JSON; leave out -o - or --json.")
    readers.add(reader)
    console.stderr = True


def be_quiet() -> None:
    """Say no more than what goes wrong."""
    console.quiet = True


def shown_name(text: object) -> str:
    """Return a text in which temporary files have the names that a user knows, see `called`."""
    shown = str(text)
    for path, name in called.items():
        shown = shown.replace(repr(path)[1:-1], name).replace(path, name)
    return shown


def plain(text: object) -> str:
    """Return a text for the console: on one line, and what would be markup is shown instead of obeyed."""
    return escape(printable(shown_name(text)))


def say(text: str) -> None:
    """Print a line of a result; a terminal may break it, a file doesn't."""
    if "a result" in readers:
        held.append(text)
    else:
        _print(text)


def _print(text: str) -> None:
    with written():
        console.print(text, soft_wrap=True, highlight=False)


def say_held() -> None:
    """Print what was said of a result, now that it is where it goes."""
    while held:
        _print(held.pop(0))


def say_facts(facts: Mapping[str, object], indent: str = "") -> None:
    """Print what is known of something, a line for each fact; nothing is cut off, however narrow the terminal is."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        say(f"{indent}{plain(name):<{width}}  {plain(value)}")


def say_table(*rows: Sequence[object]) -> None:
    """Print rows whose columns stand below each other, the first as a heading; nothing is cut off, as by `say_facts`."""
    texts = [[printable(shown_name(cell)) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
    for i, row in enumerate(texts):
        line = "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        say(escape(line) if i else f"[bold]{escape(line)}[/]")


def write_json(document: Any) -> None:
    """Print a JSON document on a line of standard output; it holds nothing that could move a cursor, and no NaN."""
    with written():
        print(json.dumps(finite(document), allow_nan=False), flush=True)


@contextlib.contextmanager
def written() -> Iterator[None]:
    """Make an `EscError` of what can't be written to standard output, but for a pipe that nobody reads any more."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise EscError(f"can't write to standard output: {error.strerror or error}.") from None


def complain(kind: str, text: object, color: str = "yellow") -> None:
    """Print one line to standard error: an error, a warning or a note, of which only the last can be left unsaid."""
    if kind == "note" and console.quiet:
        return
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

    if not errors.is_terminal or console.quiet:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(plain(name), total=None)
        yield told


@contextlib.contextmanager
def download_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Give a callback that shows a bar once there is something to report: most models are here already."""
    with contextlib.ExitStack() as stack:
        shown: list[Callable[[int, int], None]] = []

        def report(done: int, total: int) -> None:
            if not shown:
                shown.append(stack.enter_context(progress_bar(f"downloading {name}")))
            shown[0](done, total)

        yield report
