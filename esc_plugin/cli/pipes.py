"""Standard input and output as files, where a command line says ``-``: pictures pass through a temporary folder."""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from ..errors import EscError
from ..texts import check_path
from ..workplace import scratch_folder
from .terminal import called, reserve_stdout, say_held, written

#: What stands for standard input and output; a file of that name is ``./-``.
DASH = "-"
STDIN = "<stdin>"
#: The files, until the command has ended: well or not, its result is sent on then, and they are removed.
opened_pipes = ExitStack()


def source_of(name: str) -> str:
    """Return what an argument names; for ``-``, a file with standard input."""
    return str(standard_input()) if name == DASH else name


def place_of_source(name: str) -> Any:
    """Return the path or the address that an argument names, as `source_of` does; a path is checked."""
    from ..files.address import place_of

    place = place_of(source_of(name))
    if isinstance(place, Path):
        check_path(place)
    return place


def target_of(path: Path, suffix: str) -> Path:
    """Return the path that an option names; for ``-``, a file that goes to standard output."""
    return standard_output(suffix) if str(path) == DASH else path


def standard_input() -> Path:
    """Return a file with what standard input holds; what kind of image it is, its content tells.

    Raises
    ------
    EscError
        If it holds no image, or was read already.
    """
    from ..files.format import HEAD_BYTES
    from ..files.formats import FORMATS

    if STDIN in called.values():
        raise EscError("standard input can be read once; name - for one image only.")
    stream = binary(sys.stdin, "standard input")
    if stream.isatty():
        raise EscError("standard input is a terminal; send an image to it: esc-sr ... - < photo.png")
    path = _temporary("stdin", STDIN)
    try:
        head = stream.read(HEAD_BYTES)
        # What is no image could be without an end.
        if not any(form.starts.match(head) for form in FORMATS):
            names = ", ".join(form.name for form in FORMATS if not form.store)
            what = "starts like none of " + names if head else "is empty"
            raise EscError(f"standard input is no image that can be read: it {what}.")
        with path.open("wb") as file:
            file.write(head)
            shutil.copyfileobj(stream, file, 2**20)
    except OSError as error:
        raise EscError(f"can't read standard input: {error.strerror or error}.") from None
    return path


def standard_output(suffix: str) -> Path:
    """Return a file whose content goes to standard output when the command has ended.

    Raises
    ------
    EscError
        If nobody could read it there.
    """
    if binary(sys.stdout, "standard output").isatty():
        raise EscError("standard output is a terminal; send it on with > FILE or | PROGRAM, or name a file with -o.")
    reserve_stdout("a result")
    path = _temporary(f"stdout{suffix}", "<stdout>")
    opened_pipes.callback(_deliver, path)
    return path


def _temporary(name: str, shown: str) -> Path:
    path = opened_pipes.enter_context(scratch_folder()) / name
    called[str(path)] = shown
    return path


def _deliver(path: Path) -> None:
    if path.is_file():
        stream = binary(sys.stdout, "standard output")
        with written(), path.open("rb") as file:
            shutil.copyfileobj(file, stream, 2**20)
            stream.flush()
    say_held()


def binary(stream: Any, what: str) -> IO[bytes]:
    """Return the bytes behind a stream of text.

    Raises
    ------
    EscError
        If it is closed, or nothing is behind it, as in a program without a console.
    """
    if stream is None or stream.closed or not hasattr(stream, "buffer"):
        raise EscError(f"there is no {what} here; name a file instead of -.")
    found: IO[bytes] = stream.buffer
    return found
