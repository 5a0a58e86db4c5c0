"""One image of any size into an OME-Zarr store: survey, rendering and the end, each of which can be gone on with.

A survey that was made is kept in the store until that is finished, so that nobody has to make it twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from ..arrays.layout import Layout, layout_of
from ..batch.record import record_of_result
from ..errors import EscError, ImageError, needs
from ..files import Picture
from ..files.ngff import Shown
from ..files.ome_axes import LETTERS, Axes
from ..files.ome_notes import Channel
from ..files.write import left_out
from ..files.zarr_format import ZARR
from ..files.zarr_store import OURS, ShardedImage
from ..progress import Cancel, Progress, share_of
from ..survey import Request, Survey
from ..upscaler import Upscaler
from ..version import __version__
from .crew import crew
from .exact import Group, run_exact
from .render import Summary, built_by, render

#: Where the survey stands while a store is being filled.
SURVEY = f"{OURS}/survey.json"
#: And what several processes have found so far.
JOURNAL = f"{OURS}/journal"
#: Stands for the digest of the survey where that is found in the same pass as the picture.
TOGETHER = "exact"
#: Of a pixel, which are channels in OME-Zarr.
SAMPLES = (("red", (1.0, 0.0, 0.0)), ("green", (0.0, 1.0, 0.0)), ("blue", (0.0, 0.0, 1.0)), ("alpha", (1.0, 1.0, 1.0)))
#: A longer survey isn't written into the metadata of the result, which every viewer reads.
LONGEST_TEXT = 2**20


@dataclass
class Large:
    """An image and the store that its result goes to.

    Attributes
    ----------
    upscaler : Upscaler
        What upscales.
    picture : Picture
        The image; its pixels are read by index.
    target : str
        Path or URL of the store.
    options : dict
        Of the call: size, intensity, nan, alpha, ...
    name : str
        Of the image's file.
    version : str
        Of OME-Zarr.
    overwrite : bool
        Whether what is there is replaced, if it is an image or was begun by this program.
    record : dict
        How the result was made, once it is finished.
    """

    upscaler: Upscaler
    picture: Picture
    target: str
    options: dict[str, Any] = field(default_factory=dict)
    name: str = "image"
    version: str = "0.5"
    overwrite: bool = False
    record: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Check all that can be checked without looking at pixels."""
        layout = layout_of(self.picture.pixels, self.options.pop("axes", None) or self.picture.axes)
        self.options["axes"] = layout.axes
        self.request: Request = self.upscaler.request(self.picture.pixels, **self.options)
        if not layout.axes.removesuffix("S").endswith("YX"):
            raise ImageError(f"OME-Zarr needs Y and X last; the image's axes are {layout.axes!r}.")
        self.layout = layout

    @property
    def result(self) -> Layout:
        """The axes of the result."""
        return Layout(self.layout.resized(*self.request.target), self.layout.axes)

    def known(self, survey: Survey | None = None) -> Survey | None:
        """Return the survey to use if there is one: the one given, else the one in the store."""
        if survey is None:
            store = self._create(only_check=True)  # before a survey is made, which may take hours
            text = None if self.overwrite else store.objects.read(SURVEY)
            if text is None and store.job.get("survey") == TOGETHER:
                raise ImageError(f"{self.target!r} was begun by processes that were started together; go on with that.")
            survey = Survey.from_json(text.decode()) if text else None
        if survey:
            self.upscaler.check(survey, self.request, self.picture.pixels)
        return survey

    def surveyed(self, sampled: int | None, progress: Progress | None, cancel: Cancel | None) -> Survey:
        """Make the survey."""
        found: Survey = self.upscaler.survey(
            self.picture.pixels, pixels=sampled, progress=progress, cancel=cancel, **self.options
        )
        return found

    def store(self, survey: Survey | None) -> ShardedImage:
        """Begin the result, or go on with what the same work has begun; by an exact pass, the survey comes later."""
        store = self._create(survey=survey.digest if survey else TOGETHER)
        if survey and not store.objects.exists(SURVEY):
            store.objects.write(SURVEY, survey.to_json().encode())
        return store

    def _create(self, only_check: bool = False, **known: str) -> ShardedImage:
        job = {"model": self.upscaler.model.sha256, "software": __version__, "request": _plain(self.request)}
        return ShardedImage.create(
            self.target,
            self.result.shape,
            self.request.dtype,
            self._axes,
            job=job | known,
            rgb="S" in self.layout.axes,
            version=self.version,
            overwrite=self.overwrite,
            only_check=only_check,
        )

    @property
    def _axes(self) -> Axes:
        """The axes of the result: letters that OME-Zarr knows, and pixels that are smaller than those of the image."""
        (height, width), target = (self.layout.height, self.layout.width), self.request.target
        letters = known_letters(self.layout.axes.removesuffix("S"))
        if self.picture.ome and len(self.picture.ome.axes.letters) == len(letters):
            axes = self.picture.ome.axes
        else:
            axes = Axes(letters, (1.0,) * len(letters), (0.0,) * len(letters), ("pixel",) * len(letters))
        return axes.enlarged(target[0] / height, target[1] / width)

    def finish(self, store: ShardedImage, survey: Survey, **options: Any) -> None:
        """Make an image of what the store holds."""
        levels = survey.levels_of(self.picture.pixels.dtype)
        facts = {key: value for key, value in self.options.items() if key not in ("size", "scale", "intensity")}
        size, pixels = self.request.target, self.picture.pixels
        self.record = record_of_result(self.upscaler, pixels, size, levels, facts, self.name, survey)
        text = survey.to_json()
        self.record |= {"survey_method": survey.method}
        self.record["survey"] = json.loads(text) if len(text) <= LONGEST_TEXT else survey.digest
        name = self.picture.ome.name if self.picture.ome else self.name
        store.finish(name, look=self._look(survey), record=self.record, **options)

    @property
    def notes(self) -> list[str]:
        """What the image carries that the result doesn't."""
        return self.picture.notes + left_out(self.picture, ZARR)

    def _look(self, survey: Survey) -> Shown | None:
        """Return how the channels are shown: as in the image; colours that are channels now, as what they are."""
        ome = self.picture.ome
        if ome and ome.channels and all(channel.limits and channel.color for channel in ome.channels):
            return [channel.omero() for channel in ome.channels]
        if self.layout.samples >= 3:
            shown = SAMPLES[: self.layout.samples]
            return [Channel(name, colour, survey.levels[0], active=name != "alpha").omero() for name, colour in shown]
        return ome.look if ome else None


