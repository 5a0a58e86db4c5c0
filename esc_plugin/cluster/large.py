"""One image of any size and the OME-Zarr store that its result goes to.

A survey that was made is kept in the store until that is finished, so that nobody has to make it twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arrays.layout import Layout, layout_of
from ..batch.mask import Mask
from ..batch.record import record_of_result
from ..errors import ImageError
from ..files import Picture
from ..files.ome_axes import LETTERS, Axes
from ..files.ome_notes import Channel, one_for_each
from ..files.write import left_out
from ..files.zarr_claim import OURS
from ..files.zarr_format import ZARR
from ..files.zarr_store import ShardedImage
from ..progress import Cancel, Progress
from ..survey import Request, Survey, plain
from ..upscaler import Upscaler
from ..version import __version__

#: Where the survey stands while a store is being filled.
SURVEY = f"{OURS}/survey.json"
#: Stands for the digest of the survey where that is found in the same pass as the picture.
TOGETHER = "exact"
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
    mask : Mask, optional
        Where the network counts.
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
    mask: Mask | None = None
    record: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Check all that can be checked without looking at pixels."""
        layout = layout_of(self.picture.pixels, self.options.pop("axes", None) or self.picture.axes)
        self.options["axes"] = layout.axes
        self.request: Request = self.upscaler.request(self.picture.pixels, **self.options)
        self.upscaler.mask(self.where, self.request)
        if not layout.axes.removesuffix("S").endswith("YX"):
            raise ImageError(f"OME-Zarr needs Y and X last; the image's axes are {layout.axes!r}.")
        self.layout = layout

    @property
    def where(self) -> np.ndarray | None:
        """The values of the mask."""
        return self.mask.values if self.mask else None

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
            survey = self._kept(text) if text else None
        if survey:
            self.upscaler.check(survey, self.request, self.picture.pixels)
            return replace(survey, request=self.request)
        return None

    def _kept(self, text: bytes) -> Survey:
        """Return the survey that stands in the store."""
        try:
            return Survey.from_json(text.decode())
        except (ImageError, UnicodeDecodeError) as error:
            raise ImageError(
                f"can't go on with {self.target!r}, whose survey is damaged ({str(error).rstrip('.')}); give it with "
                "--survey, or begin anew with --overwrite."
            ) from None

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
        job = {"model": self.upscaler.recipe, "software": __version__, "request": _without_bits(self.request)}
        job |= {"mask": self.mask.digest} if self.mask else {}
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
        self._note(survey)
        name = self.picture.ome.name if self.picture.ome else self.name
        store.finish(name, channels=self._channels(survey), record=self.record, **options)

    def was_finished(self, store: ShardedImage, survey: Survey) -> bool:
        """Whether another process that does the same was quicker."""
        self._note(survey)
        return store.was_finished(self.record)

    def _note(self, survey: Survey) -> None:
        """Write down how the result is made."""
        levels = survey.levels_of(self.picture.pixels.dtype)
        facts = {key: value for key, value in self.options.items() if key not in ("size", "scale", "intensity")}
        facts |= self.upscaler.steps(self.request)
        facts |= {"mask": self.mask.path.name} if self.mask else {}
        size, pixels = self.request.target, self.picture.pixels
        self.record = record_of_result(self.upscaler, pixels, size, levels, facts, self.name, survey)
        text = survey.to_json()
        self.record |= {"survey_method": survey.method}
        self.record["survey"] = json.loads(text) if len(text) <= LONGEST_TEXT else survey.digest

    @property
    def notes(self) -> list[str]:
        """What the image carries that the result doesn't."""
        return self.picture.notes + left_out(self.picture, ZARR)

    def _channels(self, survey: Survey) -> Sequence[Channel]:
        """Return how the channels are shown: as in the image, with levels where it has no limits."""
        ome, levels = self.picture.ome, survey.levels
        are_colours = self.layout.samples >= 3
        count = self.layout.samples if are_colours else self.layout.channels
        known = one_for_each(ome.channels, count) if ome else ()
        if are_colours and not known:
            return [Channel(limits=levels[0])]
        pairs = levels if len(levels) == count else levels[:1] * count
        return [replace(channel, limits=channel.limits or pair) for channel, pair in zip(known, pairs, strict=False)]


def known_letters(axes: str) -> str:
    """Return letters of OME-Zarr for axes of any names: t, c and z stay, others take what is left."""
    letters = axes.lower()
    free = iter(letter for letter in "ztc" if letter not in letters)
    try:
        return "".join(letter if letter in LETTERS else next(free) for letter in letters)
    except StopIteration:
        raise ImageError(f"OME-Zarr has the axes {LETTERS}; the image has {axes!r}, which are too many.") from None


def _without_bits(request: Request) -> dict[str, Any]:
    return {name: value for name, value in plain(request).items() if name != "bits"}
