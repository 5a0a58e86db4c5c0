"""Layers of napari: pixels of any shape and type, lazy ones that raise or lie, and whatever else a layer may say."""

from __future__ import annotations

import pickle
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import dask.array as da
import dask.tokenize
import numpy as np
import tifffile
import zarr
from napari.layers import Image, Layer
from safetensors.torch import save_file

from napari_esc.facts import image_array, maybe_channels, traits_of
from napari_esc.geometry import whole_region
from napari_esc.layers import upscale_layers
from napari_esc.texts import html_of, image_text
from napari_esc.writer import write_ome_tiff, write_ome_zarr

from ...small import random_upscaler
from ..case import Case, RefusedError, check
from ..mutate import VALUES

# To name its own objects, dask pickles them, and opens that to see whether it can rely on it: no pickle of a case's.
dask.tokenize.pickle = SimpleNamespace(**vars(pickle) | {"loads": lambda *_, **__: None})  # type: ignore[attr-defined]

SHAPES = (
    *(
        (9, 12),
        (9, 12),
        (3, 9, 12),
        (2, 3, 9, 8),
        (9, 12, 3),
        (9, 12, 4),
        (2, 9, 12, 3),
        (1, 1),
        (1, 7),
        (7, 1),
        (2, 2, 2, 9, 8),
    ),
    *((2, 1, 2, 1, 8, 9), (1, 1, 1, 1, 1, 6, 7), (0, 9), (9, 0, 3), (3, 0, 5)),
)
TYPES = ("u1", "u1", "u2", "f4", "f8", "f2", "i2", "i4", "u4", "bool", "u8", "i8", "c8", "O", ">u2", ">f4")
NUMBERS = (1, 1, 0.5, -1, -0.3, 1e-12, 1e12, 1e300, 1e-300, 0, float("nan"), float("inf"))
UNITS = ("micrometer", "um", "pixel", "second", "meter", "furlong", "nanometer", "parsec", "inch", "degC")
LABELS = ("t", "z", "c", "y", "x", "channel", "TIME", "", "-1", "0", "s", "\u202e", "a" * 500)
NAMES = ("cells", "", "\x1b[31mred", "<b>a</b>", "a/../b", "a\nb", "\u202eright", "x" * 3000, "\ud800", "\0")
FACTORS = (None, None, 2.0, 1.0, 3.7, 0.3, (2.0, 1.0), (1.5, 2.5), 0.0, -1.0, float("nan"), 1e9, 1e-9)


@cache
def model() -> str:
    """Return a weights file of a tiny network."""
    path = Path(tempfile.mkdtemp(), "tiny.safetensors")
    save_file(random_upscaler().model.network.state_dict(), path)
    return str(path)


class Liar:
    """An array that is read by index, and isn't what it says."""

    def __init__(self, values: np.ndarray, how: str) -> None:
        self.values, self.how, self.shape, self.dtype, self.ndim = values, how, values.shape, values.dtype, values.ndim

    def __getitem__(self, index: Any) -> Any:
        """Return something."""
        if self.how == "raises":
            raise {0: OSError("a disk is gone"), 1: ValueError("a\nfew lines"), 2: KeyError(7)}[len(self.shape) % 3]
        part = np.asarray(self.values[index])
        return {"smaller": part[..., :-1], "type": part.astype("f8"), "none": None, "deeper": part[None]}[self.how]


