"""Save an image layer as OME-TIFF or OME-Zarr: what napari says of it, in the core's words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from esc_plugin.files.ngff import DEFAULT_VERSION, Look
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_tiff import save_ome_tiff
from esc_plugin.files.ome_zarr import save_ome_zarr
from esc_plugin.provenance import is_record


def write_ome_zarr(path: str, data: Any, attributes: dict[str, Any], version: str = DEFAULT_VERSION) -> list[str]:
    """Save an image layer as OME-Zarr with a pyramid, plane by plane.

    Parameters
    ----------
    path : str
        Of the folder to make.
    data : array or list of array
        (..., Y, X[, S]); of a multiscale layer the finest level is saved.
    attributes : dict
        Of the layer, as napari hands them to writers.
    version : str
        Of OME-Zarr: ``"0.5"``, or ``"0.4"`` for programs that read no other.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    ImageError
        If there is something at `path`, the disk has no room, or OME-Zarr can't hold the image.
    """
    finest, axes, about = _described(data, attributes)
    save_ome_zarr(Path(path), finest, axes, look=look_of(attributes), version=version, **about)
    return [path]


def write_ome_tiff(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save an image layer as OME-TIFF, tiled and losslessly compressed, plane by plane.

    Parameters
    ----------
    path : str
        Of the file. If there is one, it is replaced when the new one is complete.
    data : array or list of array
        (..., Y, X[, S]); of a multiscale layer the finest level is saved.
    attributes : dict
        Of the layer, as napari hands them to writers.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    ImageError
        If OME-TIFF can't hold the image, or it can't be written.
    """
    finest, axes, about = _described(data, attributes)
    save_ome_tiff(Path(path), finest, axes, **about)
    return [path]


def look_of(attributes: Mapping[str, Any]) -> Look | None:
    """Return how a layer is shown: its contrast limits, and the brightest colour of its colormap."""
    if "contrast_limits" not in attributes:
        return None
    low, high = (float(value) for value in attributes["contrast_limits"])
    colors = np.asarray(attributes.get("colormap", {}).get("colors", [[1, 1, 1]]), float)
    red, green, blue = colors[-1][:3].tolist()
    return Look((low, high), (red, green, blue))


def _described(data: Any, attributes: Mapping[str, Any]) -> tuple[Any, Axes, dict[str, Any]]:
    """Return the finest level of a layer, its axes, and what both formats say of it besides."""
    _warn_of_lost_transforms(attributes)
    finest, rgb = data[0] if attributes.get("multiscale") else data, bool(attributes.get("rgb"))
    record = dict(attributes.get("metadata") or {}).get("esc")
    about = {"rgb": rgb, "name": str(attributes.get("name", "image")), "record": record if is_record(record) else None}
    return finest, Axes.of(attributes, finest.ndim - rgb), about


def _warn_of_lost_transforms(attributes: Mapping[str, Any]) -> None:
    """Say it when a layer lies in the world in a way that neither format can express."""
    from napari.utils.notifications import show_warning

    ndim = len(attributes.get("scale", ()))
    turned = ndim and not np.allclose(attributes.get("rotate", np.eye(ndim)), np.eye(ndim))
    affine = ndim and not np.allclose(attributes.get("affine", np.eye(ndim + 1)), np.eye(ndim + 1))
    if turned or affine or np.any(np.asarray(attributes.get("shear", 0)) != 0):
        show_warning("The file keeps pixel size and position; rotation, shear and affine of the layer are not in it.")