def upscale_large(
    large: Large,
    survey: Survey | None = None,
    *,
    sampled: int | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    part: tuple[int, int] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Summary:
    """Survey an image, render what its store lacks, and finish it; with `part`, only a part of the rendering.

    Parameters
    ----------
    survey : Survey, optional
        What is known of the image. Else it is what the store has of an earlier call, or made now.
    sampled : int, optional
        Make it of so many pixels of each plane.
    workers, scheduler, part, progress, cancel
        See `render`.

    Raises
    ------
    EscError
        If it can't be done. What is finished stays, and the same call goes on with it.
    """
    known = large.known(survey)
    if known is None and part:
        raise EscError("parts of one image need its survey; make it with esc-sr survey, and give it with --survey to each.")
    if known is None:
        check_crew(workers, scheduler)
    elif not (survey or part):
        _check_method(large.target, known, sampled)
    told = None if known else share_of(progress, 0, 0.5)
    known = known or large.surveyed(sampled, told, cancel)
    store = large.store(known)
    finish = None if part else partial(large.finish, store, known)
    return render(
        large.upscaler,
        large.picture.pixels,
        known,
        store,
        workers=workers,
        scheduler=scheduler,
        part=part,
        finish=finish,
        progress=share_of(progress, 0.5, 1) if told else progress,
        cancel=cancel,
    )


def check_crew(workers: int, scheduler: str | None) -> None:
    """Raise an `EscError` unless there can be such a crew: it is needed only after the survey, which may take hours."""
    if workers > 1:
        needs("cluster")
    with crew(scheduler=scheduler):
        pass


def _check_method(target: str, known: Survey, sampled: int | None) -> None:
    """Raise an `ImageError` if the result was begun with a survey of another kind than what is asked for now."""
    asked = "exact" if sampled is None else "sampled"
    if known.method != asked:
        raise ImageError(
            f"{target!r} was begun with a survey that is {known.method}, not {asked} (--sampled); go on with that, "
            "choose another name, or replace it with --overwrite."
        )


def finish_large(
    large: Large,
    survey: Survey | None = None,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Finish what parts have rendered: the pyramid is left to make, by whom says `render`.

    Raises
    ------
    ImageError
        If blocks are missing; the text says how many.
    """
    if (known := large.known(survey)) is None:
        raise ImageError(f"nothing has been begun at {large.target!r}.")
    store = large.store(known)
    with crew(workers, scheduler, cancel) as hands:
        large.finish(store, known, each=built_by(hands), progress=progress, cancel=cancel)


def upscale_together(large: Large, group: Group, progress: Progress | None = None, cancel: Cancel | None = None) -> Summary:
    """Upscale an image exactly with the other processes of a group, each its band, in the same pass as the survey.

    Raises
    ------
    EscError
        In all processes, if any can't go on. The same call goes on with what has been found.
    """
    if large.request.shared:
        raise EscError("means that planes share are known only after all of them; make the survey first, and give --survey.")
    with group.together():
        if group.rank == 0:
            large.store(None)
        group.gather("the store is there")
        large.overwrite = False
        store = large.store(None)
    shard, objects = store.grid.shard, store.objects
    journal = objects.local / JOURNAL if objects.local else None
    done = count()

    def write(index: Any, region: Any, values: Any) -> None:
        for block in _blocks(store, index, region):
            (top, bottom), (left, right) = block.region
            store.write(block, values[top - region.top : bottom - region.top, left - region.left : right - region.left])
            next(done)

    def finished(index: Any, region: Any) -> bool:
        return all(map(store.done, _blocks(store, index, region)))

    survey = run_exact(
        large.upscaler,
        large.picture.pixels,
        large.request,
        group,
        write=write,
        finished=finished,
        rows=shard,
        journal=journal,
        progress=progress,
        cancel=cancel,
    )
    with group.together():
        group.gather("all blocks are there")
        if group.rank == 0:
            large.finish(store, survey)
    blocks, made = len(store.blocks()), sum(map(int, group.gather(str(next(done)))))
    return Summary(made, blocks - made, (), 0, True)


def _blocks(store: ShardedImage, index: Any, region: Any) -> Iterator[Any]:
    """Yield the blocks of a plane that begin in a band."""
    plane = tuple(i for i in index if not isinstance(i, slice))
    for block in store.blocks():
        if block.plane == plane and region.top <= block.region[0][0] < region.bottom:
            yield block


def known_letters(axes: str) -> str:
    """Return letters of OME-Zarr for axes of any names: t, c and z stay, others take what is left."""
    letters = axes.lower()
    free = iter(letter for letter in "ztc" if letter not in letters)
    try:
        return "".join(letter if letter in LETTERS else next(free) for letter in letters)
    except StopIteration:
        raise ImageError(f"OME-Zarr has the axes {LETTERS}; the image has {axes!r}, which are too many.") from None


def _plain(request: Request) -> dict[str, Any]:
    return {name: value for name, value in vars(request).items() if name != "bits"}
