"""What the command line is asked to do while something goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

#: How the program names what isn't whole yet, see `esc_plugin.disk`.
UNFINISHED = ".esc-"


def same_bytes(made: Path, wanted: Path) -> bool:
    """Whether a file is what an undisturbed run makes of it."""
    return made.read_bytes() == wanted.read_bytes()


def nothing() -> AbstractContextManager[Mapping[str, str]]:
    """Return what stands for no server."""
    return nullcontext({})


@dataclass(frozen=True)
class Job:
    """A command with its inputs.

    Attributes
    ----------
    arguments : tuple of str
        After ``esc-sr``; the command runs in the folder of its inputs. It must do the same when it is run twice: take up
        what a run before it left, or write anew what that one made (``--overwrite``).
    inputs : mapping of str to bytes
        By name in the folder.
    resumed : tuple of str
        Names (files, or folders with all in them) that may be incomplete after a run that was ended, because the next one
        takes them up. All other results are whole, or aren't there.
    same : callable
        ``same(made, wanted)``: whether a result is that of an undisturbed run.
    service : callable
        What is entered while the command runs, such as a server; it gives environment variables.
    packages : tuple of str
        What must be installed beyond the plain package.
    environment : mapping of str to str
        Variables of the command.
    program : str
        What is run, as module and function.
    """

    arguments: tuple[str, ...]
    inputs: Mapping[str, bytes]
    resumed: tuple[str, ...] = ()
    same: Callable[[Path, Path], bool] = same_bytes
    service: Callable[[], AbstractContextManager[Mapping[str, str]]] = nothing
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    program: str = "esc_plugin.cli:main"

    def lay(self, folder: Path) -> None:
        """Put the inputs into a folder."""
        for name, content in self.inputs.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    def may_be_partial(self, name: str) -> bool:
        """Whether a run that was ended may leave this result unfinished."""
        return any(name == one or name.startswith(f"{one}/") for one in self.resumed)


def files_in(folder: Path) -> set[str]:
    """Return the names of all files below a folder, without those that the program calls unfinished."""
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    return {name for name in found if not is_unfinished(name)}


def is_unfinished(name: str) -> bool:
    """Whether a name tells that a file, or a folder that it is in, isn't whole."""
    return any(part.startswith(UNFINISHED) for part in name.split("/"))
