"""Several images that become the channels of one, if they fit together."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..provenance import joined
from .ngff import DEFAULT_VERSION
from .ome_axes import Axes
from .ome_image import save_image
from .ome_notes import Channel, one_for_each

#: What the name of a file ends with, besides the name of the image.
SUFFIX = re.compile(r"(\.ome)?\.(zarr|tiff?)$", re.IGNORECASE)


@dataclass(frozen=True)
class Layer:
    """An image as viewers hold it.

    Attributes
    ----------
    pixels : array
        (..., Y, X), or (..., Y, X, S) if `rgb`; may be lazy.
    axes : Axes
        Of the pixels, without S.
    channel : Channel
        How it is called and shown.
    rgb : bool
        Whether the last axis holds the samples of a pixel.
    record : dict, optional
        How it was made, see `esc_plugin.provenance`.
    """

    pixels: Any
    axes: Axes
    channel: Channel
    rgb: bool = False
    record: dict[str, Any] | None = None

    @property
    def count(self) -> int:
        """How many channels it has."""
        return int(self.pixels.shape[self.axes.letters.index("c")]) if "c" in self.axes.letters else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the pixels of a channel, without S."""
        return tuple(n for n, letter in zip(self.pixels.shape, self.axes.letters, strict=False) if letter != "c")


@dataclass(frozen=True)
class Joined:
    """Layers as the channels of one image.

    Attributes
    ----------
    pixels : array
        Of all channels; has a shape and a dtype, and is read by the index of a plane.
    axes : Axes
        Of the pixels, without S.
    rgb : bool
        Whether the last axis holds the samples of a pixel; then there is one layer.
    channels : tuple of Channel
        All of them.
    parts : list of int or slice
        Which channels each layer has become, see `NewImage.channel`.
    """

    pixels: Any
    axes: Axes
    rgb: bool
    channels: tuple[Channel, ...]
    parts: list[int | slice]

    def record(self, records: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
        """Return the record of the image from those of its layers; ``None`` for one that this program didn't make."""
        if len(records) == 1:
            return records[0]
        counts = [part.stop - part.start if isinstance(part, slice) else 1 for part in self.parts]
        each = [_of_channel(it, i, n) for it, n in zip(records, counts, strict=True) for i in range(n)]
        return joined(each, [channel.name for channel in self.channels])


def save_layers(path: Path, layers: Sequence[Layer], version: str = DEFAULT_VERSION) -> None:
    """Save layers as the channels of one OME-TIFF or OME-Zarr, see `save_image`.

    Raises
    ------
    ImageError
        If they don't fit together, see `join`, or as `save_image`.
    """
    whole = join(layers)
    name = layers[0].channel.name if len(layers) == 1 else SUFFIX.sub("", path.name)
    record = whole.record([layer.record for layer in layers])
    about: dict[str, Any] = {"rgb": whole.rgb, "channels": whole.channels, "record": record, "version": version}
    save_image(path, whole.pixels, whole.axes, name=name or "image", **about)


def join(layers: Sequence[Layer]) -> Joined:
    """Return layers as the channels of one image: those that have channels already add all of theirs.

    Parameters
    ----------
    layers : sequence of Layer
        One or more. Their pixels are not looked at; shape and dtype will do.

    Raises
    ------
    ImageError
        If there is none, or one can't be a channel beside the first: it has colours, or another size, type or place.
    """
    if not layers:
        raise ImageError("there is no image to save.")
    first, *others = layers
    for layer in others:
        _check_fit(first, layer)
    if not others:
        return Joined(first.pixels, first.axes, first.rgb, (first.channel,), [slice(0, first.count)])
    axes = first.axes.without_channel()
    place = axes.letters.find("t") + 1
    channels = [one for layer in layers for one in one_for_each([layer.channel], layer.count)]
    starts = np.cumsum([0, *(layer.count for layer in layers)]).tolist()
    parts: list[int | slice] = [
        slice(start, start + layer.count) if "c" in layer.axes.letters else start
        for start, layer in zip(starts, layers, strict=False)
    ]
    return Joined(_Stacked(layers, place), axes.with_channel(place), False, tuple(channels), parts)


class _Stacked:
    """The pixels of layers along an axis of channels, by the index of a plane."""

    def __init__(self, layers: Sequence[Layer], place: int) -> None:
        self._place = place
        self._channels = [(layer, i) for layer in layers for i in range(layer.count)]
        shape = layers[0].shape
        self.shape = (*shape[:place], len(self._channels), *shape[place:])
        self.dtype, self.ndim = np.dtype(layers[0].pixels.dtype), len(self.shape)

    def __getitem__(self, index: tuple[int, ...]) -> np.ndarray:
        layer, own = self._channels[index[self._place]]
        rest = [*index[: self._place], *index[self._place + 1 :]]
        if (axis := layer.axes.letters.find("c")) >= 0:
            rest.insert(axis, own)
        return np.asarray(layer.pixels[tuple(rest)])


#: What channels of one image share: in words, and of a layer.
SHARED: dict[str, Callable[[Layer], Any]] = {
    "axes": lambda layer: layer.axes.without_channel().letters,
    "shape": lambda layer: layer.shape,
    "type": lambda layer: np.dtype(layer.pixels.dtype).name,
    "units": lambda layer: layer.axes.without_channel().units,
    "pixel size": lambda layer: layer.axes.without_channel().scale,
    "position": lambda layer: layer.axes.without_channel().translate,
}


def _check_fit(first: Layer, layer: Layer) -> None:
    name, other = layer.channel.name, first.channel.name
    for one in (first, layer):
        if one.rgb:
            raise ImageError(
                f"{one.channel.name!r} has colours (RGB), so it can't be one of several channels; save it alone."
            )
    for word, fact in SHARED.items():
        found, wanted = fact(layer), fact(first)
        if not _same(found, wanted):
            raise ImageError(
                f"{name!r} can't be a channel beside {other!r}: its {word} is {found}, not {wanted}; save it by itself."
            )


def _same(found: Any, wanted: Any) -> bool:
    """Whether two facts are equal, numbers but for rounding."""
    if isinstance(found, tuple) and all(isinstance(value, float) for value in found):
        return all(isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in zip(found, wanted, strict=True))
    return bool(found == wanted)


def _of_channel(record: dict[str, Any] | None, index: int, count: int) -> dict[str, Any] | None:
    """Return the record of one channel of a layer that has several: with its own levels."""
    levels = (record or {}).get("levels")
    if record is None or count == 1 or not isinstance(levels, list) or len(levels) != count:
        return record
    return record | {"levels": levels[index : index + 1]}
