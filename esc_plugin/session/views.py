"""Images that are looked at again and again: what is known of the whole is found once, and any part then comes soon."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays.layout import Layout, layout_of
from ..arrays.lazy import CancellableArray
from ..arrays.levels import Levels
from ..arrays.sizes import Size
from ..arrays.stack import make_output
from ..measure.duration import Speed
from ..network.grid import Region
from ..progress import Cancel, Progress, share_of
from ..survey import Survey, image_digest
from ..upscaler import RegionSpans, Upscaler
from .recent import Recent

#: Where an exact survey takes longer than so many seconds, and one is wanted soon, it is sampled.
SOON = 10.0
#: Pixels of each plane that a sampled survey looks at.
SAMPLED_PIXELS = 2**15
#: Pixels of a plane that tell how bright it is.
ENOUGH_PIXELS = 2**20
#: Edges of the chunks of a lazy result, in its pixels; they are made smaller until one takes no longer than so many seconds.
LARGEST_CHUNK, LEAST_CHUNK, CHUNK_SECONDS = 2048, 256, 1.0
#: Values that are hashed at a time.
BAND_VALUES = 2**22

#: What was found last, of any image. No image is held.
recent = Recent()


@dataclass(frozen=True)
class Viewed:
    """Planes of an image that are looked at in parts: each part is that of the whole result, to the bit.

    Attributes
    ----------
    upscaler : Upscaler
        What upscales them.
    pyramid : sequence of array
        The image at its resolutions, finest first, see `Upscaler.__call__`. Levels of intensity are those of all of it.
    planes : tuple of slice
        Which of its planes, by the axes before Y and X.
    axes : str
        Of the image.
    target : tuple of int
        Height and width of an upscaled plane.
    intensity, consistency
        See `Upscaler.__call__`.
    soon : Speed, optional
        How fast the upscaler is. With it, a survey is sampled if an exact one would take longer than `SOON`.
    sampled : bool
        Whether the survey is sampled in any case.
    strength : float
        See `Upscaler.__call__`; a survey serves any.
    passes : int, optional
        See `Upscaler.__call__`.
    """

    upscaler: Upscaler
    pyramid: Sequence[Any]
    planes: tuple[slice, ...]
    axes: str
    target: Size
    intensity: Any = "auto"
    consistency: bool = False
    soon: Speed | None = None
    sampled: bool = False
    strength: float = 1.0
    passes: int | None = None

    def upscale(
        self, region: RegionSpans, out: Any = None, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> tuple[Any, Survey]:
        """Return the pixels of a region of the result, and the survey that they were made with.

        Parameters
        ----------
        region, out, progress, cancel
            See `Upscaler.__call__`. Where all is made, an exact survey comes with it.
        """
        key = self._key
        if self._is_all(region) and not self.sampled and recent.get(key) is None:
            return self._whole(key, out, progress, cancel)
        survey = self._survey(key, share_of(progress, 0, 0.5), cancel)
        options = self._options(survey.levels_of(self._dtype))
        told = share_of(progress, 0.5, 1)
        image = CancellableArray(self._image, cancel)
        return self.upscaler(image, **options, region=region, survey=survey, out=out, progress=told, cancel=cancel), survey

    def lazy(self, progress: Progress | None = None, cancel: Cancel | None = None) -> tuple[Any, Survey]:
        """Return the result as a dask array that makes what is asked for, and the survey that it is made with.

        Its chunks are as large as can be made in about `CHUNK_SECONDS`.
        """
        survey = self._survey(self._key, progress, cancel)
        options = self._options(survey.levels_of(self._dtype))
        # It is read when a chunk is made: a graph of all blocks of a large lazy image would take minutes.
        image, chunk = CancellableArray(self._image, None), self._chunk(self.soon) if self.soon else None
        return self.upscaler.lazy(image, survey=survey, chunks=chunk, **options), survey

    def seconds(self, speed: Speed, region: RegionSpans) -> float:
        """Predict how long it takes to make a region of the result, survey and all."""
        # To be sure that it was surveyed, all of the image would have to be read.
        surveyed = self._is_all(region) or self.sampled or recent.get(self._hint) is not None
        return self.rendering_seconds(speed, region) + (0 if surveyed else self._seconds(speed))

    def rendering_seconds(self, speed: Speed, region: RegionSpans) -> float:
        """Predict how long it takes to make a region of the result once there is a survey."""
        (top, bottom), (left, right) = region
        return self._seconds(speed, Region(top, left, bottom, right))

    def _is_all(self, region: RegionSpans) -> bool:
        height, width = self.target
        return region == ((0, height), (0, width))

    def _seconds(self, speed: Speed, region: Region | None = None) -> float:
        return len(layout_of(self._image, self.axes).planes()) * self._plane_seconds(speed, region)

    def _plane_seconds(self, speed: Speed, region: Region | None = None) -> float:
        layout = layout_of(self._image, self.axes)
        size = layout.height, layout.width
        return speed.seconds(self.upscaler, self._image, size, self.target, region, self.passes)

    def _chunk(self, speed: Speed) -> int:
        """Return the largest edge of a chunk that is made soon enough."""
        (height, width), edge = self.target, LARGEST_CHUNK
        while edge > LEAST_CHUNK:
            if self._plane_seconds(speed, Region(0, 0, min(edge, height), min(edge, width))) <= CHUNK_SECONDS:
                break
            edge //= 2
        return edge

    def _whole(self, key: Hashable, out: Any, progress: Progress | None, cancel: Cancel | None) -> tuple[Any, Survey]:
        image, levels = CancellableArray(self._image, cancel), self._levels(False, cancel)
        request = self.upscaler.request(image, **self._options(levels))
        stack = self.upscaler.stack(request, levels)
        stack.check(image, cancel=cancel)
        out = make_output(image, stack.shape, out)
        planes = stack.run(image, out, progress, cancel)
        return out, self._kept(key, self.upscaler.surveyed(image, request, levels, planes))

    def _survey(self, key: Hashable, progress: Progress | None, cancel: Cancel | None) -> Survey:
        if not self.sampled and (exact := recent.get(key)):
            return exact  # type: ignore[no-any-return]
        sampled = self.sampled or (self.soon is not None and self._seconds(self.soon) > SOON)

        def make() -> Survey:
            image, options = CancellableArray(self._image, cancel), self._options(self._levels(sampled, cancel))
            pixels = SAMPLED_PIXELS if sampled else None
            return self.upscaler.survey(image, **options, pixels=pixels, progress=progress, cancel=cancel)

        return recent.get((key, "sampled"), make) if sampled else self._kept(key, make())

    def _kept(self, key: Hashable, exact: Survey) -> Survey:
        recent.keep(self._hint, True)
        return recent.keep(key, exact)  # type: ignore[no-any-return]

    def _levels(self, sampled: bool, cancel: Cancel | None) -> list[Levels]:
        """Return the levels of the whole image, for the channels of the planes."""
        whole = self._coarse if sampled else self.pyramid[0]

        def measure() -> list[Levels]:
            image = CancellableArray(whole, cancel)
            return Upscaler.levels(image, axes=self.axes, intensity=self.intensity, nan="keep", cancel=cancel)

        if isinstance(self.intensity, str):
            found = identity(whole, layout_of(whole, self.axes)), self._digest(whole, whole)
            levels: list[Levels] = recent.get(("levels", found, self.axes, self.intensity), measure)
        else:  # nothing has to be read
            levels = measure()
        return levels[self.planes[self.axes.index("C")]] if "C" in self.axes else levels

    @property
    def _coarse(self) -> Any:
        """The smallest resolution that tells how bright the image is: not all of a large one can be read soon."""
        layouts = [(level, layout_of(level, self.axes)) for level in reversed(self.pyramid)]
        return next((level for level, it in layouts if it.height * it.width >= ENOUGH_PIXELS), self.pyramid[0])

    def _options(self, levels: list[Levels]) -> dict[str, Any]:
        options = {"axes": self.axes, "size": self.target, "intensity": levels, "consistency": self.consistency}
        options |= {"strength": self.strength, "passes": self.passes}
        return options | {"nan": "keep"}  # pixels without a value are common where images were registered or masked

    @property
    def _image(self) -> Any:
        return self.pyramid[0][self.planes]

    @property
    def _dtype(self) -> np.dtype:
        dtype: np.dtype = np.dtype(self.pyramid[0].dtype)
        return dtype

    @property
    def _key(self) -> Hashable:
        whole, layout = self.pyramid[0], layout_of(self.pyramid[0], self.axes)
        # Of a lazy image only what is worked on may be read.
        return self._asked, identity(whole, layout), self._digest(whole, self._image)

    def _digest(self, whole: Any, part: Any) -> str:
        """Return what tells a part of a lazy image from what was in the same file before; of others, all is looked at."""
        return "" if in_memory(whole) else image_digest(CancellableArray(part, None), layout_of(part, self.axes))

    @property
    def _hint(self) -> Hashable:
        """Nearly as good as the key, and told without a look at the image."""
        return self._asked, getattr(self.pyramid[0], "name", id(self.pyramid[0])), "hint"

    @property
    def _asked(self) -> Hashable:
        upscaler = self.upscaler
        made_by = upscaler.model.sha256, str(upscaler.device), upscaler.precision
        return made_by, str(self.planes), self.target, self.intensity, self.consistency, self.passes


def in_memory(image: Any) -> bool:
    """Tell whether all of an image is at hand."""
    return isinstance(image, np.ndarray) and not isinstance(image, np.memmap)


def identity(image: Any, layout: Layout) -> Hashable:
    """Tell an image from others: by a hash of all values where they are in memory, else by what dask tells it by.

    In memory it differs after a change, too; of a file, when that was written since. Two channels of one file in memory
    maps have its name and its offset in common, and only dask looks at where they begin.
    """
    if not in_memory(image):
        from dask.base import tokenize

        return str(tokenize(image))
    found = 0
    for index in layout.planes():
        plane = layout.plane(image, index)
        step = max(BAND_VALUES // max(plane[:1].size, 1), 1)
        for top in range(0, len(plane), step):
            found = zlib.crc32(np.ascontiguousarray(plane[top : top + step]).data, found)
    return layout.shape, layout.axes, np.dtype(image.dtype).str, found


def survey_record(survey: Survey) -> dict[str, Any]:
    """Return what the record of a result says of its survey; a difference is in units of the image."""
    record: dict[str, Any] = {"method": survey.method, "digest": survey.digest}
    if survey.sampling:
        record |= {"samples": survey.sampling.samples, "pixels": survey.sampling.pixels}
        record["difference"] = survey.difference
    return record


def survey_text(record: dict[str, Any]) -> str:
    """Return for people what a `survey_record` says; nothing of an exact one."""
    if record["method"] == "exact":
        return ""
    return f"from {record['samples']} samples: differs from the exact result by about {record['difference']:.2g}"
