"""All commands as one program, and what becomes of errors and warnings."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

import typer

from ..errors import EscError
from .evaluate import evaluate
from .measure import check, compare
from .models import convert, info, models, publish
from .page import try_
from .study import export, inspect
from .survey import survey
from .terminal import complain, errors, shown_warnings
from .train import finetune, train
from .upscale import upscale

#: Exit code of a fault of this program's own (EX_SOFTWARE of sysexits.h).
INTERNAL = 70
#: Of a command that was ended by Ctrl-C: 128 and the number of the signal.
CANCELLED = 130

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
)

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Upscale images with ESC networks: the same pixels in any memory."""


for command in COMMANDS:
    app.command(command.__name__.rstrip("_"))(command)  # `try` is a word of Python


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a user can cause into one line and an exit code."""
    try:
        yield
    except EscError as error:
        complain("error", error, "bold red")
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
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        complain("error", f"a fault of this program, {reason} (ESC_DEBUG=1 shows where)", "bold red")
        sys.exit(INTERNAL)


def run() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file's name may hold what the terminal's encoding doesn't
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters is in our errors
    with plain_errors(), shown_warnings(__package__.partition(".")[0]):
        app(standalone_mode=True)
