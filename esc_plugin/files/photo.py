"""PNG, JPEG, WebP, AVIF, and other still images that Pillow reads."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageCms

from ..errors import ImageError
from . import exif, png
from .picture import MAX_PIXELS, Picture, check_size, oriented

#: Pillow's names of what is read.
READ = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "PPM")
LOSSY = ("JPEG", "AVIF")
#: Largest side that a format can hold.
LARGEST_SIDE = {"JPEG": 65_535, "WEBP": 16_383, "AVIF": 65_536, "PNG": 2**31 - 1}
#: What fits into one segment of a JPEG, its head aside.
JPEG_SEGMENT_BYTES = 65_500
#: Quality of lossy formats unless the user says otherwise.
QUALITY = 95
#: Modes whose arrays are taken as they are.
PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA", "F", "I;16", "I;16B", "I;16L")


def is_photo(path: Path) -> bool:
    """Whether a file starts like one of `READ`."""
    with path.open("rb") as file:
        head = file.read(16)
    Image.preinit()  # the usual ones; all of them take a tenth of a second
    if _starts_like_one(head):
        return True
    Image.init()
    return _starts_like_one(head)


def _starts_like_one(head: bytes) -> bool:
    tests = [Image.OPEN[name][1] for name in READ if name in Image.OPEN]
    return any(test(head) for test in tests if test)


def read_photo(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a still image.

    Raises
    ------
    ImageError
        If it is animated, or its colours can't be understood. Other errors are those of the decoders.
    """
    with _open(path, max_pixels) as image:
        form = "JPEG" if image.format == "MPO" else str(image.format)  # a JPEG with further pictures behind the first
        if form != "JPEG" and (frames := getattr(image, "n_frames", 1)) > 1:
            raise ImageError(f"it is animated ({frames} frames); only still images can be upscaled.")
        shape = image.height, image.width, len(image.getbands())
        check_size("it", shape, 4 if image.mode in ("F", "I") else 2, max_pixels)
        _check_depth(path, image)
        image.load()
        icc, pixels = image.info.get("icc_profile"), _pixels(image, path)
        if image.mode == "CMYK":
            icc = srgb_profile().tobytes()
        xmp = _packet(image)
        found, notes = _exif_of(image)
        if image.format == "MPO":
            notes.append("further pictures behind the first (MPO) are left out")
        axes = "YXS" if pixels.ndim == 3 else "YX"
        turn = exif.orientation_of(found, xmp)
        dpi = image.info.get("dpi")
        return Picture(
            oriented(pixels, axes, turn),
            axes,
            form,
            lossy=form in LOSSY or (form == "WEBP" and not _is_lossless_webp(path)),
            icc=icc,
            xmp=exif.upright_xmp(xmp),
            iptc=_iptc(image),
            exif=exif.upright(found),
            dpi=(float(dpi[turn >= 5]), float(dpi[turn < 5])) if dpi and min(dpi) > 0 else None,
            comment=_bytes(image.info.get("comment")) if form == "JPEG" else None,
            chunks=png.kept_chunks(path) if form == "PNG" and image.mode != "CMYK" else [],
            notes=notes,
        )


