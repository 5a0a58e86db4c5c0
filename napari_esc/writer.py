"""Save image layers as OME-TIFF or OME-Zarr: what napari says of them, in the core's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from esc_plugin.errors import ImageError
from esc_plugin.files.ngff import DEFAULT_VERSION
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_layers import Layer, save_layers
from esc_plugin.files.ome_notes import Channel
from esc_plugin.provenance import is_record

#: As napari has it: pixels, properties, ``"image"``.
LayerData = tuple[Any, dict[str, Any], str]
#: Where a layer lies, as far as neither format can express it.
TURNS = ("rotate", "shear", "affine")


def write_ome_zarr(path: str, layers: Sequence[LayerData], version: str = DEFAULT_VERSION) -> list[str]:
    """Save image layers as the channels of one OME-Zarr image with a pyramid, plane by plane.

    Parameters
    ----------
    path : str
        Of the folder to make.
    layers : sequence of tuple
        As `Layer.as_layer_data_tuple` gives them: (..., Y, X[, S]); of a multiscale layer the finest level is saved.
    version : str
        Of OME-Zarr: ``"0.5"``, or ``"0.4"`` for programs that read no other.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    ImageError
        If the layers don't fit together, there is something at `path`, the disk has no room, or OME-Zarr can't hold the
        image.
    """
    save_layers(Path(path), _in_words_of_ome(layers), version)
    return [path]


def write_ome_tiff(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Save image layers as the channels of one OME-TIFF: tiled, losslessly compressed, with a pyramid.

    Parameters
    ----------
    path : str
        Of the file. If there is one, it is replaced when the new one is complete.
    layers : sequence of tuple
        As `Layer.as_layer_data_tuple` gives them: (..., Y, X[, S]); of a multiscale layer the finest level is saved.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    ImageError
        If the layers don't fit together, OME-TIFF can't hold the image, or it can't be written.
    """
    save_layers(Path(path), _in_words_of_ome(layers))
    return [path]


def channel_of(attributes: Mapping[str, Any]) -> Channel:
    """Return how a layer is called and shown: its contrast limits, and the last colour of its colormap.

    That is black where a colormap is inverted, or a reader knew no colour. In other programs nothing of such a channel would
    be seen, so then it has none.
    """
    from napari.utils.colormaps import ensure_colormap

    name, limits = str(attributes.get("name", "image")), attributes.get("contrast_limits")
    red, green, blue, _ = ensure_colormap(attributes.get("colormap", "gray")).colors[-1].tolist()
    color = (red, green, blue) if red or green or blue else None
    return Channel(name, color, None if limits is None else (float(limits[0]), float(limits[1])))


def _in_words_of_ome(layers: Sequence[LayerData]) -> list[Layer]:
    found = [_layer(data, attributes) for data, attributes, _ in layers]
    (_, first, _), *others = layers
    for layer, (_, attributes, _) in zip(found[1:], others, strict=True):
        if any(_differ(first.get(name), attributes.get(name)) for name in TURNS):
            names = f"{layer.channel.name!r} can't be a channel beside {found[0].channel.name!r}"
            raise ImageError(f"{names}: its rotation, shear or affine is another one; save it by itself.")
    _warn_of_lost_turns(first)
    return found


def _layer(data: Any, attributes: Mapping[str, Any]) -> Layer:
    finest, rgb = data[0] if attributes.get("multiscale") else data, bool(attributes.get("rgb"))
    record = dict(attributes.get("metadata") or {}).get("esc")
    axes = Axes.of(attributes, finest.ndim - rgb)
    return Layer(finest, axes, channel_of(attributes), rgb, record if is_record(record) else None)


def _differ(turn: Any, other: Any) -> bool:
    """Whether two layers of as many axes are turned differently."""
    first, second = np.asarray(turn), np.asarray(other)
    return turn is not None and first.shape == second.shape and not np.allclose(first, second)


def _warn_of_lost_turns(attributes: Mapping[str, Any]) -> None:
    """Say it when a layer lies in the world in a way that neither format can express."""
    from napari.utils.notifications import show_warning

    ndim = len(attributes.get("scale", ()))
    none: dict[str, Any] = {"rotate": np.eye(ndim), "shear": 0.0, "affine": np.eye(ndim + 1)}
    if ndim and not all(np.allclose(attributes.get(name, none[name]), none[name]) for name in TURNS):
        show_warning("The file keeps pixel size and position; rotation, shear and affine of the layer are not in it.")
