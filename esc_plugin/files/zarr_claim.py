"""Who may fill a store: what its image shall become, and of what, stands in it until the image is finished."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import EscError, ImageError, StoreError
from ..texts import quoted
from .objects import Objects
from .room import check_folder

#: Everything of an unfinished image that isn't OME-Zarr.
OURS = "esc"
#: What the image shall become, and of what.
JOB = f"{OURS}/job.json"
#: Stands in its place while what was there before is being removed.
CLEARING = {"clearing": True}
#: Where the markers of finished blocks are: of those that have a shard, and of those that zarr stores by leaving it out,
#: since all of their values are the fill value.
DONE, EMPTY = f"{OURS}/done", f"{OURS}/empty"
#: What a disk says that takes no other block either.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass
class Claim:
    """A piece of work that wants a store for itself.

    Attributes
    ----------
    target : str
        Path or URL of the store.
    objects : Objects
        What is in it.
    grid, job : dict
        What the image shall become, and of what.
    """

    target: str
    objects: Objects
    grid: dict[str, Any]
    job: dict[str, Any]

    @property
    def about(self) -> dict[str, Any]:
        """What stands in the store."""
        return {"grid": self.grid, "job": self.job}

    @property
    def holds(self) -> bool:
        """Whether the store is still for this work."""
        return bool(json_of(self.objects, JOB) == self.about)

    def begin(self, metadata: Mapping[str, bytes], overwrite: bool) -> None:
        """Begin, or go on with what the same work has begun; any number of workers may do so at once.

        Parameters
        ----------
        metadata : mapping of str to bytes
            What else has to be there before blocks are, by key.
        """
        names, begun, finished = self._found()
        if finished:
            self.objects.remove(OURS)  # for whoever finished it may have been killed before that
        if finished or begun != self.about:
            if self._in_the_way(names, begun, finished, overwrite):
                self._clear()
            self.objects.write(JOB, json.dumps(self.about).encode())
        for key, content in metadata.items():
            if not self.objects.exists(key):
                self.objects.write(key, content)

    def check(self, overwrite: bool) -> None:
        """Raise an `ImageError` unless it could begin. What `job` doesn't say is taken as it was begun."""
        names, begun, finished = self._found()
        if begun and begun != CLEARING:
            self.job = begun["job"] | self.job
        if finished or begun != self.about:
            self._in_the_way(names, begun, finished, overwrite)

    def _found(self) -> tuple[set[str], Any, bool]:
        """Return the names of what is there, what was begun if anything, and whether an image is finished."""
        # In this order: others who begin it now write the job first, and who finishes it removes the job last.
        names, begun = self.objects.names() - {OURS}, json_of(self.objects, JOB)
        return names, begun, begun != CLEARING and is_finished(self.objects)

    def _in_the_way(self, names: set[str], begun: Any, finished: bool, overwrite: bool) -> bool:
        """Whether something is there that has to be removed, which was agreed upon; an `ImageError` if it wasn't."""
        if begun == CLEARING or (overwrite and (finished or begun)):
            return True
        if finished:
            raise ImageError(f"{self.target!r} is there already; choose another name, or replace it with --overwrite.")
        if begun:
            self.refuse_another(begun)
        elif names:
            raise ImageError(f"{self.target!r} is there already, and no image of this program; choose another name.")
        elif self.objects.local:
            check_folder(self.objects.local)
        return False

    def _clear(self) -> None:
        """Remove all that is there. Whoever finds this not done has to go on with it, for an image may be half there."""
        self.objects.write(JOB, json.dumps(CLEARING).encode())
        names = sorted(self.objects.names() - {OURS}, key=str.isalnum)  # metadata first: then it's no image any more
        for key in (DONE, EMPTY, *names):
            self.objects.remove(key)

    def refuse_another(self, begun: dict[str, Any]) -> None:
        """Raise an `ImageError` if an image was begun by another job."""
        for name, old, new in _pairs(begun, self.about):
            if old != new:
                raise ImageError(
                    f"{self.target!r} was begun with {name.partition('.')[2] or name} {quoted(old)}, not {quoted(new)}; "
                    "go on with that, choose another name, or replace it with --overwrite."
                )


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say in one line what a file system, a network or zarr raised; each of them has errors of its own.

    Raises
    ------
    StoreError
        If nothing more can be written there.
    ImageError
        In place of all other errors.
    """
    try:
        yield
    except ImageError:
        raise
    except EscError as error:
        raise (StoreError if _takes_no_more(error.__cause__) else ImageError)(f"{what}: {error}") from None
    except Exception as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
        raise (StoreError if _takes_no_more(error) else ImageError)(f"{what}: {reason.rstrip('.')}.") from None


def _takes_no_more(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in FULL


def json_of(objects: Objects, key: str) -> Any:
    """Return what a JSON object says, or ``None`` if there is none, or one that was cut off when a machine stopped."""
    try:
        return json.loads(objects.read(key) or b"null")
    except ValueError:
        return None


def is_finished(objects: Objects) -> bool:
    """Whether a store says that there is an image in it."""
    attributes = (json_of(objects, "zarr.json") or {}).get("attributes", {}), json_of(objects, ".zattrs") or {}
    return any("multiscales" in about.get("ome", about) for about in attributes)


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value, allow_nan=False))


def _pairs(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Iterate over the values of two nested dictionaries, with the names that lead to them."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        yield name, old, new
        return
    for key in old | new:
        yield from _pairs(old.get(key), new.get(key), f"{name}.{key}" if name else key)
