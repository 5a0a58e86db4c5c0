"""Reading TIFF of all kinds: plain, tiled, BigTIFF, ImageJ and OME stacks."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ..errors import ImageError
from . import exif
from .ome_of_tiff import ome_of_tiff
from .ome_xml import resized_ome
from .picture import MAX_PIXELS, Picture, check_size, oriented
from .tiff_notes import TiffNotes
from .tiff_open import open_tiff
from .tiff_pixels import check_complete, colour_or_channels, inverted, read_pixels, through_palette, through_profile
from .tiff_region import by_region

PER_INCH = {2: 1.0, 3: 2.54}  # by ResolutionUnit
#: Text and numbers about the image as a whole; they stay.
KEPT_TAGS = (269, 271, 272, 285, 315, 316, 33432)  # document, make, model, page, artist, host computer, copyright
DESCRIPTION_TAG, XMP_TAG, IPTC_TAG, ICC_TAG = 270, 700, 33723, 34675
#: Tags that the writer makes itself or that are handled elsewhere: layout, colours, EXIF, ImageJ's, thumbnails.
HANDLED_TAGS = {
    *range(254, 260),
    *(262, 263, 266, 270, 273, 274, *range(277, 288), 296, 297, 305, 306, *range(317, 326), 330, 336, 338, 339, 340, 341),
    *(347, *range(512, 516), *range(529, 533), 32995, 34665, 34675, 34853, 50838, 50839, 65420),
    *(XMP_TAG, IPTC_TAG, *KEPT_TAGS),
}
#: ImageJ's entries that describe the stack's shape, which the writer states, or that are positions in pixels.
IMAGEJ_DROPPED = ("ImageJ", "images", "channels", "slices", "frames", "hyperstack", "axes", "ROI", "Overlays")
#: What else the file of a whole slide holds, as tifffile calls it.
ASIDE = ("Thumbnail", "Label", "Macro", "Map")
#: What can be written; files with another compression are written with zlib.
COMPRESSIONS = {
    "NONE": None,
    "ADOBE_DEFLATE": "zlib",
    "DEFLATE": "zlib",
    "PACKBITS": "packbits",
    "LZW": "lzw",
    "ZSTD": "zstd",
}


def read_tiff_by_region(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read the one image or stack of a TIFF, but its pixels only when they are indexed.

    `max_pixels` is for images that have to be read whole: whose colours must be converted, that are turned, or in one piece.
    """
    return read_tiff(path, max_pixels, lazy=True)


def read_tiff(path: Path, max_pixels: int = MAX_PIXELS, lazy: bool = False) -> Picture:
    """Read the one image or stack of a TIFF.

    Raises
    ------
    ImageError
        If there are several, or its colours can't be understood. Other errors are those of the decoders.
    """
    with open_tiff(path) as (tif, file):
        series, notes = _only_series(tif)
        page = series.keyframe
        photometric = _name(tifffile.PHOTOMETRIC, page.photometric)
        if photometric not in ("MINISBLACK", "MINISWHITE", "RGB", "PALETTE", "YCBCR", "SEPARATED"):
            raise ImageError(f"its colours are {photometric}, which can't be upscaled; convert it to RGB first.")
        if len(series) == 0 or len(series.shape) < 2:
            raise ImageError(f"it holds no image: its shape is {series.shape}.")
        region = (
            by_region(path, series, photometric == "MINISWHITE") if lazy and _as_stored(tif, page, photometric) else None
        )
        if region is None:
            check_size("it", (*page.shape,), series.dtype.itemsize, max_pixels)
        check_complete(series)
        file.limit = inf
        pixels, axes = read_pixels(path, series) if region is None else region, series.axes
        icc = page.tags.valueof(ICC_TAG)
        if photometric == "SEPARATED":
            pixels, icc = through_profile(np.asarray(pixels), axes, icc)
        elif photometric == "PALETTE" and not tif.is_imagej:  # ImageJ's palette only says how to show gray
            pixels, axes = through_palette(np.asarray(pixels), axes, page.colormap)
        elif photometric == "MINISWHITE" and region is None:
            pixels = inverted(np.asarray(pixels))
        is_colour = photometric in ("RGB", "YCBCR", "PALETTE", "SEPARATED")
        pixels, axes = colour_or_channels(pixels, axes, page, is_colour)
        tags, turn = page.tags, page.tags.valueof(274, 1)
        if turn in range(2, 9):
            pixels = oriented(np.asarray(pixels), axes, turn)
        described = not tif.is_ome or series.kind == "ome"
        if not described:  # the pages would be lost for whoever believes it
            notes.append("its OME-XML doesn't fit its pages and is left out")
        tiff = _notes(tif, page, described)
        if tif.is_imagej and set(tif.imagej_metadata or {}) & {"ROI", "Overlays"}:
            notes.append("ImageJ overlays are in pixels of the old size and are left out")
        no_exif = tif.is_bigtiff or tif.is_imagej
        if no_exif and 34665 in tags:
            notes.append("EXIF in a BigTIFF or ImageJ's TIFF can't be kept")
        if others := [tag.name for tag in tags if tag.code not in HANDLED_TAGS]:
            notes.append(f"its tags {', '.join(others[:9])} are left out")
        if turn in range(5, 9) and tiff.resolution:
            tiff.resolution = (tiff.resolution[1], tiff.resolution[0], tiff.resolution[2])
        unit = PER_INCH.get(tiff.resolution[2]) if tiff.resolution else None
        return Picture(
            pixels,
            axes,
            "TIFF",
            icc=icc,
            xmp=exif.upright_xmp(tags.valueof(XMP_TAG)),
            # Where tifffile, ImageJ or OME wrote the description, it is theirs and no caption.
            exif=None if no_exif else exif.exif_of_tiff(path, tiff.kind == "plain" and described),
            dpi=(tiff.resolution[0] * unit, tiff.resolution[1] * unit) if tiff.resolution and unit else None,
            tiff=tiff,
            ome=ome_of_tiff(tiff, axes, path.name),
            notes=notes,
        )


