"""Facts of a layer: its pixels, units and axes, and what its result keeps of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esc_plugin.arrays.lazy import sliceable
from esc_plugin.catalog.traits import Traits
from esc_plugin.files.ome_axes import MICROSCOPIC
from esc_plugin.session.task import letters_of

if TYPE_CHECKING:
    from napari.layers import Image

    from esc_plugin.train.sources import ImageArray

#: What is said in pixels of the source, or belongs to its own life in the viewer, and so isn't handed on.
NOT_COPIED = {"name", "metadata", "scale", "translate", "visible", "plane", "experimental_clipping_planes", "multiscale"}
NOT_COPIED |= {"locked_data_level", "custom_interpolation_kernel_2d", "cache"}
#: As many entries of an axis without a name may be channels.
MOST_CHANNELS = 5


def copied(layer: Image) -> dict[str, Any]:
    """Return every property of a layer that its upscaled version keeps, as keyword arguments of `napari.layers.Image`."""
    state = dict(layer.as_layer_data_tuple()[1])
    return {key: value for key, value in state.items() if key not in NOT_COPIED}


def is_source(layer: Image) -> bool:
    """Tell whether a layer is none that this plugin has made."""
    return "esc" not in layer.metadata


def finest(layer: Image) -> Any:
    """Return the data of a layer at full resolution; nothing is computed or loaded."""
    return levels_of(layer)[0]


def levels_of(layer: Image) -> list[Any]:
    """Return the data of a layer at all of its resolutions, finest first; nothing is computed or loaded."""
    return list(layer.data) if layer.multiscale else [layer.data]


def image_array(layer: Image) -> ImageArray:
    """Return all pixels of a layer at full resolution, to learn from; nothing is read."""
    from esc_plugin.train.sources import ImageArray  # which needs the extra "train"

    return ImageArray(layer.name, sliceable(finest(layer)), letters_of(layer.axis_labels, layer.ndim, layer.rgb))


def unit_names(layer: Image) -> list[str]:
    """Return the units of the axes as words, such as ``"micrometer"``."""
    return [str(unit) for unit in layer.units]


def traits_of(layer: Image) -> Traits:
    """Return the traits of the picture in a layer."""
    return Traits.of(finest(layer).dtype, 3 if layer.rgb else 1, not MICROSCOPIC.isdisjoint(unit_names(layer)))


def maybe_channels(layer: Image) -> int:
    """Return how many entries the last axis with few of them and no name has; 0 if there is none or channels are named."""
    if layer.rgb or "C" in letters_of(layer.axis_labels, layer.ndim, layer.rgb):
        return 0
    leading = zip(layer.axis_labels[:-2], finest(layer).shape, strict=False)
    few = [n for name, n in leading if str(name).lstrip("-").isdecimal() and 1 < n <= MOST_CHANNELS]
    return few[-1] if few else 0
