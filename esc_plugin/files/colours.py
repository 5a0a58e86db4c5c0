"""Inks become colours, through the profile that says what they look like."""

from __future__ import annotations

import io

from PIL import Image, ImageCms

from ..errors import ImageError


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
