"""Which image files are meant: names, folders and patterns become paths."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import ImageError
from ..files import read_provenance
from ..files.address import Url, is_zarr, place_of
from ..files.formats import readable_suffixes
from ..provenance import is_record
from ..workplace import PREFIX


class FoundImage(NamedTuple):
    """An image: where it is, its folder relative to the folder that was named, and whether a search met it.

    It may be a folder that holds Zarr, or an address.
    """

    path: Path | Url
    inside: Path = Path()
    searched: bool = False


def find_images(named: Sequence[str | Path | Url], recursive: bool = False) -> list[FoundImage]:
    """Expand folders and patterns; a file, a Zarr folder and an address stand for themselves, and each is there once.

    Raises
    ------
    ImageError
        If something named isn't there, or holds no images.
    """
    found: dict[Path | Url, FoundImage] = {}
    for name in named:
        path = place_of(name)
        if not str(name):
            raise ImageError("the name of an image is empty.")
        if isinstance(path, Url):
            found[path] = FoundImage(path)
        elif os.path.isdir(path) and not is_zarr(path):  # noqa: PTH112  # Path.is_dir raises for names that are no paths
            for p in images_in(path, recursive):
                found.setdefault(p, FoundImage(p, p.parent.relative_to(path), searched=True))
        elif os.path.exists(path) or not glob.has_magic(str(name)):  # noqa: PTH110
            # A file that isn't there is its own error later, so that it doesn't stop the others.
            found[path] = FoundImage(path)
        else:
            for p in _matches(str(name)):
                found.setdefault(p, FoundImage(p, searched=True))
    return list(found.values())


def find_originals(named: Sequence[str | Path], recursive: bool = True) -> list[Path]:
    """Return the images that may be learned from or measured with, in a fixed order.

    Of a folder these are the images in it but what this program made, which its record tells: a network must not be taught,
    or judged, by its own results. A file that is named stands for itself, whatever it is.

    Raises
    ------
    ImageError
        If something named isn't there, or holds no such images.
    """
    found: list[Path] = []
    for path in map(Path, named):
        if path.is_file() or is_zarr(path):
            found.append(path)
            continue
        if not path.is_dir():
            raise ImageError(f"there is no folder {str(path)!r}.")
        inside = images_in(path, recursive)
        originals = [p for p in inside if not is_record(read_provenance(p))]
        if not originals:
            raise ImageError(f"all {len(inside):,} images in the folder {str(path)!r} are results of this program.")
        found += originals
    return found


def images_in(folder: Path, recursive: bool) -> list[Path]:
    """Return the images of a folder: files told by their suffixes, and Zarr folders, inside of which nothing is looked for.

    Those whose names begin with a point are left out.

    Raises
    ------
    ImageError
        If there are none.
    """
    inside = sorted(_images_in(folder, recursive))
    if not inside:
        raise ImageError(f"there are no images in the folder {str(folder)!r}.")
    return inside


def _images_in(folder: Path, recursive: bool) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        here = Path(place)
        zarrs = {name for name in folders if is_zarr(here / name)}
        yield from (here / name for name in zarrs if not name.startswith("."))
        yield from (here / name for name in files if _is_image(here / name))
        folders[:] = [name for name in folders if recursive and name not in zarrs and not name.startswith(PREFIX)]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in readable_suffixes() and not path.name.startswith(".") and path.is_file()


def _matches(pattern: str) -> list[Path]:
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207  # Path.glob takes no absolute patterns
    matches = [p for p in map(Path, names) if p.is_file() or is_zarr(p)]
    zarrs = {p for p in matches if p.is_dir()}
    # A pattern of all that is below a folder also matches what a Zarr image is made of.
    whole = sorted(p for p in matches if zarrs.isdisjoint(p.parents))
    if not whole:
        raise ImageError(f"nothing matches {pattern!r}.")
    return whole
