"""Save an image layer as OME-TIFF or OME-Zarr, with its pixel size, units and channel names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from esc_plugin import ImageError

from .axes import LENGTHS, TIMES, Axes
from .store import new_image

TILE = 512
#: Types that OME-TIFF knows.
OME_TYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")


def write_ome_zarr(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save an image layer as OME-Zarr 0.4 with a pyramid, plane by plane.

    Parameters
    ----------
    path : str
        Of the folder to make.
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
        If there is something at `path`, the disk has no room, or OME-Zarr can't hold the image.
    """
    finest, rgb = _finest(data, attributes), bool(attributes.get("rgb"))
    axes = Axes.of(attributes, finest.ndim - rgb)
    _warn_of_lost_transforms(attributes)
    with new_image(Path(path), finest.shape, finest.dtype, axes, rgb) as image:
        for index in np.ndindex(*finest.shape[: finest.ndim - 2 - rgb]):
            image[index] = np.asarray(finest[index])
        image.finish(attributes.get("name", "image"), attributes)
    return [path]


def write_ome_tiff(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save an image layer as OME-TIFF, tiled and losslessly compressed, plane by plane.

    Parameters
    ----------
    path : str
        Of the file. If there is one, it is replaced when the new one is complete.
    data, attributes
        See `write_ome_zarr`.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    ImageError
        If OME-TIFF can't hold the image, or it can't be written.
    """
    import tifffile

    finest, rgb = _finest(data, attributes), bool(attributes.get("rgb"))
    axes = Axes.of(attributes, finest.ndim - rgb)
    if finest.dtype.name not in OME_TYPES:
        raise ImageError(f"OME-TIFF can't hold {finest.dtype}; it can hold {', '.join(OME_TYPES)}. Convert the layer first.")
    _warn_of_lost_transforms(attributes)
    beside = Path(path).with_name(f".{Path(path).name}.part")
    try:
        tifffile.imwrite(
            beside,
            _tiles(finest, rgb),
            shape=finest.shape,
            dtype=finest.dtype,
            ome=True,
            bigtiff=finest.size * finest.dtype.itemsize > 2**31,
            tile=(TILE, TILE),
            compression="zlib",
            predictor=True,
            photometric="rgb" if rgb else "minisblack",
            metadata=_ome(axes, rgb, finest, str(attributes.get("name", "image"))),
        )
        beside.replace(path)
    except OSError as error:
        raise ImageError(f"can't write {path!r}: {error.strerror or error}.") from None
    finally:
        beside.unlink(missing_ok=True)
    return [path]


def _finest(data: Any, attributes: dict[str, Any]) -> Any:
    return data[0] if attributes.get("multiscale") else data


def _tiles(image: Any, rgb: bool) -> Iterator[np.ndarray]:
    """Yield the tiles of all planes in the order of the file; each plane is loaded once."""
    for index in np.ndindex(*image.shape[: image.ndim - 2 - rgb]):
        plane = np.asarray(image[index])
        for top in range(0, plane.shape[0], TILE):
            for left in range(0, plane.shape[1], TILE):
                yield np.ascontiguousarray(plane[top : top + TILE, left : left + TILE])


def _ome(axes: Axes, rgb: bool, image: Any, name: str) -> dict[str, Any]:
    """Return the metadata as tifffile takes it."""
    described: dict[str, Any] = {"axes": axes.letters.upper() + "S" * rgb, "Name": name}
    positions: dict[str, Any] = {}
    planes = int(np.prod(image.shape[: len(axes.letters) - 2]))
    for letter, size, start, unit in zip(axes.letters, axes.scale, axes.translate, axes.units, strict=True):
        if letter == "t" and unit in TIMES:
            described |= {"TimeIncrement": abs(size), "TimeIncrementUnit": TIMES[unit]}
        elif letter in "zyx" and (unit in LENGTHS or size != 1):
            symbol = LENGTHS.get(unit, "pixel")
            described |= {f"PhysicalSize{letter.upper()}": abs(size), f"PhysicalSize{letter.upper()}Unit": symbol}
            if letter in "yx":
                positions |= {f"Position{letter.upper()}": [start] * planes}
                positions |= {f"Position{letter.upper()}Unit": [symbol if symbol != "pixel" else "reference frame"] * planes}
    if positions:
        described["Plane"] = positions
    if "c" not in axes.letters and not rgb:
        described["Channel"] = {"Name": [name]}
    return described


def _warn_of_lost_transforms(attributes: dict[str, Any]) -> None:
    """Say it when a layer lies in the world in a way that neither format can express."""
    from napari.utils.notifications import show_warning

    ndim = len(attributes.get("scale", ()))
    turned = ndim and not np.allclose(attributes.get("rotate", np.eye(ndim)), np.eye(ndim))
    affine = ndim and not np.allclose(attributes.get("affine", np.eye(ndim + 1)), np.eye(ndim + 1))
    if turned or affine or np.any(np.asarray(attributes.get("shear", 0)) != 0):
        show_warning("The file keeps pixel size and position; rotation, shear and affine of the layer are not in it.")
