"""Stacks of files whose voxels become isotropic: how far apart planes are is read from the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..arrays.layout import Layout, layout_of
from ..arrays.levels import Levels, measure_levels
from ..errors import ImageError
from ..files import Picture, empty_array

if TYPE_CHECKING:  # with torch
    from ..progress import Cancel, Progress
    from ..upscaler import Upscaler


def planes_wanted(picture: Picture, size: tuple[int, int]) -> int:
    """Return how many planes make the voxels of a stack isotropic when its planes are enlarged to `size` (height, width).

    Raises
    ------
    ImageError
        If it is no stack, doesn't say how large its voxels are, or they aren't deeper than wide then.
    """
    from ..arrays.sizes import isotropic_planes

    if picture.planes < 2:
        raise ImageError(
            f"it is no stack: its axes are {picture.axes!r}, of {tuple(picture.pixels.shape)}; --axes names them."
        )
    voxel = picture.ome.axes.voxel if picture.ome else None
    if voxel is None:
        raise ImageError("it doesn't say how far apart its planes are, in the unit of its pixels; an OME-TIFF can.")
    (z, y, x), (height, width) = voxel, picture.size
    return isotropic_planes(picture.planes, (z, y * height / size[0], x * width / size[1]))


def with_planes(layout: Layout, planes: int) -> Layout:
    """Return the axes of a stack with another number of planes."""
    return Layout(tuple(planes if a == "Z" else n for a, n in zip(layout.axes, layout.shape, strict=True)), layout.axes)


def cut_into(
    picture: Picture,
    planes: int,
    upscaler: Upscaler,
    options: dict[str, Any],
    memory_limit: int | None,
    progress: Progress | None,
    cancel: Cancel | None,
) -> tuple[Picture, list[Levels]]:
    """Return a stack with more planes, and the levels of the stack, which all that is made of it has.

    See `upscale_volume`, which takes those of the options that it knows.
    """
    from ..volume import upscale_volume

    levels = measure_levels(picture.pixels, layout_of(picture.pixels, picture.axes), *levels_asked(options), cancel)
    layout = with_planes(Layout(tuple(picture.pixels.shape), picture.axes), planes)
    known: dict[str, Any] = {name: options[name] for name in ("nan", "consistency", "strength") if name in options}
    out = empty_array(layout.shape, picture.pixels.dtype.newbyteorder("="), memory_limit)
    factor = planes / picture.planes
    known |= {"intensity": levels, "progress": progress, "cancel": cancel}
    made = upscale_volume(upscaler, picture.pixels, axes=picture.axes, factor=factor, out=out, **known)
    return picture.enlarged(made), levels


def levels_asked(options: dict[str, Any]) -> tuple[Any, str]:
    """Return what options say of levels of intensity, and of NaN."""
    return options.get("intensity", "auto"), options.get("nan", "error")
