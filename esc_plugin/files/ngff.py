"""The versions of OME-Zarr (the NGFF specification): how each stores an image, and what it says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError
from ..provenance import is_record
from .ome_axes import LENGTHS, TIMES, Axes

if TYPE_CHECKING:
    import zarr

#: What can be written: 0.5 is Zarr 3, and what today's programs write; 0.4 is Zarr 2, for programs that know no other.
VERSIONS = ("0.5", "0.4")
DEFAULT_VERSION = "0.5"
#: Rows and columns of a chunk.
CHUNK = 512
#: Where the record of how an image was made stands, beside what OME-Zarr prescribes.
RECORD_KEY = "esc"


@dataclass(frozen=True)
class Look:
    """How viewers shall show an image.

    Attributes
    ----------
    limits : tuple of float
        Values that are drawn darkest and brightest.
    color : tuple of float
        Red, green and blue of the brightest, 0 to 1.
    """

    limits: tuple[float, float]
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)


#: How to show an image: all of it, or each channel in the words of OME-Zarr.
Shown = Look | Sequence[Mapping[str, Any]]


def check_version(version: str) -> None:
    """Raise an `ImageError` unless a version can be written here, with the packages that are installed."""
    if version not in VERSIONS:
        raise ImageError(f"there is no OME-Zarr version {version!r} here; choose {' or '.join(VERSIONS)}.")
    try:
        import yaozarrs  # noqa: F401
        import zarr  # noqa: F401
    except ImportError as error:
        needed = "zarr 3 (so Python 3.11) and yaozarrs; install them with: pip install zarr yaozarrs numcodecs"
        raise ImageError(f"OME-Zarr files need {needed} ({error}).") from None


def new_group(store: Any, version: str) -> zarr.Group:
    """Make the group of an image, in a folder or any other store that zarr knows."""
    import zarr

    return zarr.open_group(store, mode="w", zarr_format=2 if version == "0.4" else 3)


def new_level(
    group: zarr.Group, name: str, shape: tuple[int, ...], dtype: np.dtype, letters: str, **pieces: Any
) -> zarr.Array[Any]:
    """Make the array of one level, (..., Y, X), with axes in the order of the file.

    Parameters
    ----------
    **pieces
        Shapes of ``chunks``, and of ``shards`` if there shall be any; `CHUNK` rows and columns of a plane, if none is given.
    """
    pieces = pieces or {"chunks": (*(1,) * (len(shape) - 2), min(CHUNK, shape[-2]), min(CHUNK, shape[-1]))}
    stored = dtype.newbyteorder("<") if dtype.itemsize > 1 else dtype
    kind = _kind_of_zarr_2() if group.metadata.zarr_format == 2 else _kind_of_zarr_3(letters)
    return group.create_array(name=name, shape=shape, dtype=stored, **pieces, **kind)


def _kind_of_zarr_2() -> dict[str, Any]:
    from numcodecs import Blosc

    codec = Blosc("zstd", clevel=3, shuffle=Blosc.SHUFFLE)
    return {"compressors": codec, "chunk_key_encoding": {"name": "v2", "separator": "/"}}


def _kind_of_zarr_3(letters: str) -> dict[str, Any]:
    from zarr.codecs import BloscCodec

    return {"compressors": BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), "dimension_names": list(letters)}


def attributes_of(
    axes: Axes,
    levels: int,
    channels: int,
    name: str,
    version: str,
    look: Shown | None,
    record: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the metadata of an image.

    Parameters
    ----------
    axes : Axes
        In the order of the file.
    levels, channels : int
        How many there are; each level has half the rows and columns of the one before.
    name : str
        Of the image.
    version : str
        One of `VERSIONS`.
    look : Look or sequence of mapping, optional
        How to show it: all of it, or each channel in the words of OME-Zarr.
    record : dict, optional
        How it was made, as `esc_plugin.provenance` records it.
    """
    from yaozarrs import v04, v05

    datasets = [{"path": str(i), "coordinateTransformations": _transforms(axes, i)} for i in range(levels)]
    multiscale = {"name": name, "axes": [_axis(*about) for about in zip(axes.letters, axes.units, strict=True)]}
    if isinstance(look, Look):
        look = [_channel(name, look, i, channels) for i in range(channels)]
    shown = {"channels": list(look)} if look and len(look) == channels else None
    # yaozarrs takes the levels of a mirrored axis for disordered, so it checks them without signs, which are put in after.
    sizes = Axes(axes.letters, tuple(map(abs, axes.scale)), axes.translate, axes.units)
    unsigned = [dataset | {"coordinateTransformations": _transforms(sizes, i)} for i, dataset in enumerate(datasets)]
    image = (v04 if version == "0.4" else v05).Image.model_validate(
        {"multiscales": [multiscale | {"datasets": unsigned}], "omero": shown}
    )
    content: dict[str, Any] = image.model_dump(exclude_none=True)
    content["multiscales"][0]["datasets"] = datasets
    return (content if version == "0.4" else {"ome": content}) | ({RECORD_KEY: record} if record else {})


def _axis(letter: str, unit: str) -> dict[str, str]:
    if letter == "c":
        return {"name": "c", "type": "channel"}
    kind = {"name": letter, "type": "time" if letter == "t" else "space"}
    return kind | ({"unit": unit} if unit in (TIMES if letter == "t" else LENGTHS) else {})


def _transforms(axes: Axes, level: int) -> list[dict[str, Any]]:
    """Return where a level lies: its first pixel is the mean of 2^level ones, and centred between them."""
    steps = [2**level if letter in "yx" else 1 for letter in axes.letters]
    scale = [size * step for size, step in zip(axes.scale, steps, strict=True)]
    about = zip(axes.translate, axes.scale, steps, strict=True)
    translation = [start + size * (step - 1) / 2 for start, size, step in about]
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]


def _channel(name: str, look: Look, index: int, count: int) -> dict[str, Any]:
    low, high = look.limits
    return {
        "label": name if count == 1 else f"{name} {index + 1}",
        "color": "".join(f"{round(255 * value):02X}" for value in _color(look, index, count)),
        "active": True,
        "window": {"start": low, "end": high, "min": low, "max": high},
    }


def _color(look: Look, index: int, count: int) -> Sequence[float]:
    if count == 1:
        return look.color
    return [float(index == k) for k in range(3)] if count == 3 else [1.0] * 3


def record_of(path: Path) -> dict[str, Any]:
    """Return how an OME-Zarr image was made; empty if it doesn't say.

    Raises
    ------
    OSError, ValueError
        If the folder holds no metadata that can be read.
    """
    file = path / "zarr.json"
    if file.is_file():
        attributes = json.loads(file.read_text(encoding="utf-8")).get("attributes", {})
    else:
        attributes = json.loads((path / ".zattrs").read_text(encoding="utf-8"))
    record = attributes.get(RECORD_KEY)
    return record if is_record(record) else {}
