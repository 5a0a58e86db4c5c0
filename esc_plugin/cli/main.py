"""The command line: ``esc-sr``."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

import typer
from rich.markup import escape

from ..errors import EscError
from .measure import check, compare, evaluate
from .models import convert, info, models, publish
from .study import export, inspect
from .terminal import errors
from .train import finetune, train
from .upscale import upscale

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Upscale images with ESC networks: the same pixels in any memory."""


for command in (upscale, check, compare, evaluate, models, info, convert, publish, train, finetune, export, inspect):
    app.command()(command)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a user can cause into one line and an exit code."""
    try:
        yield
    except EscError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("cancelled.")
        sys.exit(130)


def main() -> None:
    """Run the command line."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters is in our errors
    with plain_errors():
        app(standalone_mode=True)
