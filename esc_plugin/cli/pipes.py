"""Standard input and output as files, where a command line says ``-``: pictures pass through a temporary folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from ..errors import EscError
from ..texts import check_path
from .terminal import called, reserve_stdout, written

#: What stands for standard input and output; a file of that name is ``./-``.
DASH = "-"


class Pipes:
    """The files that stand for standard input and output of one command."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._folder: Path | None = None
        self._source: Path | None = None
        self._target: Path | None = None

    @property
    def has_source(self) -> bool:
        """Whether standard input was read."""
        return self._source is not None

    def source(self) -> Path:
        """Return a file with what standard input holds; what kind of image it is, its content tells.

        Raises
        ------
        EscError
            If it holds no image, or was read already.
        """
        if self._source:
            raise EscError("standard input can be read once; name - for one image only.")
        from ..files.format import HEAD_BYTES
        from ..files.formats import FORMATS

        stream = binary(sys.stdin, "standard input")
        if stream.isatty():
            raise EscError("standard input is a terminal; send an image to it: esc-sr ... - < photo.png")
        self._source = self._named("stdin")
        try:
            head = stream.read(HEAD_BYTES)
            # What is no image could be without an end.
            if not any(form.starts.match(head) for form in FORMATS):
                names = ", ".join(form.name for form in FORMATS if not form.store)
                what = "starts like none of " + names if head else "is empty"
                raise EscError(f"standard input is no image that can be read: it {what}.")
            with self._source.open("wb") as file:
                file.write(head)
                shutil.copyfileobj(stream, file, 2**20)
        except OSError as error:
            raise EscError(f"can't read standard input: {error.strerror or error}.") from None
        return self._source

    def target(self, suffix: str) -> Path:
        """Return the file whose content goes to standard output when the command has ended, see `deliver`.

        Raises
        ------
        EscError
            If nobody could read it there.
        """
        if binary(sys.stdout, "standard output").isatty():
            raise EscError("standard output is a terminal; send it on with > FILE or | PROGRAM, or name a file with -o.")
        reserve_stdout("a result")
        self._target = self._named("stdout", suffix)
        return self._target

    def _named(self, name: str, suffix: str = "") -> Path:
        if self._folder is None:
            try:
                made = TemporaryDirectory(prefix="esc-", ignore_cleanup_errors=True)
            except OSError as error:
                raise EscError(f"- needs a folder for temporary files, see TMPDIR: {error.strerror or error}.") from None
            self._folder = Path(self._open.enter_context(made))
        path = self._folder / f"{name}{suffix}"
        called[str(path)] = f"<{name}>"
        return path

    def deliver(self) -> None:
        """Send the result to standard output, if there is one."""
        if self._target and self._target.is_file():
            stream = binary(sys.stdout, "standard output")
            with written(), self._target.open("rb") as file:
                shutil.copyfileobj(file, stream, 2**20)
                stream.flush()

    def close(self) -> None:
        """Remove the files."""
        self._open.close()
        self.__init__()  # type: ignore[misc]


pipes = Pipes()


@contextmanager
def opened_pipes() -> Iterator[None]:
    """Send on what a command wrote for standard output when it ends well or not, and remove the files."""
    try:
        yield
    finally:
        try:
            pipes.deliver()
        finally:
            pipes.close()


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


def target_of(value: Any, suffix: str = ".png") -> Any:
    """Return the path that an option names; ``-`` is standard output."""
    if value is None:
        return None
    if str(value) == DASH:
        return pipes.target(suffix)
    check_path(value)
    return value


def source_of(name: str) -> str | Path:
    """Return what an argument names; ``-`` is standard input."""
    return pipes.source() if name == DASH else name
