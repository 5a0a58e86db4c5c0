"""Parsers of our own, each as a function of bytes, and good bytes to begin with: what `guided.py` finds new ways through.

A target returns, or raises an error of ours; all else is a fault.
"""

from __future__ import annotations

import io
import json
import tempfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml
from PIL import Image

from esc_plugin.catalog.cards import card_lines
from esc_plugin.catalog.hub_names import parse_source
from esc_plugin.catalog.manifest import read_manifest
from esc_plugin.catalog.record import RECORD, read_record
from esc_plugin.cli import parse
from esc_plugin.cluster.journal import Journal
from esc_plugin.cluster.launch import launched
from esc_plugin.errors import EscError
from esc_plugin.files import read_picture, read_provenance, write_picture
from esc_plugin.files.ome_multiscale import Multiscale, objects
from esc_plugin.files.png import kept_chunks
from esc_plugin.files.xmp import with_record
from esc_plugin.files.zarr_claim import JOB
from esc_plugin.files.zarr_store import ShardedImage
from esc_plugin.measure.degradation import Degradation
from esc_plugin.strict_yaml import parse_yaml
from esc_plugin.survey import Survey
from esc_plugin.texts import parse_bytes
from esc_plugin.train.recipe import Recipe, RecipeError, read_recipe
from esc_plugin.typed_yaml import FieldError, build
from esc_plugin.video.upscaling import record_in
from esc_plugin.weights.archive import read_archive
from esc_plugin.weights.card import from_metadata, read_metadata, stated_config
from esc_plugin.weights.checkpoint import _check_tensors, _read_safetensors
from esc_plugin.weights.pickle_check import _Reader

from .kinds import archive, cluster, manifest, pickle, png, recipe, survey, tiff, xmp
from .pictures import cmyk, ome, pixels
from .pictures import png as made_png
from .pictures import tiff as made_tiff
from .upscaling import MAX_PIXELS
from .weights import files

FOLDER = Path(tempfile.mkdtemp(prefix="esc-guided-"))
PLACE = FOLDER / "a"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _tree(data: bytes) -> Any:
    """Return what JSON says; an error of ours if it is none, which isn't what a target looks for."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise EscError("no JSON.") from None


def of_safetensors(data: bytes) -> None:
    """Read a header and its tensors, and what the file says of itself."""
    PLACE.write_bytes(data)
    metadata = read_metadata(PLACE)
    stated_config(metadata)
    assert all(len(line) < 200 for line in card_lines(from_metadata(metadata)))
    _check_tensors(_read_safetensors(data, PLACE)[0], PLACE, len(data))


def of_archive(data: bytes) -> None:
    """Read an archive, and compare with what Python sees of it."""
    try:
        entries = {name: bytes(content) for name, content in read_archive(data).items()}
    except ValueError:
        return
    with suppress(NotImplementedError):  # of a version of the format that Python doesn't know
        archive.compare(data, entries)


def of_pickle(data: bytes) -> None:
    """Look through an index; anything that comes up refuses the file, so only time and memory count."""
    try:
        _Reader(data, "archive/data/", {f"archive/data/{i}": 64 for i in range(60)}).load()
    except Exception:
        return


def of_tiff(data: bytes) -> None:
    """Read a TIFF whole and by region."""
    PLACE.write_bytes(b"II*\0" + data[4:] if data[:2] not in (b"II", b"MM") else data)
    for lazy in (False, True):
        picture = read_picture(PLACE, MAX_PIXELS, lazy=lazy)
        assert len(picture.axes) == len(picture.pixels.shape)


def of_ome(data: bytes) -> None:
    """Write a part of an image whose OME-XML is this."""
    PLACE.write_bytes(made_tiff(pixels(2, 6, 6), description=data))
    _written_again((2, 12, 12), ".ome.tif", ".ome.zarr", start=(1, 2))


def of_exif(data: bytes) -> None:
    """Write an image whose EXIF is this."""
    PLACE.write_bytes(made_png(6, 4, 8, 2, (b"eXIf", data), data=bytes(4 * 19)))
    _written_again((8, 12, 3), ".png", ".jpg", ".tif")


def of_icc(data: bytes) -> None:
    """Write an image of colours whose profile is this, and one of inks."""
    chunk = b"iCCP", b"a\0\0" + zlib.compress(data)
    PLACE.write_bytes(made_png(6, 4, 8, 2, chunk, data=bytes(4 * 19)))
    _written_again((8, 12, 3), ".png", ".jpg", ".tif")
    PLACE.write_bytes(cmyk(icc_profile=data[:60_000]))
    _written_again((10, 12, 3), ".png")


def _written_again(shape: tuple[int, ...], *suffixes: str, start: tuple[int, int] = (0, 0)) -> None:
    """Read the image, and write it as if it had grown; what was written must be readable."""
    picture = read_picture(PLACE, MAX_PIXELS)
    size = (shape[-2] + start[0], shape[-1] + start[1]) if start != (0, 0) else None
    for suffix in suffixes:
        target = FOLDER / f"b{suffix}"
        try:
            write_picture(target, picture.enlarged(np.zeros(shape, np.uint8), size, start))
        except EscError:
            continue
        assert read_picture(target, MAX_PIXELS).pixels.size == np.prod(shape)
        target.unlink()


def of_yaml(data: bytes) -> None:
    """Read YAML as a recipe."""
    values = parse_yaml(_text(data), "a")
    if isinstance(values, dict):
        build(Recipe, values)


def of_manifest(data: bytes) -> None:
    """Read a manifest."""
    PLACE.with_suffix(".yaml").write_bytes(data)
    for entry in read_manifest(PLACE.with_suffix(".yaml")).models:
        card_lines(entry)


def of_recipe(data: bytes) -> None:
    """Read a recipe file."""
    PLACE.with_suffix(".yaml").write_bytes(data)
    read_recipe(PLACE.with_suffix(".yaml"))


def of_png(data: bytes) -> None:
    """Look for the chunks that are kept, and for a record."""
    PLACE.write_bytes(data)
    assert all(len(name) == 4 for name, _ in kept_chunks(PLACE))
    read_provenance(PLACE)


def of_survey(data: bytes) -> None:
    """Read a survey."""
    Survey.from_json(_text(data))


def of_journal(data: bytes) -> None:
    """Read what several processes have found so far."""
    Journal.read(_text(data))


def of_claim(data: bytes) -> None:
    """Open a store whose job is this."""
    (PLACE.with_suffix(".zarr") / JOB).parent.mkdir(parents=True, exist_ok=True)
    (PLACE.with_suffix(".zarr") / JOB).write_bytes(data)
    ShardedImage.open(PLACE.with_suffix(".zarr"), json.loads(cluster.claim())["job"]).blocks()


def of_ngff(data: bytes) -> None:
    """Read what an OME-Zarr says of its image."""
    tree = _tree(data)
    about = objects(tree.get("multiscales") if isinstance(tree, dict) else None, "multiscales")
    for entry in about:
        made = Multiscale(entry, tree.get("omero"), tree.get("version"))
        notes = made.notes(3, made.path)
        assert len(notes.axes.letters) == len(notes.axes.scale) == 3


def of_xmp(data: bytes) -> None:
    """Split a packet."""
    xmp.attempted(data)


def of_tags(data: bytes) -> None:
    """Look for a record in a film's tags."""
    assert isinstance(record_in(SimpleNamespace(metadata={"Comment": _text(data)})), dict)  # type: ignore[arg-type]


