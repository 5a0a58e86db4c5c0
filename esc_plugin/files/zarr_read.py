"""Reading Zarr: OME-Zarr images of all versions up to 0.5, and plain arrays, in folders and behind addresses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..arrays.layout import DTYPES, Layout, layout_of
from ..errors import ImageError
from ..provenance import is_record
from ..texts import quoted
from .address import MARKERS, Url, is_zarr
from .file_array import reason_of
from .ngff import NEEDED, RECORD_KEY
from .ome_axes import LONG_NAMES
from .ome_multiscale import Multiscale
from .picture import Picture, check_lazy_size
from .zarr_array import ZarrArray
from .zarr_claim import JOB
from .zarr_codecs import check_codecs

#: What describes a Zarr array or group.
DESCRIPTIONS = (*MARKERS, ".zattrs")
#: Of one of these files; that of a plate of thousands of images is some megabytes long.
MOST_METADATA = 2**26
#: Packages that open addresses; fsspec names its own for all others.
PROTOCOLS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
PROTOCOLS |= {"abfs": "adlfs", "abfss": "adlfs", "az": "adlfs"}


def read_zarr(place: Path | Url) -> Picture:
    """Read what an image says of itself; its pixels are read when they are indexed, so that no size is too large.

    Raises
    ------
    ImageError
        If it isn't one image, or is damaged. Other errors are those of zarr.
    """
    node = opened(place)
    attributes = node.attrs.asdict()
    if _is_array(node):
        _check_array(node)
        axes = _plain_axes(node)
        return _picture(place, "", node, axes, attributes)
    multiscale = _multiscale(place, node, attributes)
    array = _finest(place, node, multiscale.path)
    notes = multiscale.notes(array.ndim, place.name)
    picture = _picture(place, multiscale.path, array, notes.axes.letters.upper(), attributes)
    picture.ome = notes
    return picture


def record_in_zarr(place: Path | Url) -> dict[str, Any]:
    """Return how an image was made; empty if it doesn't say."""
    return _record(opened(place).attrs.asdict())


def _record(attributes: Mapping[str, Any]) -> dict[str, Any]:
    record: Any = attributes.get(RECORD_KEY)
    return record if is_record(record) else {}


def opened(place: Path | Url) -> Any:
    """Open an array or a group.

    Raises
    ------
    ImageError
        If a package is missing for that, or there is none.
    """
    zarr = _library(str(place))
    if isinstance(place, Path):
        _check_metadata(place)
        place = place.absolute()
    try:
        # Metadata of other nodes is not asked for: it may be of any size.
        try:
            return zarr.open_group(str(place), mode="r", use_consolidated=False)
        except (zarr.errors.ContainsArrayError, zarr.errors.GroupNotFoundError, FileNotFoundError, KeyError, TypeError):
            return zarr.open_array(str(place), mode="r")
    except ImportError as error:
        raise _lacks(place, reason_of(error)) from None
    except FileNotFoundError:
        raise ImageError("there is no Zarr array or group at that address.") from None


def _library(name: str) -> Any:
    try:
        import zarr
        from zarr.abc.store import Store  # noqa: F401  # zarr 2 has none
    except ImportError as error:
        raise ImageError(f"Zarr files need {NEEDED} ({reason_of(error)}).") from None
    return zarr


def _lacks(place: Path | Url, reason: str) -> ImageError:
    package = PROTOCOLS.get(place.protocol) if isinstance(place, Url) else None
    install = " ".join(filter(None, ("pip install fsspec", package)))
    return ImageError(f"it needs a package that isn't installed: {install} ({reason}).")


def _check_metadata(folder: Path) -> None:
    """Raise an `ImageError` for metadata that isn't in files, or too long to be read."""
    for path in (folder / name for name in DESCRIPTIONS):
        if path.exists() and not path.is_file():
            raise ImageError(f"its {path.name!r} is no file.")
        if path.is_file() and path.stat().st_size > MOST_METADATA:
            raise ImageError(f"its {path.name!r} is longer than {MOST_METADATA // 2**20} MiB.")


def _is_array(node: Any) -> bool:
    return hasattr(node, "dtype")


