"""How a TIFF was written, so that its successor is written the same way."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

#: These decide how the pixels are stored; a TIFF without them is another kind of file.
NEEDED_OPTIONS = ("bigtiff", "byteorder")
#: Where a part of a picture is, and its name there.
Piece = tuple[str, Any]


@dataclass
class TiffNotes:
    """How a file was written.

    Attributes
    ----------
    kind : {"imagej", "ome", "shaped", "plain"}
        Whose metadata it has.
    metadata : dict or str
        ImageJ's or tifffile's entries; OME-XML; a plain description.
    resolution : tuple, optional
        Pixels per unit along x and y, and the unit's number.
    options : dict
        Tiles, compression, BigTIFF, byte order, extra tags, as `tifffile.imwrite` takes them.
    scale, start : tuple
        What `enlarged` was told, along y and x.
    deeper : float
        By how much the stack has been cut along z.
    """

    kind: str = "plain"
    metadata: Any = None
    resolution: tuple[float, float, int] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    scale: tuple[float, float] = (1.0, 1.0)
    start: tuple[int, int] = (0, 0)
    deeper: float = 1.0

    def enlarged(self, sy: float, sx: float, start: tuple[int, int] = (0, 0), sz: float = 1.0) -> TiffNotes:
        """Return the notes of an image that is larger by these factors, but covers the same area, or of a part of it.

        Parameters
        ----------
        start : tuple of int
            Row and column at which that part begins.
        sz : float
            How many planes each one has become.
        """
        x, y, unit = self.resolution or (0.0, 0.0, 1)
        resolution = (x * sx, y * sy, unit) if self.resolution else None
        return replace(self, scale=(sy, sx), start=start, deeper=self.deeper * sz, resolution=resolution)

    def pieces(self) -> list[Piece]:
        """Return what the file can do without: ``("tiff", field)``, ``("option", name)`` and ``("metadata", name)``."""
        found: list[Piece] = [("tiff", "resolution")] if self.resolution else []
        kept = [name for name, value in self.options.items() if value is not None and name not in NEEDED_OPTIONS]
        found += [("option", name) for name in kept]
        if isinstance(self.metadata, dict):
            return found + [("metadata", name) for name in self.metadata]
        return found + ([("tiff", "metadata")] if self.metadata else [])

    def without(self, dropped: Collection[Piece]) -> TiffNotes:
        """Return the notes without some of their `pieces`."""
        options = {name: value for name, value in self.options.items() if ("option", name) not in dropped}
        if ("option", "compression") in dropped:
            options["compression"] = "zlib"  # which every tifffile can write
        changes: dict[str, Any] = {"options": options}
        if isinstance(self.metadata, dict):
            changes["metadata"] = {k: v for k, v in self.metadata.items() if ("metadata", k) not in dropped}
        elif ("tiff", "metadata") in dropped:
            # tifffile's own kind says at least which axes there are.
            changes |= {"metadata": {}, "kind": "shaped"} if self.kind == "ome" else {"metadata": None}
        if ("tiff", "resolution") in dropped:
            changes["resolution"] = None
        return replace(self, **changes)
