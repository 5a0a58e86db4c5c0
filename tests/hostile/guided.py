"""``python -m tests.hostile.guided TARGET [OPTIONS of libFuzzer]``: bytes that find new ways through the parsers of our own.

It needs the package atheris, which the project doesn't otherwise use. What it finds becomes a case of a kind, or a test.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["esc_plugin", "tifffile", "yaml"]):
    import tifffile  # noqa: F401
    import yaml

    from esc_plugin.errors import EscError
    from esc_plugin.files import read_picture
    from esc_plugin.files.png import kept_chunks
    from esc_plugin.strict_yaml import parse_yaml
    from esc_plugin.survey import Survey
    from esc_plugin.train.recipe import Recipe, RecipeError
    from esc_plugin.typed_yaml import FieldError, build
    from esc_plugin.weights.archive import read_archive
    from esc_plugin.weights.checkpoint import _check_tensors, _read_safetensors
    from esc_plugin.weights.pickle_check import _Reader

from .kinds import archive, manifest, pickle, png, recipe, survey, tiff, xmp
from .upscaling import MAX_PIXELS
from .weights import files

PLACE = Path(tempfile.mkdtemp(prefix="esc-guided-"), "a")


def of_safetensors(data: bytes) -> None:
    """Read a header and its tensors."""
    _check_tensors(_read_safetensors(data, PLACE)[0], PLACE, len(data))


def of_archive(data: bytes) -> None:
    """Read an archive, and compare with what Python sees of it."""
    try:
        entries = {name: bytes(content) for name, content in read_archive(data).items()}
    except ValueError:
        return
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


def of_yaml(data: bytes) -> None:
    """Read YAML as a recipe."""
    values = parse_yaml(data.decode("utf-8", "surrogateescape"), "a")
    if isinstance(values, dict):
        build(Recipe, values)


def of_png(data: bytes) -> None:
    """Look for the chunks that are kept."""
    PLACE.write_bytes(data)
    assert all(len(name) == 4 for name, _ in kept_chunks(PLACE))


def of_survey(data: bytes) -> None:
    """Read a survey."""
    Survey.from_json(data.decode("utf-8", "surrogateescape"))


def of_xmp(data: bytes) -> None:
    """Split a packet."""
    xmp.attempted(data)


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], Iterable[bytes]]]] = {
    "safetensors": (of_safetensors, files),
    "archive": (of_archive, archive.good),
    "pickle": (of_pickle, lambda: [b"".join(pickle.index()[0])]),
    "tiff": (of_tiff, tiff.good),
    "yaml": (of_yaml, lambda: [yaml.safe_dump(tree).encode() for tree in (*recipe.good(), manifest.MANIFEST)]),
    "png": (of_png, png.good),
    "survey": (of_survey, lambda: [survey.written()]),
    "xmp": (of_xmp, lambda: [xmp.PACKET.encode()]),
}


def main() -> None:
    """Run libFuzzer until its options say to stop, or something is found."""
    name, options = sys.argv[1], sys.argv[2:]
    attempt, good = TARGETS[name]
    corpus = Path(tempfile.mkdtemp(prefix=f"esc-guided-{name}-"))
    for i, data in enumerate(good()):
        (corpus / str(i)).write_bytes(data)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")

    def tried(data: bytes) -> None:
        try:
            attempt(data)
        except (EscError, FieldError, RecipeError):
            return

    atheris.Setup(
        [sys.argv[0], f"-artifact_prefix={PLACE.parent}/", "-timeout=10", "-rss_limit_mb=3000", *options, str(corpus)], tried
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
