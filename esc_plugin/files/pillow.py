"""What Pillow does for all formats that it knows: pixels of still images, and what else they carry."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
from PIL import Image

from ..errors import ImageError
from . import exif
from .colours import from_cmyk, srgb_profile
from .picture import MAX_PIXELS, RAISE_LIMIT, Picture, check_size, oriented

#: Quality of lossy formats unless the user says otherwise.
QUALITY = 95
#: What formats of 8 bits can hold.
PLAIN_TYPES, PLAIN_AXES = ("bool", "uint8"), ("YX", "YXS")
#: Modes whose arrays are taken as they are.
PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA", "F", "I;16", "I;16B", "I;16L")
#: Enough of a file to find what says how it is coded.
SCANNED_BYTES = 2**16


@contextlib.contextmanager
def opened(path: Path, name: str, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open an image as one of a kind, by Pillow's name of it; nothing is decoded yet.

    Raises
    ------
    ImageError
        If it claims to have more pixels than it may. Other errors are those of the decoders.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            # Damaged EXIF and the like: the pixels are what counts. Pillow refuses at twice the limit and warns from it on.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=(name,)) as image:
                yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ImageError(f"it claims to have more than {max_pixels / 1e6:,.6g} million pixels; {RAISE_LIMIT}.") from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@contextlib.contextmanager
def opened_still(path: Path, name: str, max_pixels: int) -> Iterator[Image.Image]:
    """Do the same, and refuse an animation."""
    with opened(path, name, max_pixels) as image:
        if (frames := getattr(image, "n_frames", 1)) > 1:
            raise ImageError(f"it is animated ({frames} frames); only still images can be upscaled.")
        yield image


def packet_of(path: Path, name: str) -> bytes | None:
    """Return the XMP packet of a still image without decoding it."""
    with opened(path, name) as image:
        return _packet(image)


def picture_of(image: Image.Image, name: str, max_pixels: int, pixels: np.ndarray | None = None) -> Picture:
    """Decode an open image, or take the pixels that another decoder made of it, and turn it upright.

    Raises
    ------
    ImageError
        If its colours can't be understood. Other errors are those of the decoders.
    """
    shape = image.height, image.width, len(image.getbands())
    check_size("it", shape, 4 if image.mode in ("F", "I") else 2, max_pixels)
    image.load()
    pixels = _pixels(image) if pixels is None else pixels
    xmp, dpi, (found, notes) = _packet(image), image.info.get("dpi"), _exif_of(image)
    axes = "YXS" if pixels.ndim == 3 else "YX"
    turn = exif.orientation_of(found, xmp)
    return Picture(
        oriented(pixels, axes, turn),
        axes,
        name,
        icc=srgb_profile().tobytes() if image.mode == "CMYK" else image.info.get("icc_profile"),
        xmp=exif.upright_xmp(xmp),
        exif=exif.upright(found),
        dpi=(float(dpi[turn >= 5]), float(dpi[turn < 5])) if dpi and min(dpi) > 0 else None,
        notes=notes,
    )


def is_gray(image: Image.Image) -> bool:
    """Whether an image that isn't decoded yet has no colours."""
    return image.mode.startswith(("1", "L", "I", "F"))


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return height and width of an image that isn't decoded yet, as one sees it."""
    turned = exif.orientation_of(_exif_of(image)[0], _packet(image)) >= 5
    return (image.width, image.height) if turned else (image.height, image.width)


def _pixels(image: Image.Image) -> np.ndarray:
    """Return (H, W) or (H, W, S) in the type and the colours that the image means."""
    mode, transparent = image.mode, "transparency" in image.info
    if mode == "P" and not (image.palette and image.palette.palette):
        raise ImageError("it has palette colours, but no palette.")
    if mode in ("L", "1", "RGB", "P") and transparent:
        return np.array(image.convert("LA" if mode in ("L", "1") else "RGBA"))
    if mode in PLAIN_MODES:
        return _with_key(image) if transparent and mode.startswith("I;16") else np.array(image)
    if mode == "I":
        pixels = np.array(image)
        return pixels.astype(np.uint16) if pixels.min() >= 0 and pixels.max() <= 65535 else pixels
    if mode in ("P", "PA", "RGBa", "YCbCr", "RGBX"):
        return np.array(image.convert("RGB" if mode in ("P", "YCbCr", "RGBX") else "RGBA"))
    if mode == "CMYK":
        return np.array(from_cmyk(image, image.info.get("icc_profile")))
    raise ImageError(f"its colours are {mode!r}, which can't be upscaled; convert it to RGB first.")


def _with_key(image: Image.Image) -> np.ndarray:
    """Return gray and transparency: a value that is marked as transparent isn't seen."""
    pixels = np.array(image)
    return np.dstack([pixels, np.where(pixels == image.info["transparency"], 0, 65535).astype(np.uint16)])


def _packet(image: Image.Image) -> bytes | None:
    return as_bytes(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))


def _exif_of(image: Image.Image) -> tuple[Image.Exif, list[str]]:
    try:
        found = image.getexif()
        for ifd in (exif.EXIF_IFD, exif.GPS_IFD):
            found.get_ifd(ifd)
        found.tobytes()
    except Exception as error:  # Pillow raises almost anything on damaged EXIF
        return Image.Exif(), [f"its EXIF is damaged and can't be kept ({error})"]
    return found, []


def as_bytes(value: Any) -> bytes | None:
    """Return what Pillow hands out as text or bytes; ``None`` if there is nothing."""
    return value.encode() if isinstance(value, str) else value or None


def too_deep(name: str) -> ImageError:
    """Return the error of an image whose depth Pillow would cut to 8 bits, silently."""
    return ImageError(f"it is {name} with more than 8 bits, which would be lost; convert it to PNG or TIFF first.")


def embedded(picture: Picture) -> dict[str, bytes]:
    """Return profile, XMP and EXIF as Pillow takes them."""
    found = {"icc_profile": picture.icc, "xmp": picture.packet, "exif": exif.resized_exif(picture.exif, *picture.size)}
    return {name: data for name, data in found.items() if data}


def save(file: IO[bytes], picture: Picture, name: str, **options: Any) -> None:
    """Write pixels of 8 bits or bool as what Pillow calls `name`."""
    pixels = np.ascontiguousarray(picture.pixels)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    # To a file with a number Pillow writes past Python, and doesn't hear that a full disk took only a part.
    target: Any = SimpleNamespace(write=file.write)
    Image.fromarray(pixels).save(target, name, **options)
