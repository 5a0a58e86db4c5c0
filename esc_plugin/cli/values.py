"""What options and arguments are checked for while they are read, before any work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

from ..errors import EscError, ImageError
from ..texts import check_path, quoted
from .completion import words
from .pipes import DASH, pipes, source_of, target_of
from .terminal import be_quiet, reserve_stdout

#: What a device can be, and of which kinds there may be several.
DEVICES = ("auto", "cpu", "gpu", "cuda", "mps", "xpu")
DEVICE = re.compile(r"auto|cpu|gpu|(cuda|mps|xpu)(:\d{1,3})?")
#: Edges in pixels of what is looked at as a whole.
LARGEST_EDGE = 65_536

Check = Callable[[typer.CallbackParam, Any], Any]


def within(least: float, most: float) -> Check:
    """Return the check that a number, or each of several, lies in a range; NaN doesn't."""

    def check(param: typer.CallbackParam, value: Any) -> Any:
        for number in _each(value):
            if not least <= number <= most:
                raise EscError(f"{_name(param)} must be from {least:,} to {most:,}, not {quoted(number)}.")
        return value

    return check


def one_of(*known: str) -> Check:
    """Return the check that a word is among those that are known."""

    def check(param: typer.CallbackParam, value: Any) -> Any:
        if value is not None and value not in known:
            raise EscError(f"{_name(param)} must be one of {', '.join(known)}, not {quoted(value)}.")
        return value

    return check


def usable(value: Any) -> Any:
    """Check that paths are such."""
    for path in _each(value):
        check_path(path)
    return value


def one_of_words(*known: str) -> dict[str, Any]:
    """Return how an option is declared whose value is a word among those that are known: checked, and completed."""
    return {"callback": one_of(*known), "autocompletion": words(*known)}


def sources(value: Any) -> list[str]:
    """Return the images that are named, standard input among them.

    On Python 3.10 typer can't read ``list[str]`` here.
    """
    return [str(source_of(name)) for name in value]


def sink(value: Any) -> Any:
    """Return the picture to write, which may be standard output; a path is checked."""
    return target_of(value)


def json_sink(value: Any) -> Any:
    """Return the JSON file to write, as `sink` does."""
    return target_of(value, ".json")


def for_programs(value: bool) -> bool:
    """Leave standard output to JSON if that is asked for."""
    if value:
        reserve_stdout("JSON")
    return value


def quietly(value: bool) -> bool:
    """Say only what goes wrong if that is asked for."""
    if value:
        be_quiet()
    return value


def place(value: str) -> Any:
    """Return the path or the address that an argument names, or the file with standard input; a path is checked."""
    if value == DASH:
        return pipes.source()
    from ..files.address import place_of

    found = place_of(value)
    return usable(found) if isinstance(found, Path) else found


def degradation(value: str) -> Any:
    """Return how an image is made worse."""
    from ..measure.degradation import Degradation

    return Degradation.parse(value)


def known_device(value: str) -> str:
    """Check the name of a device; whether it is there only torch can tell."""
    if not DEVICE.fullmatch(value):
        raise EscError(f"unknown device {quoted(value)}; known are {', '.join(DEVICES)}, cuda:1.")
    return value


def check_inputs(*paths: Path) -> None:
    """Raise an `ImageError` unless all files and folders are there."""
    for path in paths:
        if not path.exists():
            raise ImageError(f"there is no file or folder {str(path)!r}.")


def check_images(folder: Path) -> None:
    """Raise an `ImageError` unless a folder holds images."""
    from ..batch.find import find_images

    if not folder.is_dir():
        raise ImageError(f"there is no folder {str(folder)!r}.")
    find_images([folder])


def check_folder(folder: Path) -> None:
    """Raise an `EscError` unless results can go into a folder, which is there or can be made."""
    from ..batch.checks import check_place

    check_place(folder / "result")


def check_output(
    path: Path,
    suffixes: Sequence[str],
    *inputs: str | Path,
    overwrite: bool,
    ours: Callable[[Path], bool] | None = None,
    folder: bool = False,
) -> None:
    """Raise an `EscError` unless a file may be written: its suffix is known, it can be made, and nothing is lost by it.

    For the rest see `check_free`.
    """
    from ..batch.checks import check_place
    from ..disk import check_free, identities

    if path.suffix.lower() not in suffixes:
        raise EscError(f"{str(path)!r} must end in {' or '.join(suffixes)}.")
    check_place(path)
    check_free(path, inputs=identities(*inputs), overwrite=overwrite, ours=ours, folder=folder)


def _each(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


def _name(param: typer.CallbackParam) -> str:
    return max(param.opts, key=len)


#: Of a training: from less than a second to ten years.
some_minutes = within(0.01, 5_256_000)