def pixels(rng: Random) -> Any:
    """Return the data of a layer."""
    shape, kind = rng.choice(SHAPES), rng.choice(TYPES)
    values = np.random.default_rng(0).integers(0, 200, shape).astype(kind)
    if values.dtype.kind == "f" and values.size and rng.random() < 0.3:
        values.reshape(-1)[0] = rng.choice((np.nan, np.inf, -np.inf, 6e4))
    form = rng.choice(("array", "array", "array", "dask", "levels", "lazy", "view"))
    if form == "dask":
        return da.from_array(values, chunks=tuple(max(n // 2, 1) for n in shape))
    if form == "lazy":
        how = rng.choice(("raises", "smaller", "type", "none", "deeper"))
        return da.from_array(
            Liar(values, how), chunks=shape, asarray=False, fancy=False, meta=np.empty((0,) * len(shape), kind)
        )
    if form == "levels":
        steps = rng.choice(((1, 2), (1, 2, 4), (1, 3), (1, 1), (1, 7)))
        return [values[(*(slice(None),) * (len(shape) - 2), slice(None, None, n), slice(None, None, n))] for n in steps]
    return np.flip(values).T if form == "view" else values


def case(rng: Random) -> Case:
    """Return a layer, and what is wanted of it."""
    data = pixels(rng)
    ndim = np.ndim(data[0] if isinstance(data, list) else data)
    rgb = ndim > 2 and (data[0] if isinstance(data, list) else data).shape[-1] in (3, 4) and rng.random() < 0.7
    axes = ndim - rgb
    said: dict[str, Any] = {"rgb": rgb, "multiscale": isinstance(data, list)}
    strange = {
        "scale": [rng.choice(NUMBERS) for _ in range(axes)],
        "translate": [rng.choice((0, 5, *NUMBERS)) for _ in range(axes)],
        "rotate": rng.choice((30, 0, 1e9, float("nan"))),
        "shear": [rng.choice(NUMBERS)] * (axes * (axes - 1) // 2),
        "affine": np.array(
            [[rng.choice(NUMBERS) if i == j or rng.random() < 0.2 else 0 for i in range(axes + 1)] for j in range(axes + 1)]
        ),
        "units": [rng.choice(UNITS)] * axes if rng.random() < 0.5 else [rng.choice(UNITS) for _ in range(axes)],
        "axis_labels": [rng.choice(LABELS) for _ in range(axes)],
        "name": rng.choice(NAMES),
        "metadata": {
            "esc": rng.choice((*VALUES, {"software": "esc-plugin 9", "channels": [{}]})),
            "more": rng.choice(VALUES),
        },
        "contrast_limits": rng.choice(((0, 1), (5, 5), (-1e30, 1e30), (10, 200))),
        "opacity": rng.choice((0, 0.5, 1)),
        "blending": rng.choice(("additive", "opaque", "minimum")),
    }
    said |= {name: strange[name] for name in rng.sample(list(strange), rng.choice((0, 1, 1, 2, 3)))}
    asked = {"factor": rng.choice(FACTORS), "isotropic": rng.random() < 0.15, "consistency": rng.random() < 0.2}
    asked["intensity"] = rng.choice(("auto", "auto", "range", "minmax", (0.0, 100.0), (5.0, 5.0), "nonsense"))
    store = rng.choice((None, None, "a.ome.zarr", "a.ome.tif", "save", "save"))
    first = data[0] if isinstance(data, list) else data
    what = f"layer {type(data).__name__} {first.dtype}{first.shape} {sorted(set(said) & set(strange))} {store}"
    return Case(what, {}, lambda folder: attempted(folder, data, said, asked, store))


def attempted(folder: Path, data: Any, said: dict[str, Any], asked: dict[str, Any], store: str | None) -> list[str]:
    """Look at a layer, and save it as it is, or upscale it and put what was made beside it."""
    try:
        layer = Image(data, **said)
        edges = _edges(layer)
    except Exception as error:  # of napari, which then has no such layer
        raise RefusedError(f"napari {type(error).__name__}") from None
    check("\n" not in html_of(image_text(layer).replace("\n", "")), "a name of several lines")
    traits_of(layer), maybe_channels(layer), image_array(layer)
    if store == "save":
        return _saved(folder, layer, said)
    given = {key: value for key, value in asked.items() if value is not None}
    if store:
        given["store"] = folder / store
    (made,) = upscale_layers([layer], model(), device="cpu", **given)
    result = Layer.create(*made)
    dtypes = layer.dtype.name, result.dtype.name
    check(result.ndim == layer.ndim and dtypes[0] == dtypes[1], f"{dtypes[0]} became {dtypes[1]} of {result.ndim} axes")
    _compare(edges, _edges(result))
    return [store] if store else []


def _edges(layer: Image) -> np.ndarray:
    """Return the two outermost corners of a layer in the world."""
    ends = [(-0.5, part.stop - 0.5) for part in whole_region(layer)]
    return np.array([layer.data_to_world([end[i] for end in ends]) for i in (0, 1)])


def _compare(expected: np.ndarray, found: np.ndarray) -> None:
    """Check that a result lies where its source lies."""
    room = 1e-6 * (np.abs(expected).max() + np.abs(np.diff(expected, axis=0)).max())
    if np.isfinite(expected).all() and np.isfinite(room):
        check(np.abs(found - expected).max() <= room, f"it lies at {found.tolist()}, not at {expected.tolist()}")


def _saved(folder: Path, layer: Image, said: dict[str, Any]) -> list[str]:
    """Save a layer; what was saved are its pixels."""
    write, name = ((write_ome_tiff, "b.ome.tif"), (write_ome_zarr, "b.ome.zarr"))[len(said) % 2]
    write(str(folder / name), [layer.as_layer_data_tuple()])
    first = layer.data[0] if layer.multiscale else layer.data
    found = (
        tifffile.imread(folder / name) if name.endswith("tif") else zarr.open_group(str(folder / name), mode="r")["0"][...]
    )
    check(
        found.size == first.size and found.dtype.name == first.dtype.name,
        f"{first.dtype} {first.shape} became {found.shape}",
    )
    values = np.sort(np.asarray(first).astype(first.dtype), None)
    check(np.array_equal(np.sort(found, None), values, equal_nan=found.dtype.kind == "f"), "other values")
    return [name]
