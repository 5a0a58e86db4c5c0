"""All commands as one program, and what becomes of errors and warnings."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from ..errors import EscError
from ..scarce import what_to_do
from ..version import __version__
from .device_flags import with_device_flags
from .doctor import doctor
from .evaluate import evaluate
from .info import info
from .measure import check, compare
from .models import convert, models, publish
from .page import try_
from .pipes import opened_pipes
from .study import export, inspect
from .survey import survey
from .terminal import complain, errors, fresh_terminal, readers, shown_name, shown_warnings, write_json
from .train import finetune, train
from .upscale import upscale

NAME = "esc-sr"
#: Exit code of a fault of this program's own (EX_SOFTWARE of sysexits.h).
INTERNAL = 70
#: Of a command that was ended by Ctrl-C: 128 and the number of the signal.
CANCELLED = 130
#: What else ends a program from outside, by the names of those that a system has.
ENDINGS = ("SIGTERM", "SIGHUP")

#: In the order of ``esc-sr --help``.
COMMANDS = (
    upscale,
    try_,
    survey,
    check,
    compare,
    evaluate,
    models,
    info,
    convert,
    publish,
    train,
    finetune,
    export,
    inspect,
    doctor,
)

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def show_version(asked: bool) -> None:
    """Print the version and end."""
    if asked:
        print(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Upscale images with ESC networks: the same pixels in any memory."""


for command in COMMANDS:
    app.command(command.__name__.rstrip("_"))(with_device_flags(command))  # `try` is a word of Python


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a user can cause into one line and an exit code."""
    try:
        yield
    except EscError as error:
        fail(str(error), 1)
    except BrokenPipeError:
        leave_pipe()
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("cancelled.")
        sys.exit(CANCELLED)
    except SystemExit as done:
        if done.code == CANCELLED:  # typer makes this of Ctrl-C, without a word
            errors.print("cancelled.")
        raise
    except Exception as error:
        if os.environ.get("ESC_DEBUG"):
            raise
        if isinstance(error, OSError) and _is_nowhere():
            fail("the folder that the program runs in is gone; run it in another one.", 1)
        if remedy := what_to_do(error):
            fail(remedy, 1)
        if isinstance(error, OSError) and error.errno and error.filename:  # it went away, say, while the program ran
            fail(f"can't use {error.filename!r}: {error.strerror}.", 1)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        fail(f"a fault of this program, {reason} (ESC_DEBUG=1 shows where)", INTERNAL)


def _is_nowhere() -> bool:
    """Whether the folder that relative names begin in was removed."""
    try:
        os.getcwd()  # noqa: PTH109  # Path.cwd says no more
    except OSError:
        return True
    return False


def fail(text: str, code: int) -> None:
    """Say why a command failed, to people and to a program that waits for JSON, and end."""
    complain("error", text, "bold red")
    if "JSON" in readers:
        with contextlib.suppress(OSError, EscError):  # that it can't be written may be the reason
            write_json({"error": shown_name(text)})
    sys.exit(code)


def leave_pipe() -> None:
    """Forget what nobody reads any more: Python would try to send it at its end, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())


@contextlib.contextmanager
def unwound_when_ended() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the program as Ctrl-C does, so that nothing half-done is left."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = {}
    for number in (getattr(signal, name) for name in ENDINGS if hasattr(signal, name)):
        if signal.getsignal(number) == signal.SIG_DFL:  # who ignores one, such as nohup, goes on doing so
            with contextlib.suppress(ValueError):  # outside of the main thread, where none can be heard
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file's name may hold what the terminal's encoding doesn't
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters is in our errors
    with (
        fresh_terminal(),
        plain_errors(),
        shown_warnings(__package__.partition(".")[0]),
        unwound_when_ended(),
        opened_pipes,
    ):
        app(prog_name=NAME)
