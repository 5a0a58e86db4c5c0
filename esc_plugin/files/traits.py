"""The traits of the picture in a file, told by what the file says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..arrays.layout import layout_of
from ..catalog.traits import Traits
from .address import Url, place_of
from .formats import recognised
from .ome_axes import MICROSCOPIC
from .picture import MAX_PIXELS, Picture
from .pillow import is_gray, opened, upright_size
from .png import is_deep_colour
from .read import read_picture, reading

#: Pixels per inch above which they are smaller than 2 micrometres, beyond any scanner of film.
MICROSCOPIC_DPI = 12_700
#: How the description of a scanned slide begins.
SLIDES = ("Aperio",)
#: As OME has the channels of what was a colour image.
RED_GREEN_BLUE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def traits_of_file(path: str | Path | Url, max_pixels: int = MAX_PIXELS) -> tuple[Traits, tuple[int, int]]:
    """Return the traits of the picture in a file, and its height and width, where that can be without decoding it.

    Raises
    ------
    ImageError
        See `read_picture`.
    """
    path = place_of(path)
    with reading(path):
        form = recognised(path)
    if isinstance(path, Url) or form is None or form.store or form.read_lazily:
        picture = read_picture(path, max_pixels, lazy=True)
        return traits_of(picture), picture.size
    with reading(path), opened(path, form.name, max_pixels) as image:
        deep = image.mode.startswith(("I", "F")) or is_deep_colour(path)
        return Traits(deep, not is_gray(image), _is_fine(image.info.get("dpi"))), upright_size(image)


def traits_of(picture: Picture) -> Traits:
    """Return the traits of a picture."""
    layout = layout_of(picture.pixels, picture.axes)
    traits = Traits.of(picture.pixels.dtype, layout.samples, _from_microscope(picture))
    return replace(traits, colour=True) if not traits.deep and _was_colour(picture) else traits


def _from_microscope(picture: Picture) -> bool:
    """Tell whether what a picture carries is what microscopes write.

    That is OME's metadata; a stack of ImageJ; a scanned slide; or a pixel size that no camera or scanner of photographs has.
    """
    tiff = picture.tiff
    if picture.ome is not None and tiff is None:
        return True
    if tiff and (tiff.kind == "ome" or str(tiff.metadata).startswith(SLIDES)):
        return True
    if tiff and tiff.kind == "imagej" and set(picture.axes) - set("YXS"):
        return True
    measured = picture.ome is not None and not MICROSCOPIC.isdisjoint(picture.ome.axes.units)
    return measured or _is_fine(picture.dpi)


def _is_fine(dpi: tuple[float, float] | None) -> bool:
    return dpi is not None and max(dpi) > MICROSCOPIC_DPI


def _was_colour(picture: Picture) -> bool:
    """Whether channels are the samples of what was a colour image, which OME-Zarr has no other way to hold."""
    return picture.ome is not None and tuple(channel.color for channel in picture.ome.channels[:3]) == RED_GREEN_BLUE
