"""An image file through the whole program: looked at, read, upscaled by a tiny network, written, and read again."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

from esc_plugin.batch.batch import Batch
from esc_plugin.batch.jobs import Job
from esc_plugin.errors import EscError
from esc_plugin.files import Picture, read_picture, read_provenance
from esc_plugin.files.formats import FORMATS, written_as
from esc_plugin.files.traits import traits_of_file

from ..small import random_upscaler
from .case import Case, check

#: So small that every accepted picture is quick, and what claims more is refused.
MAX_PIXELS = 40_000
#: Planes of an array, each of which is upscaled for itself.
MAX_PLANES = 100
#: Levels by which a lossy file of noise may differ in the mean; an unrelated picture is 85 away.
LOSSY = 40
BATCH = Batch(random_upscaler(), max_pixels=MAX_PIXELS)


def image_case(what: str, name: str, content: bytes, target: str) -> Case:
    """Return the case of an image file."""
    return Case(what, {name: content}, upscaled(name, target))


def upscaled(name: str, target: str) -> Callable[[Path], list[str]]:
    """Return an attempt that upscales a file or folder, and checks what was written."""

    def attempt(folder: Path) -> list[str]:
        source, result = folder / name, folder / target
        read_provenance(source)
        picture = _looked_at(source)
        if _too_much(picture):  # Zarr has no limit: it is read by region, and can be cancelled
            check(np.size(picture.pixels[tuple(slice(0, 2) for _ in picture.pixels.shape)]), "it has no first pixels")
            return []
        made = BATCH.upscale_file(Job(source, result))
        _check_sizes(picture, made)
        _check_again(made, result)
        return [target]

    return attempt


def _too_much(picture: Picture) -> bool:
    planes = math.prod(n for axis, n in zip(picture.axes, picture.pixels.shape, strict=True) if axis not in "YXS")
    return math.prod(picture.pixels.shape) > MAX_PIXELS * 4 or planes > MAX_PLANES


def _looked_at(source: Path) -> Picture:
    """Return the picture, read whole; read by region, and told without reading, it must be the same."""
    picture = read_picture(source, MAX_PIXELS)
    if _too_much(picture):
        return picture
    lazy = read_picture(source, MAX_PIXELS, lazy=True)
    _, size = traits_of_file(source, MAX_PIXELS)
    # What stands behind the pixels, such as how to turn them, is seen only by who reads them.
    check(size in (picture.size, picture.size[::-1]), f"its size is told as {size} and read as {picture.size}")
    check(_same(np.asarray(picture.pixels), np.asarray(lazy.pixels)), "read by region it is another picture")
    return picture


def _check_sizes(picture: Picture, made: Picture) -> None:
    scale = BATCH.upscaler.model.scale
    expected = tuple(n * scale if axis in "YX" else n for axis, n in zip(picture.axes, picture.pixels.shape, strict=True))
    check(tuple(made.pixels.shape) == expected, f"the result is {made.pixels.shape}, not {expected}")
    check(made.pixels.dtype.name == picture.pixels.dtype.name, f"{picture.pixels.dtype} became {made.pixels.dtype}")


def _check_again(made: Picture, result: Path) -> None:
    form = written_as(result)
    try:
        again = read_picture(result, 100 * MAX_PIXELS)
    except EscError as error:
        check(False, f"what was written can't be read: {error}")
    if form and form.exact:
        check(_same(np.asarray(again.pixels), np.asarray(made.pixels)), f"{again.axes} {again.pixels.shape} is read again")
    else:
        check(again.size == made.size, f"{made.size} is read again as {again.size}")
        values, others = np.asarray(made.pixels), np.asarray(again.pixels)
        if values.dtype == others.dtype == np.uint8 and values.shape == others.shape and values.shape[-1] not in (2, 4):
            away = np.abs(values.astype(int) - others).mean()
            check(away < LOSSY, f"values are {away:.0f} levels away when it is read again, in the mean")


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays hold the same values, whatever is said of axes of length 1."""
    kind = a.dtype.kind == b.dtype.kind and a.dtype.itemsize == b.dtype.itemsize
    return kind and a.size == b.size and np.array_equal(a.reshape(-1), b.reshape(-1), equal_nan=a.dtype.kind == "f")


def pick_target(rng: Random, usual: str) -> str:
    """Return a name for the result: mostly of the same format, and now and then of any other that is written to a file."""
    others = [suffix for form in FORMATS if form.write for suffix in form.suffixes[:1]]
    return f"out/result{rng.choice((usual, usual, usual, '.tif', rng.choice(others), rng.choice(others)))}"
