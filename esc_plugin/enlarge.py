"""From an image's size to a target's: runs of one network, one after the other, and a filter at the end; all or a part."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .arrays.passes import pass_sizes
from .arrays.piece import Piece
from .arrays.resample import Resampler, needed
from .arrays.sizes import Size
from .arrays.surveyed import RunSurvey
from .device import free_bytes
from .engine import ProcessGroup, Sink, areas_for, image_area
from .engine.maps import FileMap, TensorMap, make_map
from .network.grid import Region
from .progress import rising, share_of
from .runner import BeyondError, Runner


@dataclass(frozen=True)
class Stage:
    """One run of the network.

    Attributes
    ----------
    size, made : tuple of int
        Height and width of its whole input and of its whole output.
    wanted, counted : Region
        What it computes and what its sums are taken over, in pixels of the feature grid, see `Run`.
    reads, writes : Region
        What is read of its input and what is handed on of its output.
    """

    size: Size
    made: Size
    wanted: Region
    counted: Region
    reads: Region
    writes: Region


@dataclass(frozen=True)
class Enlarger:
    """Upscales planes of any size to any target, piece by piece.

    A network for any scale renders the target itself. Another one runs until nothing is much too small, then a Lanczos
    filter resizes what it made, in linear light if wanted. What doesn't grow is only filtered, unless passes are asked for.

    Attributes
    ----------
    upscaler : Runner
        What runs.
    bits : int
        Of a value of the image, see `Upscaler.dtype_for`.
    group : ProcessGroup, optional
        The other processes that work on bands of the same planes.
    passes : int, optional
        How often the network runs, see `esc_plugin.arrays.passes.pass_sizes`.
    """

    upscaler: Runner
    bits: int = 32
    group: ProcessGroup | None = None
    passes: int | None = None

    def runs(self, size: Size, target: Size) -> int:
        """Return how often the network runs to bring a plane of `size` to the target."""
        return len(self.sizes(size, target)) - 1

    def reads(self, size: Size, target: Size, region: Region) -> Region:
        """Return the pixels of a plane of `size` that are read to make a region of the target."""
        stages = self._stages(size, target, region, {})
        return stages[0].reads if stages else _filtered_from(size, target, region)

    def __call__(self, piece: Piece) -> tuple[RunSurvey, ...]:
        """Fill the sink of a piece.

        Returns
        -------
        tuple of RunSurvey
            What the runs found, or what was known.
        """
        grown: dict[int, Region] = {}
        found, piece = dict(enumerate(piece.known)), replace(piece, progress=rising(piece.progress))
        while True:
            stages = self._stages(piece.size, piece.target, piece.region, grown)
            if not stages:
                piece.filter()
                return ()
            made, end = stages[-1].made, piece.sink
            if end and made != piece.target:
                end = Resampler(end, made, piece.target, piece.linear_light, piece.region)
            try:
                self._run(stages, replace(piece, sink=end), found)
            except BeyondError as error:
                # What was found stays: other processes that were asked for it don't begin again.
                grown[error.stage] = error.region.hull(grown.get(error.stage))
                if error.found:
                    found[error.stage] = error.found
            else:
                return tuple(found[i] for i in range(len(stages)))

    def sizes(self, size: Size, target: Size) -> list[Size]:
        """Return height and width of what the first run sees, and of what each run makes."""
        model = self.upscaler.model
        return pass_sizes(size, target, model.scale, model.any_scale, self.passes)

    def _stages(self, size: Size, target: Size, region: Region, grown: dict[int, Region]) -> list[Stage]:
        """Return the runs, each with the part of it that `region` needs."""
        network, sizes = self.upscaler.model.network, self.sizes(size, target)
        needs = _filtered_from(sizes[-1], target, region)
        stages: list[Stage] = []
        for i in reversed(range(len(sizes) - 1)):
            geometry = network.geometry(*sizes[i], sizes[i + 1])
            wanted = geometry.feature_region(needs)
            counted = Region(0, 0, *geometry.grid)
            if self.group:
                top, bottom = self.group.part(geometry.grid[0])
                counted = Region(top, 0, bottom, geometry.grid[1])
                wanted = wanted.hull(counted) if counted.height else wanted
            program = network.program(geometry)
            reads = image_area(program, geometry, areas_for(program, geometry, wanted)).hull(grown.get(i))
            stages.append(Stage(sizes[i], sizes[i + 1], wanted, counted, reads, needs))
            needs = reads
        return stages[::-1]

    def _run(self, stages: list[Stage], piece: Piece, found: dict[int, RunSurvey]) -> None:
        """Hand what the last stage makes to the sink; `found` has what is known of the runs, and is added to."""
        source, cost = piece.source, [stage.wanted.height * stage.wanted.width for stage in stages]
        with ExitStack() as maps:
            for i, stage in enumerate(stages):
                end, between = piece.sink, None
                if i < len(stages) - 1:
                    end = between = maps.enter_context(closing(Between(i + 1, stage.writes)))
                found[i] = self.upscaler.stream(
                    source,
                    _Cropped(end, stage.writes) if end else None,
                    *stage.size,
                    size=stage.made,
                    bits=self.bits,
                    caller_bytes=piece.caller_bytes,
                    wanted=stage.wanted,
                    counted=stage.counted,
                    known=found.get(i),
                    group=self.group,
                    progress=share_of(piece.progress, sum(cost[:i]) / sum(cost), sum(cost[: i + 1]) / sum(cost)),
                    cancel=piece.cancel,
                )
                if between:
                    source = between


def _filtered_from(size: Size, target: Size, region: Region) -> Region:
    return region if size == target else needed(size, target, region)


@dataclass(frozen=True)
class _Cropped:
    """A sink for a part of what comes."""

    sink: Sink
    region: Region

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `Sink`."""
        part = region.meet(self.region)
        if part.height and part.width:
            rows, columns = part.within(region).slices
            self.sink.write(part, tensor[..., rows, columns])


@dataclass
class Between:
    """What lies between two runs: in memory if that takes little of it, else in a file.

    Attributes
    ----------
    stage : int
        Of the run that reads it.
    place : Region
        Where it lies in the whole.
    limit : int, optional
        Bytes of memory that may be used.
    """

    stage: int
    place: Region
    limit: int | None = None
    _map: TensorMap | FileMap = field(init=False)

    def __post_init__(self) -> None:
        """Make room for it."""
        cpu = torch.device("cpu")
        shape = (1, self.place.height, self.place.width, 3)
        small = self.fits(self.bytes_for((self.place.height, self.place.width)), self.limit)
        self._map = make_map("host" if small else "disk", shape, torch.float32, cpu)

    @staticmethod
    def bytes_for(size: Size) -> int:
        """Return what it takes for a height and a width."""
        return 12 * size[0] * size[1]

    @staticmethod
    def fits(count: int, limit: int | None = None) -> bool:
        """Tell whether so many bytes are little of the memory."""
        free = free_bytes(torch.device("cpu"))
        return count < (free if limit is None else min(free, limit)) / 8

    @property
    def host_bytes(self) -> int:
        """What it takes of the memory."""
        return self.bytes_for((self.place.height, self.place.width)) if isinstance(self._map, TensorMap) else 0

    def read(self, region: Region) -> Tensor:
        """See `Source`."""
        if not self.place.holds(region):
            raise BeyondError(self.stage, region)
        return self._map.read(region.within(self.place))

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `Sink`."""
        self._map.write(region.within(self.place), tensor)

    def close(self) -> None:
        """Free it."""
        self._map.close()
