"""An OME-Zarr image that many workers fill together: threads, processes, machines that share nothing but the store.

Each block is a whole shard and has one writer, so nothing is written twice at once. A marker of its own says that a block is
done, so no file is shared by writers either. What says that there is an image is written last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays.pyramid import halved
from ..errors import EscError, ImageError, StoreError
from ..progress import Cancel, Progress, stop_if_asked
from .ngff import DEFAULT_VERSION, RECORD_KEY, check_version
from .objects import Objects
from .ome_axes import Axes
from .ome_notes import Channel
from .ome_zarr_layout import Block, Grid, StoredLayout
from .zarr_claim import CLEARING, DONE, EMPTY, JOB, OURS, Claim, is_finished, json_of, plain, told
from .zarr_shards import Shards

#: Rows and columns of a shard, which is what is written at once, by version.
SHARDS = {"0.5": 2048, "0.4": 1024}
#: Rows and columns of a chunk, which is what is read at once.
CHUNK = 512
#: Calls a function for each of some blocks, as `map` does; that of an executor does it with several workers.
Each = Callable[[Callable[[Block], None], Iterable[Block]], Iterable[None]]


class ShardedImage:
    """An OME-Zarr image that is filled block by block, by any number of workers, in any order, and again after any end.

    Made by `create` or `open`, and safe to hand to threads and to processes.

    Attributes
    ----------
    target : str
        Path or URL of the store.
    grid : Grid
        Shape, dtype and axes of the image (``grid.layout``), and the sizes of its pieces.
    job : dict
        What the image is of.
    """

    def __init__(self, target: str | Path, grid: Grid, job: dict[str, Any]) -> None:
        self.target, self.grid, self.job = str(target), grid, plain(job)
        self.objects = Objects(target)
        self.shards = Shards(self.objects, grid)

    def __reduce__(self) -> tuple[Any, ...]:
        return ShardedImage.open, (self.target, self.job)

    @classmethod
    def create(
        cls,
        target: str | Path,
        shape: tuple[int, ...],
        dtype: Any,
        axes: Axes,
        *,
        job: dict[str, Any],
        rgb: bool = False,
        version: str = DEFAULT_VERSION,
        shard: int | None = None,
        chunk: int = CHUNK,
        overwrite: bool = False,
        only_check: bool = False,
    ) -> ShardedImage:
        """Begin an image, or go on with what the same job has begun. Any number of workers may do so at once.

        Parameters
        ----------
        target : str or Path
            Folder to make, or a URL that fsspec knows, such as ``s3://bucket/cells.ome.zarr``.
        shape : tuple of int
            Of the image: (..., Y, X), or (..., Y, X, S) if `rgb`.
        dtype : numpy.dtype
            Of the image.
        axes : Axes
            Of the image, without S.
        job : dict
            What tells this work from another one, in values of JSON: model, survey, options, version of the software.
        rgb : bool
            Whether the last axis holds the samples of a pixel; on disk they become channels.
        version : str
            Of OME-Zarr: ``"0.5"`` or ``"0.4"``.
        shard : int, optional
            Rows and columns of a block; `SHARDS` if not given.
        chunk : int
            Rows and columns of what is read at once, of which a shard has whole ones. In 0.4 it is what `shard` says.
        overwrite : bool
            Whether a finished image, or what another job has begun, is removed.
        only_check : bool
            Whether nothing is begun yet. What `job` doesn't say is then taken as it was begun.

        Raises
        ------
        ImageError
            If something else is there, it can't be written to, or OME-Zarr can't hold the image. Nothing is changed then.
        """
        check_version(version)
        layout = StoredLayout(tuple(map(int, shape)), np.dtype(dtype).name, axes, rgb, version)
        shard = shard or SHARDS[version]
        image = cls(target, Grid(layout, shard, shard if version == "0.4" else chunk), job)
        with told(f"can't write {image.target!r}"):
            image._claim(overwrite, only_check)
        return image

    @classmethod
    def open(cls, target: str | Path, job: dict[str, Any]) -> ShardedImage:
        """Return an image that was begun, to go on with it.

        Raises
        ------
        ImageError
            If there is none, it is finished, or another job has begun it.
        """
        objects = Objects(target)
        with told(f"can't read {str(target)!r}"):
            begun = json_of(objects, JOB)
            finished = is_finished(objects)
        if finished:
            raise ImageError(f"{str(target)!r} is finished; nothing more can be written to it.")
        if begun is None or begun == CLEARING:
            raise ImageError(f"nobody has begun an image at {str(target)!r}.")
        with told(f"can't read {str(target)!r}"):
            image = cls(target, Grid.from_json(begun["grid"]), job)
        image.claim.refuse_another(begun)
        return image

    @property
    def claim(self) -> Claim:
        """What the store is for."""
        return Claim(self.target, self.objects, plain(self.grid.to_json()), self.job)

    def _claim(self, overwrite: bool, only_check: bool) -> None:
        claim = self.claim
        claim.check(overwrite) if only_check else claim.begin(self.shards.metadata(), overwrite)
        self.job = claim.job

    @property
    def levels(self) -> list[tuple[int, ...]]:
        """Shapes of the levels on disk, finest first."""
        return self.grid.layout.levels

    def blocks(self, level: int = 0) -> list[Block]:
        """Return all blocks of a level, in an order that never changes."""
        return self.grid.blocks(level)

    def part(self, i: int, n: int, level: int = 0) -> list[Block]:
        """Return part `i` of `n` (1 to `n`) of the blocks of a level: every n-th, so that all parts get a bit of everything.

        Raises
        ------
        ImageError
            If there is no such part.
        """
        if not 1 <= i <= n:
            raise ImageError(f"there is no part {i!r} of {n!r}; parts are 1 to {n!r}.")
        return self.blocks(level)[i - 1 :: n]

    def done(self, block: Block) -> bool:
        """Whether a block is written and marked, or the whole image is finished."""
        name = f"{block.level}/{block.index}"
        with told(f"can't read {self.target!r}"):
            exists = self.objects.exists
            marked = exists(f"{EMPTY}/{name}") or (exists(f"{DONE}/{name}") and exists(self.shards.key(block)))
            return marked or self.finished

    @property
    def finished(self) -> bool:
        """Whether somebody has finished the image: this process, or another one that does the same work."""
        return not self.claim.holds and is_finished(self.objects)

    def was_finished(self, record: dict[str, Any]) -> bool:
        """Whether another process has finished the image, made as a record says."""
        about = (json_of(self.objects, "zarr.json") or {}).get("attributes") or json_of(self.objects, ".zattrs") or {}
        return self.finished and about.get(RECORD_KEY) == plain(record)

    def missing(self, level: int = 0) -> list[Block]:
        """Return the blocks of a level that aren't `done`, asked for all at once."""
        with told(f"can't read {self.target!r}"):
            empty, marked = (self.objects.keys(f"{kind}/{level}") for kind in (EMPTY, DONE))
            stored = {f"{level}/{key}" for key in self.objects.keys(str(level))}

        def is_missing(block: Block) -> bool:
            name = str(block.index)
            return name not in empty and not (name in marked and self.shards.key(block) in stored)

        return [block for block in self.blocks(level) if is_missing(block)]

    def write(self, block: Block, values: Any) -> None:
        """Write a block of the image and mark it; whoever does so again changes nothing.

        Parameters
        ----------
        block : Block
            One of `blocks`.
        values : array
            (Y, X), or (Y, X, S) if the image is RGB, in the image's dtype.

        Raises
        ------
        StoreError
            If nothing more can be written: the disk is full, or another job has the store now. What is done stays done.
        ImageError
            If it can't be written for another reason.
        """
        layout, values = self.grid.layout, np.asarray(values)
        expected = (*block.size, *layout.shape[-1:]) if layout.rgb else block.size
        if values.shape != expected or values.dtype.name != layout.dtype:
            given = f"{values.shape} of {values.dtype.name}"
            raise ImageError(f"{block} must be {expected} of {layout.dtype}, and {given} came.")
        self._store(block, values[(None,) * len(block.plane)].transpose(layout.order))

    def build(self, block: Block) -> None:
        """Make a block of a coarser level of the finer one, and mark it.

        Raises
        ------
        ImageError
            As `write`, and if the finer blocks aren't done.
        """
        import zarr

        from .zarr_bounded import bounded

        if waiting := next((finer for finer in self.grid.finer(block) if not self.done(finer)), None):
            raise ImageError(f"{self.target!r}: {block} needs {waiting}, which isn't done.")
        *planes, rows, columns = self.grid.place(block)
        twice = (slice(2 * part.start, 2 * part.stop) for part in (rows, columns))
        with told(f"can't read {self.target!r} for {block}"):
            finer: Any = zarr.open_group(str(self.objects.local or self.target), mode="r")[str(block.level - 1)]
            self.shards.stored_metadata(block.level - 1)
            part = np.asarray(bounded(finer)[(*planes, *twice)])
        pixels = part.reshape(-1, *part.shape[-2:])
        self._store(block, np.stack([halved(plane) for plane in pixels]).reshape(*part.shape[:-2], *block.size))

    def _store(self, block: Block, values: np.ndarray) -> None:
        """Write a block that has all axes, in their order on disk. The marker comes when the shard is on the disk."""
        with told(f"{block} of {self.target!r} can't be written"):
            if not self.claim.holds:
                if is_finished(self.objects):  # nothing is left to do
                    return
                what = f"{block} of {self.target!r} can't be written"
                raise StoreError(f"{what}: the store is gone, or begun anew by another job.")
            try:
                self._write(block, values)
            except EscError:
                if not self.finished:
                    raise
            if self.finished:  # in that moment, and nobody else would remove what this process left there
                self.objects.sweep()
                self.objects.remove(OURS)

    def _write(self, block: Block, values: np.ndarray) -> None:
        key, shard = self.shards.key(block), self.shards.encoded(block, values)
        if shard is not None:
            self.objects.write(key, shard)
        elif self.objects.exists(key):
            self.objects.remove(key)
        self.objects.write(f"{EMPTY if shard is None else DONE}/{block.level}/{block.index}", b"")

    def finish(
        self,
        name: str,
        *,
        channels: Sequence[Channel] = (),
        record: dict[str, Any] | None = None,
        each: Each = map,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Add what is missing of the pyramid, then the metadata that make an image of it, and remove what isn't OME-Zarr.

        Parameters
        ----------
        name : str
            Of the image, inside the store.
        channels : sequence of Channel
            How they are called and shown; one will do if it holds for all.
        record : dict, optional
            How it was made, as `esc_plugin.provenance` records it.
        each : callable
            Builds the blocks of a level: `map`, or that of a pool of threads or processes.
        progress : callable, optional
            Called as ``progress(done, total)`` with blocks of the pyramid.
        cancel : callable, optional
            ``cancel() -> bool`` is asked after each of them; then `Cancelled` is raised.

        Raises
        ------
        ImageError
            If blocks of the image are missing, or something can't be written. It can be finished later.
        """
        self._check_whole()
        work = [(level, self.missing(level)) for level in range(1, len(self.levels))]
        total = sum(len(blocks) for _, blocks in work)
        for done, _ in enumerate(_built(self.build, each, work), 1):
            stop_if_asked(cancel)
            if progress:
                progress(done, total)
        with told(f"can't finish {self.target!r}"):
            for level in range(len(self.levels)):
                self.shards.stored_metadata(level)
            before = self.shards.metadata()
            after = self.shards.metadata(**self.grid.layout.attributes(name, channels, record))
            for key in (key for key in after if after[key] != before[key]):
                self.objects.write(key, after[key])
            # After it: others that do the same work find out by what is there why theirs is gone.
            self.objects.sweep()
            self.objects.remove(OURS)

    def _check_whole(self) -> None:
        if missing := self.missing():
            count = len(self.blocks())
            raise ImageError(f"{len(missing)} of {count} blocks of {self.target!r} aren't done; the first is {missing[0]}.")


def _built(build: Callable[[Block], None], each: Each, work: list[tuple[int, list[Block]]]) -> Iterator[None]:
    """Iterate over built blocks; a level is made when the finer one is done."""
    for _, blocks in work:
        yield from each(build, blocks)