def _multiscale(place: Path | Url, node: Any, attributes: Mapping[str, Any]) -> Multiscale:
    """Return the one image of a group."""
    about = attributes.get("ome", attributes)
    if not isinstance(about, Mapping):
        raise ImageError(f"its metadata is damaged: 'ome' must be an object, not {quoted(about)}.")
    named = f"name one of them, such as '{place}/"
    if "plate" in about:
        wells = _entries(about["plate"], "wells")
        raise ImageError(f"it is a plate of {len(wells)} wells; {named}{_path(wells) or 'A/1'}/0'.")
    if "well" in about:
        images = _entries(about["well"], "images")
        raise ImageError(f"it is a well of {len(images)} images; {named}{_path(images) or '0'}'.")
    if "image-label" in about or "labels" in about:
        raise ImageError("it holds labels, which are numbers of objects and no picture.")
    if "bioformats2raw.layout" in about and "multiscales" not in about:
        raise ImageError(f"it is a collection of images; {named}0'.")
    if "multiscales" not in about and isinstance(place, Path) and (place / JOB).exists():
        raise ImageError("it is a result that isn't finished; the command that began it goes on with it.")
    if "multiscales" not in about:
        raise ImageError(f"it is a Zarr group without an OME image; name an array in it{_an_array(place, node)}.")
    found = about["multiscales"]
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        raise ImageError(f"its metadata is damaged: 'multiscales' must be a list of objects, not {quoted(found)}.")
    if len(found) != 1:
        raise ImageError(f"it holds {len(found)} images ('multiscales'), not one; name the array of one of them.")
    version = about.get("version", found[0].get("version"))
    return Multiscale(found[0], about.get("omero"), version)


def _entries(about: Any, name: str) -> list[Any]:
    found = about.get(name) if isinstance(about, Mapping) else None
    return found if isinstance(found, list) else []


def _path(entries: list[Any]) -> str | None:
    path = entries[0].get("path") if entries and isinstance(entries[0], Mapping) else None
    return path if isinstance(path, str) and len(path) < 80 else None


def _an_array(place: Path | Url, node: Any) -> str:
    if isinstance(place, Url):
        return ""
    inside = sorted(path.name for path in place.iterdir() if path.is_dir() and is_zarr(path))
    return f", such as '{place / inside[0]}'" if inside else ""


def _finest(place: Path | Url, group: Any, path: str) -> Any:
    if isinstance(place, Path):
        _check_metadata(place / path)
    try:
        array = group[path]
    except KeyError:
        raise ImageError(f"its finest level {path!r} is missing.") from None
    except Exception as error:  # of damaged metadata, of the store
        raise ImageError(f"its finest level {path!r} can't be opened: {reason_of(error)}.") from None
    if not _is_array(array):
        raise ImageError(f"its finest level {path!r} is no array.")
    _check_array(array)
    return array


def _check_array(array: Any) -> None:
    """Raise an `ImageError` for an array that is no image, or harmful."""
    check_codecs(array)
    if array.dtype.name not in DTYPES:
        raise ImageError(f"an image can't be {quoted(str(array.dtype))}; it can be {', '.join(DTYPES)}.")
    if array.ndim < 2:
        raise ImageError(f"an image needs two axes or more, none of them empty; this one has shape {array.shape}.")
    check_lazy_size("it", array.shape, array.chunks, array.dtype.itemsize)


def _plain_axes(array: Any) -> str:
    """Return the axes of an array without OME: as its dimensions are called if they are known, or what is usual."""
    names = [str(name).lower() for name in getattr(array.metadata, "dimension_names", None) or ()]
    letters = "".join(LONG_NAMES.get(name, name) for name in names).upper()
    known = len(letters) == array.ndim == len(set(letters)) and {"Y", "X"} <= set(letters) <= set("TCZYXS")
    return Layout(array.shape, letters).axes if known else layout_of(array).axes


def _picture(place: Path | Url, path: str, array: Any, axes: str, attributes: Mapping[str, Any]) -> Picture:
    store = str(place) if isinstance(place, Url) else str(place.absolute())
    pixels = ZarrArray(store, path, tuple(array.shape), array.dtype.name)
    return Picture(pixels, axes, "OME-Zarr", provenance=_record(attributes))
