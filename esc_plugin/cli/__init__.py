"""The command line: ``esc-sr``. One file a group of commands."""

from .main import app, main

__all__ = ["app", "main"]
