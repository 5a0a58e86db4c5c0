"""The command line: ``esc-sr``. One file a group of commands."""

from __future__ import annotations

import sys
from typing import Any

from ..errors import EXTRAS, how_to_install

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    try:
        from .program import run
    except ImportError as error:
        # Without its extra there is nothing to print with.
        if (error.name or "").partition(".")[0] not in ("typer", "rich", "click"):
            raise
        sys.exit(f"error: the command line needs {error.name} {how_to_install('cli', EXTRAS['cli'])}")
    run()


def __getattr__(name: str) -> Any:
    if name == "app":
        from .program import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
