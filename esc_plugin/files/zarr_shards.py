"""What is written into an OME-Zarr image at once: shards, encoded in memory, as the metadata of their level say."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ImageError
from .ngff import new_group, new_level
from .objects import Objects
from .ome_zarr_layout import Block, Grid


class Shards:
    """Metadata and shards of an image, as objects by their keys.

    Zarr encodes them only: it would read what is there before it writes, and wouldn't bring files to the disk.
    """

    def __init__(self, objects: Objects, grid: Grid) -> None:
        self.objects, self.grid = objects, grid
        self._read: dict[int, dict[str, bytes]] = {}

    def metadata(self, **attributes: Any) -> dict[str, bytes]:
        """Return the metadata of group and levels by key, as zarr writes them; the group has these attributes."""
        from zarr.storage import MemoryStore

        made: dict[str, Any] = {}
        layout = self.grid.layout
        group = new_group(MemoryStore(made), layout.version)
        letters, dtype = layout.axes_on_disk.letters, np.dtype(layout.dtype)
        for i, shape in enumerate(layout.levels):
            new_level(group, str(i), shape, dtype, letters, **self.grid.pieces(i))
        group.attrs.update(attributes)
        return {key: value.to_bytes() for key, value in made.items()}

    def stored_metadata(self, level: int) -> dict[str, bytes]:
        """Return the metadata of a level by key, read once, and looked at: with others, other values would be seen.

        Raises
        ------
        ImageError
            If they aren't those that the level was begun with.
        """
        if level not in self._read:
            keys = [f"{level}/{name}" for name in ("zarr.json", ".zarray", ".zattrs")]
            found = {key: content for key in keys if (content := self.objects.read(key)) is not None}
            if _parsed(found, level) != _parsed(self.metadata(), level):
                what = f"level {level} of {self.objects.target!r}"
                raise ImageError(f"{what} is not as it was begun; begin anew with --overwrite.")
            self._read[level] = found
        return self._read[level]

    def key(self, block: Block) -> str:
        """Return the key of a block's shard."""
        at = "/".join(map(str, self.grid.shard_at(block)))
        return f"{block.level}/{at}" if self.grid.layout.version == "0.4" else f"{block.level}/c/{at}"

    def encoded(self, block: Block, values: np.ndarray) -> bytes | None:
        """Return a block, its axes as on disk, as a shard; ``None`` if it has fill values only, which Zarr doesn't store."""
        # By the metadata that are in the store: another version of zarr may have made them.
        array, made = _opened(self.stored_metadata(block.level), block.level)
        array[self.grid.place(block)] = values
        shard = made.get(self.key(block))
        return None if shard is None else shard.to_bytes()


def _opened(metadata: dict[str, bytes], level: int) -> tuple[Any, dict[str, Any]]:
    """Return the array that metadata describe, in memory, and its objects by key."""
    import zarr
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    as_buffer = default_buffer_prototype().buffer.from_bytes
    objects: dict[str, Any] = {key: as_buffer(content) for key, content in metadata.items()}
    return zarr.open_array(MemoryStore(objects), path=str(level), mode="r+"), objects


def _parsed(metadata: dict[str, bytes], level: int) -> dict[str, Any]:
    """Return what metadata say, as the zarr that is here understands it: texts of other versions may say the same."""
    described: dict[str, Any] = _opened(metadata, level)[0].metadata.to_dict()
    return described
