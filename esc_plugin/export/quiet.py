"""What converters tell: kept from the user, or in one line."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress


def in_short(error: Exception) -> str:
    """Return what an exception says, as the end of one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


@contextmanager
def quiet(*, compiled_parts: bool = False) -> Iterator[None]:
    """Hold back warnings and logs, and, if asked, what compiled parts print; progress on the error stream is lost then."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), _no_error_stream() if compiled_parts else nullcontext():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _no_error_stream() -> Iterator[None]:
    with suppress(OSError, ValueError):  # in a window there may be none
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
