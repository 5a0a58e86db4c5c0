"""The objects under a folder or a URL: small and large pieces of bytes by name, each written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from ..disk import replacing
from ..errors import ImageError
from ..workplace import PREFIX

#: How often a folder is removed again that others add to, or remove too.
TRIES = 10


class Objects:
    """What is stored under a folder or under a URL that fsspec knows, by keys such as ``0/c/3/5``.

    On local disks an object is written beside, brought to the disk and renamed; the stores of the cloud show whole objects
    only. So there is never half an object under its name.

    Parameters
    ----------
    target : str or Path
        A path, or a URL such as ``s3://bucket/cells.ome.zarr``, whose rights and servers are what fsspec's own settings say.

    Raises
    ------
    ImageError
        If nobody here knows such URLs. All methods raise what the file system raises.
    """

    def __init__(self, target: str | Path) -> None:
        try:
            from fsspec.core import url_to_fs
            from fsspec.implementations.local import LocalFileSystem
        except ImportError as error:
            raise ImageError(f"can't use {str(target)!r}: install fsspec with: pip install fsspec ({error}).") from None
        try:
            path = str(target) if "://" in str(target) else str(Path(target).absolute())
            # What others write must be seen, so no listing is remembered.
            fs, root = url_to_fs(path, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ImageError(f"can't use {str(target)!r}: {str(error).rstrip('.')}.") from None
        self.fs: Any = fs
        self.target = str(target)
        self.root = str(root).rstrip("/")
        self.local = Path(root) if isinstance(fs, LocalFileSystem) else None
        if self.local is None and set("*?[") & set(self.root):
            raise ImageError(f"can't use {str(target)!r}: fsspec takes names with *, ? or [ for patterns.")

    def read(self, key: str) -> bytes | None:
        """Return the bytes of an object, or ``None`` if there is none."""
        try:
            return bytes(self.fs.cat_file(f"{self.root}/{key}"))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, key: str, content: bytes) -> None:
        """Write an object in place of the one of that name."""
        if self.local is None:
            self.fs.pipe_file(f"{self.root}/{key}", content)
            return
        with replacing(self.local / key) as beside:
            beside.write_bytes(content)

    def exists(self, key: str) -> bool:
        """Whether there is an object of that name."""
        return bool(self.fs.exists(f"{self.root}/{key}"))

    def keys(self, folder: str) -> set[str]:
        """Return the keys of all objects below a folder, without the folder's name."""
        if self.local is None:
            prefix = f"{self.root}/{folder}/"
            return {path.removeprefix(prefix) for path in self.fs.find(prefix)}
        # fsspec leaves out what it can't read here.
        top = self.local / folder
        return {
            (Path(where) / name).relative_to(top).as_posix()
            for where, _, names in os.walk(top, onerror=_unless_gone)
            for name in names
        }

    def remove(self, key: str) -> None:
        """Remove an object, or a folder with all that is in it; what isn't there is no error."""
        if self.local is None:
            with suppress(FileNotFoundError):
                self.fs.rm(f"{self.root}/{key}", recursive=True)
            return
        path = self.local / key
        for _ in range(TRIES):
            if path.is_dir():
                rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            if not path.exists():
                return
        rmtree(path)

    def names(self) -> set[str]:
        """Return the names of the objects and folders at the top; of a plain file, its own."""
        try:
            return {path.rstrip("/").rpartition("/")[2] for path in self.fs.ls(self.root, detail=False)}
        except FileNotFoundError:
            return set()

    def sweep(self) -> None:
        """Remove what writers left that were killed while they wrote; call it when nobody writes."""
        for where, folders, _ in os.walk(self.local) if self.local else ():
            for name in (name for name in folders if name.startswith(PREFIX)):
                rmtree(Path(where) / name, ignore_errors=True)


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