@contextlib.contextmanager
def _open(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            # Damaged EXIF and the like: the pixels are what counts. Pillow refuses at twice the limit and warns from it on.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=READ) as image:
                yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ImageError(f"it claims to have more than {max_pixels / 1e6:,.0f} million pixels.") from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _pixels(image: Image.Image, path: Path) -> np.ndarray:
    mode, transparent = image.mode, "transparency" in image.info
    if mode == "P" and not (image.palette and image.palette.palette):
        raise ImageError("it has palette colours, but no palette.")
    if image.format == "PNG" and png.is_deep_colour(path):
        return png.read_deep(path)
    if mode in ("L", "1", "RGB", "P") and transparent:
        return np.array(image.convert("LA" if mode in ("L", "1") else "RGBA"))
    if mode in PLAIN_MODES:
        pixels = np.array(image)
        if transparent and mode.startswith("I;16"):
            key = image.info["transparency"]
            return np.dstack([pixels, np.where(pixels == key, 0, 65535).astype(np.uint16)])
        return pixels
    if mode == "I":
        pixels = np.array(image)
        return pixels.astype(np.uint16) if pixels.min() >= 0 and pixels.max() <= 65535 else pixels
    if mode in ("P", "PA", "RGBa", "YCbCr", "RGBX"):
        return np.array(image.convert("RGB" if mode in ("P", "YCbCr", "RGBX") else "RGBA"))
    if mode == "CMYK":
        return np.array(from_cmyk(image, image.info.get("icc_profile")))
    raise ImageError(f"its colours are {mode!r}, which can't be upscaled; convert it to RGB first.")


def from_cmyk(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert CMYK to sRGB through its profile.

    Raises
    ------
    ImageError
        If it has none, so that nobody knows its colours.
    """
    if not profile:
        raise ImageError("it is CMYK without a colour profile, so its colours are undefined; convert it to RGB first.")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(
            image,
            source,
            srgb_profile(),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            "RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise ImageError(f"its CMYK profile can't be used: {error}") from None
    assert converted is not None
    return converted


def srgb_profile() -> ImageCms.ImageCmsProfile:
    """Make the profile of what `from_cmyk` returns."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def xmp_of(path: Path) -> bytes | None:
    """Return the XMP packet of a still image without decoding it."""
    with _open(path, MAX_PIXELS) as image:
        return _packet(image)


def _packet(image: Image.Image) -> bytes | None:
    return _bytes(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))


def _exif_of(image: Image.Image) -> tuple[Image.Exif, list[str]]:
    try:
        found = image.getexif()
        for ifd in (exif.EXIF_IFD, exif.GPS_IFD):
            found.get_ifd(ifd)
        found.tobytes()
    except Exception as error:  # Pillow raises almost anything on damaged EXIF
        return Image.Exif(), [f"its EXIF is damaged and can't be kept ({error})"]
    return found, []


def _iptc(image: Image.Image) -> bytes | None:
    """Return the whole APP13 segment of a JPEG, which holds IPTC."""
    parts = [data for name, data in getattr(image, "applist", ()) if name == "APP13"]
    return b"".join(b"\xff\xed" + (len(data) + 2).to_bytes(2, "big") + data for data in parts) or None


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value or None


def _check_depth(path: Path, image: Image.Image) -> None:
    """Pillow cuts deep AVIF and deep colour PPM to 8 bits, silently."""
    with path.open("rb") as file:
        head = file.read(2**16)
    deep = False
    if image.format == "AVIF":
        at = head.find(b"av1C")
        deep = at >= 0 and len(head) > at + 6 and bool(head[at + 6] & 0x40)
    elif image.format == "PPM" and image.mode == "RGB":
        found = re.match(rb"P[36](?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+(\d+)", head)
        deep = found is not None and int(found[1]) > 255
    if deep:
        raise ImageError(
            f"it is {image.format} with more than 8 bits, which would be lost; convert it to PNG or TIFF first."
        )


def _is_lossless_webp(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(2**16)
    at = min((i for i in (head.find(b"VP8L"), head.find(b"VP8 ")) if i >= 0), default=-1)
    return at >= 0 and head[at : at + 4] == b"VP8L"


def write_photo(file: IO[bytes], picture: Picture, form: str, quality: int | None = None) -> None:
    """Write a picture as PNG, JPEG, WEBP or AVIF. Check it with `check_photo` first."""
    if form == "PNG":
        png.write_png(file, picture)
        return
    info: dict[str, Any] = {"quality": quality or QUALITY}
    if form == "WEBP" and not quality and not picture.lossy:
        info = {"lossless": True, "exact": True}
    if form == "JPEG":
        info |= {"subsampling": 0, "comment": picture.comment or b"", "extra": picture.iptc or b""}
    if form == "AVIF":
        info |= {"subsampling": "4:4:4"}
    if picture.dpi and form == "JPEG":
        info["dpi"] = picture.dpi
    if data := exif.resized_exif(picture.exif, *picture.size):
        info["exif"] = exif.HEADER + data if form == "JPEG" else data
    info |= {name: value for name, value in (("icc_profile", picture.icc), ("xmp", picture.packet)) if value}
    if form == "JPEG" and picture.xmp and len(picture.packet or b"") > JPEG_SEGMENT_BYTES:
        info["xmp"] = picture.xmp  # rather than nothing
    for name in ("exif", "xmp"):
        if form == "JPEG" and len(info.get(name, b"")) > JPEG_SEGMENT_BYTES:
            del info[name]
            picture.notes.append(f"JPEG has no place for so much {name.upper()}")
    pixels = np.ascontiguousarray(picture.pixels)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    Image.fromarray(pixels).save(file, form, **info)


def check_photo(form: str, axes: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise an `ImageError` unless a format can hold an image without loss of depth, transparency or planes."""
    deep = form == "PNG" and dtype == np.uint16
    if dtype not in (np.uint8, bool) and not deep:
        raise ImageError(f"{form} can't hold {dtype} values; write .tif" + (" or .png." if dtype == np.uint16 else "."))
    if axes not in ("YX", "YXS"):
        raise ImageError(f"{form} can't hold the axes {axes!r}; write .tif.")
    if form == "JPEG" and axes == "YXS" and shape[2] in (2, 4):
        raise ImageError("JPEG can't hold transparency; write .png, .webp or .avif.")
    if max(shape[:2]) > LARGEST_SIDE[form]:
        raise ImageError(f"{form} can't hold {shape[1]} x {shape[0]} pixels, only {LARGEST_SIDE[form]} a side.")
    if deep and axes == "YXS":
        png.require_imagecodecs()
