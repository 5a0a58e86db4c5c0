"""What the command line is asked to do while something goes wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

#: How the program names what isn't whole yet, see `esc_plugin.disk`.
UNFINISHED = ".esc-"
#: When inputs were changed last, in seconds: names of caches depend on it.
OLD = 1_700_000_000


def same_bytes(made: Path, wanted: Path) -> bool:
    """Whether a file is what an undisturbed run makes of it."""
    return made.read_bytes() == wanted.read_bytes()


def same_weights(made: Path, wanted: Path) -> bool:
    """Whether two files of weights hold the same, tensors and what is said of them; its order in the file is by chance."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    ours, theirs = load_file(made), load_file(wanted)
    with safe_open(made, "pt") as one, safe_open(wanted, "pt") as other:
        told = one.metadata() == other.metadata()
    return told and ours.keys() == theirs.keys() and all(ours[name].equal(theirs[name]) for name in theirs)


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
    varying : tuple of str
        Names, as in `resumed`, of folders whose files are called by time or chance; nothing is known of those.
    most_errors : int
        Lines of error that a run may end with: one, or one for each of many files.
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
    varying: tuple[str, ...] = ()
    most_errors: int = 1
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
            os.utime(folder / name, (OLD, OLD))

    def may_be_partial(self, name: str) -> bool:
        """Whether a run that was ended may leave this result unfinished."""
        return is_below(name, self.resumed)

    def results_in(self, folder: Path) -> set[str]:
        """Return the names of results in a folder that are the same each time."""
        return {name for name in files_in(folder) - set(self.inputs) if not is_below(name, self.varying)}


def is_below(name: str, places: tuple[str, ...]) -> bool:
    """Whether a name is one of those, or that of a file in such a folder."""
    return any(name == place or name.startswith(f"{place}/") for place in places)


def files_in(folder: Path) -> set[str]:
    """Return the names of all files below a folder, without those that the program calls unfinished."""
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    return {name for name in found if not is_unfinished(name)}


def is_unfinished(name: str) -> bool:
    """Whether a name tells that a file, or a folder that it is in, isn't whole. Locks stay where they are."""
    return any(part.startswith(UNFINISHED) and not part.endswith(".lock") for part in name.split("/"))