def of_downloads(data: bytes) -> None:
    """Read what was noted of downloads."""
    (FOLDER / RECORD).write_bytes(data)
    read_record(FOLDER)


def of_launch(data: bytes) -> None:
    """Read which of several processes this is."""
    tree = _tree(data)
    launched({str(name): str(value) for name, value in tree.items()} if isinstance(tree, dict) else {})


def of_options(data: bytes) -> None:
    """Read a text as each option that holds more than a word."""
    text = _text(data)
    parse_source(text)
    readers = (parse.parse_box, parse.parse_intensity, parse.parse_place, parse.parse_part, parse.parse_region)
    for read in (*readers, parse_bytes, Degradation.parse):
        _one_line(read, text)


def _one_line(read: Callable[[str], object], text: str) -> None:
    """Read a text; an error must be a line for a person."""
    said = "taken"
    try:
        read(text)
    except EscError as error:
        said = str(error)
    assert 0 < len(said) < 1000
    assert "\n" not in said


OPTIONS = ("3840x2160", "4K", "percentile:1,99", "0,4095;0,900", "120,80", "3/16", "0:10,5:15", "4GB", "bin=2,photons=200")
SLURM = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NODELIST": "gpu[003-008,12],big1", "MASTER_PORT": "9"}
NGFF = {
    "multiscales": [
        {
            "axes": [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"],
            "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}]}],
        }
    ],
    "omero": {"channels": [{"label": "a", "color": "00FF00", "window": {"start": 0, "end": 9, "min": 0, "max": 10}}]},
    "version": "0.4",
}


def _ome() -> bytes:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(ome(lambda text: text))) as tif:
        return (tif.pages.first.description or "").encode()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[274], exif[271], exif[256] = 6, "maker", 6
    exif.get_ifd(34665).update({36867: "2020:01:01 00:00:00", 40962: 6})
    exif.get_ifd(34853).update({1: "N", 2: (1.0, 2.0, 3.0)})
    return exif.tobytes()[6:]


def _profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], Iterable[bytes]]]] = {
    "safetensors": (of_safetensors, files),
    "archive": (of_archive, archive.good),
    "pickle": (of_pickle, lambda: [b"".join(pickle.index()[0])]),
    "tiff": (of_tiff, tiff.good),
    "ome": (of_ome, lambda: [_ome()]),
    "exif": (of_exif, lambda: [_exif()]),
    "icc": (of_icc, lambda: [_profile()]),
    "yaml": (of_yaml, lambda: [yaml.safe_dump(tree).encode() for tree in (*recipe.good(), manifest.MANIFEST)]),
    "manifest": (of_manifest, lambda: [yaml.safe_dump(manifest.MANIFEST).encode()]),
    "recipe": (of_recipe, lambda: [yaml.safe_dump(tree).encode() for tree in recipe.good()]),
    "png": (of_png, png.good),
    "survey": (of_survey, lambda: [survey.written()]),
    "journal": (of_journal, lambda: [cluster.journal().encode()]),
    "claim": (of_claim, lambda: [cluster.claim()]),
    "ngff": (of_ngff, lambda: [json.dumps(NGFF).encode()]),
    "xmp": (of_xmp, lambda: [xmp.PACKET.encode(), with_record(xmp.PACKET.encode(), xmp.RECORD) or b""]),
    "tags": (of_tags, lambda: [b'mine\n{"software": "esc-plugin 1", "image": "a.mp4"}']),
    "downloads": (of_downloads, lambda: [json.dumps({"a.safetensors": {"sha256": 64 * "0", "url": "https://a"}}).encode()]),
    "launch": (of_launch, lambda: [json.dumps(SLURM).encode()]),
    "options": (of_options, lambda: [text.encode() for text in OPTIONS]),
}


def tried(name: str, data: bytes) -> None:
    """Give bytes to a target; errors of ours are as good as a result."""
    try:
        TARGETS[name][0](data)
    except (EscError, FieldError, RecipeError):
        return