def xmp_of_tiff(path: Path) -> bytes | None:
    """Return the XMP packet of a TIFF; only its first page is looked at."""
    with tifffile.TiffFile(path) as tif:
        packet = tif.pages.first.tags.valueof(XMP_TAG)
    return packet if isinstance(packet, bytes) else None


def _as_stored(tif: tifffile.TiffFile, page: tifffile.TiffPage, photometric: str) -> bool:
    """Whether values mean what they say, one by one: no palette, inks, turned rows, or colours multiplied by opacity."""
    if photometric == "MINISWHITE" and (page.dtype is None or page.dtype.kind not in "bu"):
        return False
    plain = photometric in ("MINISBLACK", "MINISWHITE", "RGB", "YCBCR") or (photometric == "PALETTE" and tif.is_imagej)
    multiplied = [int(extra) for extra in page.extrasamples] == [1]
    return plain and not multiplied and page.tags.valueof(274, 1) not in range(2, 9)


def _name(kind: Any, value: int | None) -> str:
    try:
        return str(kind(value).name)
    except ValueError:
        return f"of an unknown kind ({value})"


def _only_series(tif: tifffile.TiffFile) -> tuple[tifffile.TiffPageSeries, list[str]]:
    if not tif.series:
        raise ImageError("it holds no image.")
    first, *others = tif.series
    notes = []
    if not all(series.keyframe.is_reduced or series.name in ASIDE for series in others):
        shapes = ", ".join(str(series.shape) for series in tif.series[:4])
        raise ImageError(f"it holds {len(tif.series)} images of different kinds ({shapes}); split it first.")
    if others or len(first.levels) > 1:
        notes.append("its smaller copies (thumbnails, pyramid levels) are left out")
    return first, notes


def _notes(tif: tifffile.TiffFile, page: tifffile.TiffPage, described: bool) -> TiffNotes:
    tags = page.tags
    options: dict[str, Any] = {
        "compression": COMPRESSIONS.get(_name(tifffile.COMPRESSION, page.compression), "zlib"),
        "predictor": page.predictor == 2 or None,
        "tile": (page.tilelength, page.tilewidth) if page.is_tiled else None,
        "bigtiff": tif.is_bigtiff,
        "byteorder": tif.byteorder,
        "software": tags.valueof(305),
        "datetime": tags.valueof(306),
        "extratags": list(_kept_tags(tags)),
        "colormap": page.colormap if tif.is_imagej else None,
    }
    resolution = None
    if 282 in tags and 283 in tags:
        x, y = (_ratio(tags.valueof(code)) for code in (282, 283))
        resolution = (x, y, int(tags.valueof(296, 2))) if x > 0 and y > 0 else None
    kind, metadata = _metadata(tif, page, described)
    return TiffNotes(kind, metadata, resolution, options)


def _metadata(tif: tifffile.TiffFile, page: tifffile.TiffPage, described: bool) -> tuple[str, Any]:
    if tif.is_ome:
        resized_ome(tif.ome_metadata or "", page.imagelength, page.imagewidth, 1, 1)  # damaged? Now rather than at the end
        return ("ome", tif.ome_metadata) if described else ("plain", None)
    if tif.is_imagej:
        return "imagej", {k: v for k, v in (tif.imagej_metadata or {}).items() if k not in IMAGEJ_DROPPED}
    if tif.is_shaped:
        found = (tif.shaped_metadata or ({},))[0]
        return "shaped", {k: v for k, v in found.items() if k not in ("shape", "truncate")}
    return "plain", page.description or None


def _ratio(value: Any) -> float:
    return value[0] / value[1] if isinstance(value, tuple) and value[1] else 0.0


def _kept_tags(tags: tifffile.TiffTags) -> Iterator[tuple[int, int, int | None, Any, bool]]:
    for code in KEPT_TAGS:
        if isinstance(value := tags.valueof(code), str):
            yield code, 2, None, value, True
    if isinstance(value := tags.valueof(IPTC_TAG), bytes):
        yield IPTC_TAG, 7, len(value), value, True
