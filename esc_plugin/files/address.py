"""Where an image is: a path, or an address that fsspec opens, such as ``s3://bucket/cells.ome.zarr``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

#: A drive of Windows is one letter and has no slashes behind it.
SCHEME = re.compile(r"[A-Za-z][\w+.:-]+://")
#: A folder that holds one of these files is a Zarr array or group.
MARKERS = ("zarr.json", ".zarray", ".zgroup")


@dataclass(frozen=True, order=True)
class Url:
    """An address, with what batches ask of a path.

    Attributes
    ----------
    text : str
        As the user wrote it.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    def __fspath__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """What follows the last slash."""
        return PurePosixPath(urlsplit(self.text).path).name or urlsplit(self.text).netloc

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The end of the name, with its point."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Path:
        """Where results go that are put beside the image: the working folder."""
        return Path()

    @property
    def protocol(self) -> str:
        """What the address starts with, such as ``"s3"``."""
        return self.text.partition("://")[0]


def place_of(name: str | Path | Url) -> Path | Url:
    """Return the path or the address that a name means; ``file://`` is a path."""
    if not isinstance(name, str) or not SCHEME.match(name):
        return name if isinstance(name, Url) else Path(name)
    parts = urlsplit(name)
    if parts.scheme in ("file", "local"):
        return Path(url2pathname(parts.path))
    return Url(name)


def is_zarr(place: Path | Url) -> bool:
    """Whether this is a Zarr array or group; an address is taken for one."""
    return isinstance(place, Url) or any((place / name).is_file() for name in MARKERS)
