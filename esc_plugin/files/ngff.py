"""The versions of OME-Zarr (the NGFF specification): how each stores an image, and what it says of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError
from ..provenance import SOFTWARE, is_record, words_of
from ..version import __version__
from .ome_axes import LENGTHS, TIMES, Axes
from .ome_notes import Channel

if TYPE_CHECKING:
    import zarr

#: What can be written: 0.5 is Zarr 3, and what today's programs write; 0.4 is Zarr 2, for programs that know no other.
VERSIONS = ("0.5", "0.4")
DEFAULT_VERSION = "0.5"
#: What reading and writing need, and how to get it.
NEEDED = "zarr 3 (so Python 3.11) and yaozarrs; install them with: pip install zarr yaozarrs numcodecs"
#: Rows and columns of a chunk.
CHUNK = 512
#: Where the record of how an image was made stands, beside what OME-Zarr prescribes.
RECORD_KEY = "esc"


def check_version(version: str) -> None:
    """Raise an `ImageError` unless a version can be written here, with the packages that are installed."""
    if version not in VERSIONS:
        raise ImageError(f"there is no OME-Zarr version {version!r} here; choose {' or '.join(VERSIONS)}.")
    try:
        import yaozarrs  # noqa: F401
        import zarr  # noqa: F401
    except ImportError as error:
        raise ImageError(f"OME-Zarr files need {NEEDED} ({error}).") from None


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
    channels: Sequence[Channel],
    name: str,
    version: str,
    record: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the metadata of an image.

    Parameters
    ----------
    axes : Axes
        In the order of the file.
    levels : int
        How many there are; each has half the rows and columns of the one before.
    channels : sequence of Channel
        One for each entry of the axis c, one if there is no such axis. OME-Zarr takes them only if all have limits.
    name : str
        Of the image.
    version : str
        One of `VERSIONS`.
    record : dict, optional
        How it was made, as `esc_plugin.provenance` records it.
    """
    from yaozarrs import v04, v05

    datasets = [{"path": str(i), "coordinateTransformations": _transforms(axes, i)} for i in range(levels)]
    multiscale: dict[str, Any] = {
        "name": _encodable(name),
        "axes": [_axis(*about) for about in zip(axes.letters, axes.units, strict=True)],
    }
    multiscale |= {"type": "mean", "metadata": _about_levels(record)}
    entries = [_omero(channel, name, channel.limits) for channel in channels if channel.limits]
    shown = {"channels": entries} if entries and len(entries) == len(channels) else None
    # yaozarrs takes the levels of a mirrored axis for disordered, so it checks them without signs, which are put in after.
    sizes = Axes(axes.letters, tuple(map(abs, axes.scale)), axes.translate, axes.units)
    unsigned = [dataset | {"coordinateTransformations": _transforms(sizes, i)} for i, dataset in enumerate(datasets)]
    image = (v04 if version == "0.4" else v05).Image.model_validate(
        {"multiscales": [multiscale | {"datasets": unsigned}], "omero": shown}
    )
    content: dict[str, Any] = image.model_dump(exclude_none=True)
    content["multiscales"][0]["datasets"] = datasets
    return (content if version == "0.4" else {"ome": content}) | ({RECORD_KEY: record} if record else {})


def _encodable(text: str) -> str:
    """Return a text as JSON can hold it: names of files may have bytes that are no text."""
    return text.encode("utf-8", "replace").decode()


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


def _about_levels(record: dict[str, Any] | None) -> dict[str, str]:
    """Return how the levels were made: the one place of OME-Zarr for words, so they say how the image was made too."""
    words = "Each level holds the means of 2 x 2 pixels of the one before."
    about = {"method": "esc_plugin.arrays.pyramid.halved", "version": f"{SOFTWARE} {__version__}"}
    return {"description": f"{words_of(record)}\n{words}" if record else words} | about


def _omero(channel: Channel, name: str, limits: tuple[float, float]) -> dict[str, Any]:
    """Return a channel in the words of OME-Zarr, which wants a colour and limits."""
    low, high = channel.extent or limits
    return {
        "label": _encodable(channel.name or name),
        "color": "".join(f"{round(255 * value):02X}" for value in channel.color or (1.0, 1.0, 1.0)),
        "active": channel.active,
        "window": {"start": limits[0], "end": limits[1], "min": low, "max": high},
    }


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
