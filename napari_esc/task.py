"""One task, from a region of a layer to the pixels of a new one. It knows arrays and files; no viewer and no Qt."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from esc_plugin import ImageError, __version__
from esc_plugin.arrays.pyramid import with_levels
from esc_plugin.device import free_host_bytes
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_zarr import new_image
from esc_plugin.progress import Cancel, Progress, stop_if_asked

from .geometry import Grid, Region, central_part, finest, lengths
from .layers import copied, factor_text
from .writer import look_of

if TYPE_CHECKING:
    from napari.layers import Image

    from esc_plugin.arrays.levels import Levels

    from .engines import Engine


#: Labels of an axis whose entries have levels of their own.
CHANNEL = ("c", "channel", "channels")
#: What was measured last of a lazy layer.
_measured: dict[Any, list[Levels]] = {}
#: A plane of a result on disk that takes more than this share of the free memory is built in a file.
SHARE_OF_MEMORY = 0.4


@dataclass(frozen=True)
class Settings:
    """What a user chose.

    Attributes
    ----------
    model : str
        See `esc_plugin.load_model`.
    factor : tuple of float
        New pixels per pixel, down and across.
    intensity : str or tuple of float
        See `esc_plugin.Upscaler`.
    consistency, difference : bool
        Whether to keep local averages, and whether to make a layer of what differs.
    device : str
        See `esc_plugin.Upscaler`.
    memory_limit : int, optional
        In bytes.
    store : Path, optional
        Where to write an OME-Zarr image; by default the result stays in memory.
    """

    model: str
    factor: tuple[float, float]
    intensity: str | tuple[float, float] = "auto"
    consistency: bool = False
    difference: bool = False
    device: str = "auto"
    memory_limit: int | None = None
    store: Path | None = None


@dataclass
class Result:
    """What a task made.

    Attributes
    ----------
    data : array or list of array
        In the axes of the source; a list holds the levels of a pyramid.
    metadata : dict
        The source's, and under ``"esc"`` how the result came about.
    difference : array, optional
        Input minus averaged result, (..., Y, X) float32.
    agreement : tuple of float, optional
        Bias, RMS and mean of the input, in its units; over all channels.
    seconds : float
        How long it took.
    """

    data: Any
    metadata: dict[str, Any]
    difference: np.ndarray | None = None
    agreement: tuple[float, float, float] | None = None
    seconds: float = 0.0


@dataclass
class Task:
    """A region of a layer and what to do with it. All of the layer that is needed is taken when the task is made.

    Attributes
    ----------
    image, whole : array
        The region, and the layer's finest level, whose levels of intensity count for all of its regions; lazy where the
        layer is: (..., Y, X[, S]).
    region : tuple of slice
        Of the layer's finest level.
    rgb : bool
        Whether the last axis holds samples.
    settings : Settings
        What to do.
    source : hashable
        Tells the source from all other layers.
    name : str
        Of the source.
    state, limits, metadata
        Of the source, see `napari_esc.layers.result_layer`.
    grid : Grid
        Of the source.
    """

    image: Any
    whole: Any
    region: Region
    rgb: bool
    settings: Settings
    source: Any
    name: str
    state: dict[str, Any]
    limits: Any
    metadata: dict[str, Any]
    grid: Grid

    @classmethod
    def of(cls, layer: Image, region: Region, settings: Settings) -> Task:
        """Take from a layer what the task needs."""
        whole = lazy(finest(layer))
        return cls(
            image=whole[region],
            whole=whole,
            region=region,
            rgb=bool(layer.rgb),
            settings=settings,
            source=layer.unique_id,
            name=layer.name,
            state=copied(layer),
            limits=None if layer.rgb else list(layer.contrast_limits_range),
            metadata=dict(layer.metadata),
            grid=Grid.of(layer),
        )

    def central(self, pixels: int) -> Task:
        """Return the task for the middle of the region, with at most about `pixels` pixels in a plane."""
        region = central_part(self.region, pixels)
        inside = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(region, self.region, strict=True))
        return replace(self, region=region, image=self.image[inside])

    def for_preview(self) -> Task:
        """Return the task without what only a result deserves: a file, and a difference layer."""
        return replace(self, settings=replace(self.settings, store=None, difference=False))

    @property
    def job(self) -> tuple[Any, Region, Settings]:
        """Equal for tasks that would make the same."""
        return self.source, self.region, self.settings

    @property
    def letters(self) -> str:
        """The axes in the core's words: C where a label says channel, any letters for what else counts planes."""
        labels = [str(label).lower() for label in self.state.get("axis_labels") or ()][: len(self.region) - 2]
        channel = next((i for i, label in enumerate(labels) if label in CHANNEL), None)
        others = iter("ABDEFGHIJKLMNOPQ")
        letters = ["C" if i == channel else next(others) for i in range(len(self.region) - 2)]
        return "".join(letters) + "YX" + "S" * self.rgb

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return (*target_shape(self.region, self.settings.factor), *self.image.shape[len(self.region) :])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a plane of the input."""
        return self.image.shape[len(self.region) - 2], self.image.shape[len(self.region) - 1]

    @property
    def target(self) -> tuple[int, int]:
        """Height and width of a plane of the result."""
        return self.shape[len(self.region) - 2], self.shape[len(self.region) - 1]

    @property
    def planes(self) -> int:
        """How many planes there are."""
        return int(np.prod(self.shape[: len(self.region) - 2]))

    @property
    def nbytes(self) -> int:
        """Size of the result."""
        return int(np.prod(self.shape)) * np.dtype(self.image.dtype).itemsize

    @property
    def place(self) -> dict[str, list[float]]:
        """Scale and translate of the result."""
        return self.grid.placement(self.region, self.shape[: len(self.region)])

    @property
    def place_of_region(self) -> dict[str, list[float]]:
        """Scale and translate of the region itself, for what has the pixels of the input."""
        return self.grid.placement(self.region, lengths(self.region))

    @property
    def title(self) -> str:
        """Name of the layer to come."""
        return f"{self.name} [{factor_text(self.size, self.target)}]"

    def run(self, engine: Engine, progress: Progress | None = None, cancel: Cancel | None = None) -> Result:
        """Do it.

        Raises
        ------
        Cancelled
            If `cancel` returned ``True``; nothing is left behind.
        EscError
            If it can't be done; nothing is left behind.
        """
        start = time.perf_counter()
        image, levels = Watched(self.image, cancel), self._levels(cancel)
        upscale = partial(self._upscale, image, levels, engine, progress=progress, cancel=cancel)
        result = Result(None, {})
        if self.settings.store:
            record = partial(self._provenance, engine, levels)
            result.data = self._run_to_disk(image, upscale, record, result, cancel)
        else:
            pixels = upscale(None)
            self._compare(image, pixels, result)
            result.data = with_levels(pixels, self.rgb, cancel)
        result.metadata = self.metadata | {"esc": self._provenance(engine, levels)}
        result.seconds = time.perf_counter() - start
        engine.learn(self.image, engine.work(self.size, self.target) * self.planes, result.seconds)
        return result

    def _levels(self, cancel: Cancel | None) -> list[Levels]:
        """Return the levels of the whole layer, for the channels that are in the region."""
        from esc_plugin import Upscaler

        letters, wanted = self.letters, self.settings.intensity
        # An array in memory has no name, can be changed in place, and is measured in no time.
        key = self.source, getattr(self.whole, "name", None), letters, wanted
        if key[1] is None or key not in _measured:
            _measured.clear()
            whole = Watched(self.whole, cancel)
            _measured[key] = Upscaler.levels(whole, axes=letters, intensity=wanted, nan="keep", cancel=cancel)
        levels = _measured[key]
        return levels[self.region[letters.index("C")]] if "C" in letters else levels

    def _upscale(
        self,
        image: Watched,
        levels: list[Levels],
        engine: Engine,
        out: Any,
        *,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> Any:
        return engine.upscaler(
            image,
            axes=self.letters,
            size=self.target,
            intensity=levels,
            # Pixels without a value are common where images were registered or masked.
            nan="keep",
            consistency=self.settings.consistency,
            out=out,
            progress=progress,
            cancel=cancel,
        )

    def _run_to_disk(
        self,
        image: Watched,
        upscale: Callable[[Any], Any],
        record: Callable[[], dict[str, Any]],
        result: Result,
        cancel: Cancel | None,
    ) -> Any:
        assert self.settings.store is not None
        axes = Axes.of(self.state | self.place, len(self.region))
        with new_image(self.settings.store, self.shape, self.image.dtype, axes, self.rgb) as stored:
            pixels = stored.planes_in_files() if self._large_planes() else stored
            upscale(pixels)
            # Before the file gets its name: whoever cancels now finds none.
            self._compare(image, pixels, result)
            stored.finish(self.title, look=look_of(self.state), record=record(), cancel=cancel)
        levels = stored.lazy()
        return levels if len(levels) > 1 else levels[0]

    def _large_planes(self) -> bool:
        return self.nbytes / self.planes > SHARE_OF_MEMORY * free_host_bytes()

    def _compare(self, image: Watched, pixels: Any, result: Result) -> None:
        """If wanted, fill in input minus averaged result, its bias and RMS, and the mean of the input."""
        if not self.settings.difference:
            return
        from esc_plugin.arrays.consistency import average, check_agreement

        leading = self.shape[: len(self.region) - 2]
        result.difference = np.empty((*leading, *self.size), np.float32)
        for index in np.ndindex(*leading):
            plane = np.asarray(image[index], np.float64)
            differs = plane - average(np.asarray(pixels[index]), self.size)
            # Colours as gray, without transparency.
            result.difference[index] = differs[..., :3].mean(-1) if self.rgb else differs
        found = check_agreement(image, pixels, self.letters)
        bias, mean = (float(np.mean([getattr(a, name) for a in found])) for name in ("bias", "mean"))
        result.agreement = bias, float(np.mean([a.rms**2 for a in found])) ** 0.5, mean

    def _provenance(self, engine: Engine, levels: list[Levels]) -> dict[str, Any]:
        model, chosen = engine.upscaler.model, self.settings
        return {
            "software": f"esc-plugin {__version__}",
            "model": model.name,
            "model_source": model.source,
            "model_sha256": model.sha256,
            "source_layer": self.name,
            "source_region": [[part.start, part.stop] for part in self.region],
            "factor": [new / old for new, old in zip(self.target, self.size, strict=True)],
            "levels": [list(pair.pair) for pair in levels],
            "consistency": chosen.consistency,
            "device": str(engine.upscaler.device),
            "precision": engine.upscaler.precision_for(self.image),
        }


class Watched:
    """An array that raises `Cancelled` when it is read after someone said stop: reading a lazy stack can take long, too."""

    def __init__(self, array: Any, cancel: Cancel | None) -> None:
        self.array, self.cancel = array, cancel
        self.shape, self.dtype, self.ndim = tuple(array.shape), np.dtype(array.dtype), array.ndim

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return the values, computed if the array is lazy."""
        stop_if_asked(self.cancel)
        try:
            return np.asarray(self.array[index])
        except OSError as error:
            raise ImageError(f"can't read the layer: {error}.") from None


def target_shape(region: Region, factor: tuple[float, float]) -> tuple[int, ...]:
    """Return the shape of an upscaled region, without samples.

    Raises
    ------
    ImageError
        If a factor isn't above 0.
    """
    if min(factor) <= 0:
        raise ImageError(f"the factor must be above 0, not {min(factor)!r}.")
    before = lengths(region)
    return (*before[:-2], *(max(round(n * f), 1) for n, f in zip(before[-2:], factor, strict=True)))


def lazy(data: Any) -> Any:
    """Return an array whose parts can be named without being loaded: NumPy and dask as they are, others through dask."""
    import dask.array as da

    return data if isinstance(data, np.ndarray | da.Array) else da.from_array(data, inline_array=True)
