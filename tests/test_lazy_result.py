"""A lazy result: its chunks are those of the whole, made when they are asked for, by whatever scheduler."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from esc_plugin import ImageError, Model, Upscaler
from esc_plugin.arrays.chunks import chunks_for
from esc_plugin.arrays.lazy import Part, lazy_array
from esc_plugin.arrays.parcel import Parcel
from esc_plugin.network import ESC
from esc_plugin.survey import Survey

from .small import random_upscaler, small_config
from .test_region import TO_THE_BIT

dask = pytest.importorskip("dask", reason="needs dask")
da = pytest.importorskip("dask.array", reason="needs dask")


def pixels(*shape: int, dtype: str = "uint8") -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 256, shape)
    return (values / 255 if dtype.startswith("float") else values).astype(dtype)


def assert_same(lazy: Any, whole: np.ndarray, **how: Any) -> None:
    made = lazy.compute(**how)
    assert made.dtype == whole.dtype == lazy.dtype
    assert made.shape == whole.shape == lazy.shape
    if TO_THE_BIT:
        np.testing.assert_array_equal(made, whole)
    else:  # to rounding
        np.testing.assert_allclose(
            made.astype(float), whole.astype(float), rtol=0, atol=1e-5 if whole.dtype.kind == "f" else 1
        )


class Recorded:
    """An array that is read by index, and writes down what is read, by whom, and where it arrives."""

    def __init__(self, values: np.ndarray, log: Path | None = None) -> None:
        self.values, self.log, self.reads = values, log, []
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, index: Any) -> np.ndarray:
        part = self.values[index]
        self.reads.append(part.shape)
        return part

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.log:
            with self.log.open("a") as log:
                log.write(f"{os.getpid()}\n")


LAYOUTS = {
    "YX": (90, 77),
    "YXS": (60, 70, 3),
    "SXY": (4, 70, 60),
    "ZYX": (3, 50, 60),
    "TCYX": (2, 2, 40, 70),
    "ZYXS": (2, 40, 70, 2),
}


SOURCES = ["numpy", "dask", "dask in one block", "zarr"]


@pytest.mark.parametrize(
    ("axes", "source"),
    [*((axes, "dask") for axes in LAYOUTS), *(("TCYX", source) for source in SOURCES if source != "dask")],
)
def test_it_is_the_whole(axes: str, source: str) -> None:
    image, upscaler = pixels(*LAYOUTS[axes]), random_upscaler()
    whole = upscaler(image, axes=axes)
    if source == "zarr":
        zarr = pytest.importorskip("zarr", reason="needs zarr")
        values = zarr.create_array(store={}, data=image, chunks=tuple(min(n, 32) for n in image.shape))
    else:
        blocks = {"dask": tuple(min(n, 24) for n in image.shape), "dask in one block": image.shape}
        values = image if source == "numpy" else da.from_array(image, chunks=blocks[source])
    lazy = upscaler.lazy(values, axes=axes, chunks=(48, 64))
    assert lazy.chunksize[axes.index("Y")] == 48
    assert lazy.chunksize[axes.index("X")] == 64
    assert all(n == 1 for n, letter in zip(lazy.chunksize, axes, strict=True) if letter not in "YXS")
    assert_same(lazy, whole, scheduler="synchronous")
    assert_same(lazy, whole, scheduler="threads", num_workers=3)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 3.3},
        {"scale": 4},
        {"scale": 2.2},
        {"scale": 1, "passes": 1},
        {"size": (41, 30)},
        {"consistency": True},
        {"intensity": "percentile"},
        {"nan": "keep", "intensity": (0.1, 0.8)},
        {"linear_light": True, "scale": 1.5},
    ],
    ids=str,
)
def test_options_of_a_call(options: dict[str, Any]) -> None:
    image, upscaler = pixels(61, 83, dtype="float32"), random_upscaler()
    if "nan" in options:
        image[20:23, 50] = np.nan
    blocks = da.from_array(image, chunks=(20, 30))
    assert_same(upscaler.lazy(blocks, chunks=50, **options), upscaler(image, **options), scheduler="synchronous")


@pytest.mark.parametrize("chunks", [(2, 40, 50), ((1, 2), (100,), (70, 50)), (-1, 64, 64), {0: 3, 1: 50, 2: 50}], ids=str)
def test_chunks_of_all_axes(chunks: Any) -> None:
    image, upscaler = pixels(3, 50, 60), random_upscaler()
    whole = upscaler(image)
    assert_same(upscaler.lazy(image, chunks=chunks), whole, scheduler="synchronous")
    assert_same(upscaler.lazy(da.from_array(image, chunks=(2, 30, 30)), chunks=chunks), whole, scheduler="synchronous")


def sampling_upscaler() -> Upscaler:
    torch.manual_seed(1)
    config = replace(small_config(), head="dysample", dysample_kernel=1)
    network = ESC(config).eval()
    with torch.no_grad():
        for name, parameter in network.to_img.named_parameters():
            if "offset.weight" in name or "offset.bias" in name:
                parameter.mul_(30)
    return Upscaler(Model(network, config, "sampling", "test", ""), device="cpu")


@pytest.mark.parametrize("make", [sampling_upscaler, lambda: random_upscaler(head="lte")], ids=["dysample", "lte"])
def test_heads_that_look_further(make: Any) -> None:
    image, upscaler = pixels(170, 160, dtype="float32"), make()
    lazy = upscaler.lazy(da.from_array(image, chunks=25), chunks=90)
    assert_same(lazy, upscaler(image), scheduler="synchronous")


def test_whoever_looks_further_still_is_told() -> None:
    part = Part(pixels(10, 10), ((20, 30), (40, 50)), (100, 100))
    np.testing.assert_array_equal(part[20:24, 45:50], part.values[:4, 5:])
    np.testing.assert_array_equal(part[21, 45:50], part.values[1, 5:])
    for rows, columns in ((slice(19, 25), slice(40, 50)), (slice(20, 30), slice(45, 51)), (slice(None), slice(40, 50))):
        with pytest.raises(ImageError, match="take larger chunks"):
            part[rows, columns]


def test_a_chunk_reads_what_it_needs() -> None:
    image, upscaler = Recorded(pixels(400, 300)), random_upscaler()
    survey = upscaler.survey(image)
    lazy = upscaler.lazy(image, survey=survey, chunks=64)
    image.reads.clear()
    lazy[128:192, 64:128].compute(scheduler="synchronous")
    ((height, width),) = image.reads
    assert 32 <= height <= 96
    assert 32 <= width <= 96


def test_a_chunk_waits_for_the_blocks_that_it_needs() -> None:
    image, upscaler, read = pixels(400, 300), random_upscaler(), []

    def block(block_info: Any = None) -> np.ndarray:
        (top, bottom), (left, right) = block_info[None]["array-location"]
        read.append((top, left))
        return image[top:bottom, left:right]

    blocks = da.map_blocks(block, chunks=((50,) * 8, (50,) * 6), dtype="uint8", meta=np.empty((0, 0), "uint8"))
    lazy = upscaler.lazy(blocks, survey=upscaler.survey(image), chunks=64)
    read.clear()
    lazy[64:128, 64:128].compute(scheduler="synchronous")
    assert sorted(read) == [(top, left) for top in (0, 50) for left in (0, 50)]


def test_without_a_survey_it_makes_the_exact_one() -> None:
    image, upscaler = pixels(50, 60), random_upscaler()
    told: list[int] = []
    lazy = upscaler.lazy(image, chunks=64, progress=lambda done, total: told.append(done))
    assert told
    given = upscaler.lazy(image, chunks=64, survey=upscaler.survey(image))
    np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), given.compute(scheduler="synchronous"))


def test_a_survey_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image, upscaler, checks = pixels(50, 60), random_upscaler(), []
    survey, check = upscaler.survey(image), Survey.check
    monkeypatch.setattr(Survey, "check", lambda *given: checks.append(check(*given)))
    upscaler.lazy(image, survey=survey, chunks=32).compute(scheduler="synchronous")
    assert len(checks) == 1
    with pytest.raises(ImageError, match="another image"):
        upscaler.lazy(image + 1, survey=survey)


def test_options_that_are_none() -> None:
    upscaler = random_upscaler()
    with pytest.raises(ImageError, match="alpha must be"):
        upscaler.lazy(pixels(20, 20), alpha="none")
    with pytest.raises(ImageError, match="bool image"):
        upscaler.lazy(pixels(20, 20) > 9, consistency=True)


class Broken(Recorded):
    def __getitem__(self, index: Any) -> np.ndarray:
        raise OSError("chunk 3 is gone")


def test_what_cannot_be_read_is_an_image_error() -> None:
    image, upscaler = pixels(50, 60), random_upscaler()
    survey, broken = upscaler.survey(image), Recorded(image)
    lazy = upscaler.lazy(broken, survey=survey)
    broken.__class__ = Broken
    with pytest.raises(ImageError, match="can't read the image: chunk 3 is gone"):
        lazy.compute(scheduler="synchronous")


@pytest.mark.parametrize(
    ("blocks", "shape", "expected"),
    [
        (None, (8000, 9000), (2048, 2048)),
        (None, (300, 5000), (600, 2048)),
        ((256, 256), (8000, 9000), (2048, 2048)),
        ((300, 700), (8000, 9000), (1800, 1400)),
        ((1024, 1024), (8000, 9000), (2048, 2048)),
        ((8000, 9000), (8000, 9000), (2000, 2000)),
        (((100, 300, 7600), (9000,)), (8000, 9000), (1900, 2000)),
        ((1, 9000), (8000, 9000), (2048, 2000)),
    ],
)
def test_chunks_by_default(blocks: Any, shape: tuple[int, int], expected: tuple[int, int]) -> None:
    image = Recorded(np.broadcast_to(np.uint8(0), shape))
    image.chunks = blocks
    rows, columns = chunks_for(None, image, "YX", (2 * shape[0], 2 * shape[1]), np.dtype("uint8"))
    assert (rows[0], columns[0]) == expected
    image.chunks = blocks and blocks[::-1]
    image.shape = shape[::-1]
    assert chunks_for(None, image, "XY", (2 * shape[1], 2 * shape[0]), np.dtype("uint8")) == (columns, rows)


@pytest.mark.parametrize(
    "chunks", [0, -3, (0, 4), (1, 2, 3, 4, 5), "many", (64, 64, 1), 2.5, ((10,), (10,), (3,)), {}], ids=str
)
def test_chunks_that_are_none(chunks: Any) -> None:
    if chunks == {}:  # dask: nothing is cut
        assert chunks_for({}, None, "YXS", (40, 50, 3), np.dtype("uint8")) == ((40,), (50,), (3,))
        return
    with pytest.raises(ImageError, match=r"^chunks="):
        chunks_for(chunks, None, "YXS", (40, 50, 3), np.dtype("uint8"))


class Opened:
    """Counts how often it is opened."""

    count = 0

    def __init__(self) -> None:
        self.state = 1

    def __setstate__(self, state: Any) -> None:
        Opened.count += 1


def test_a_parcel_is_opened_once() -> None:
    Opened.count = 0
    message = pickle.dumps(Parcel(Opened()))
    parcels = [pickle.loads(message) for _ in range(8)]
    assert Opened.count == 0
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda parcel: parcel.value, parcels))
    assert all(value is values[0] for value in values)
    assert Opened.count == 1
    again = pickle.loads(pickle.dumps(parcels[0]))  # from worker to worker
    assert again.value is values[0]
    assert Opened.count == 1


def test_a_task_names_its_place_only() -> None:
    upscaler, image = random_upscaler(), pixels(64, 64)
    survey = upscaler.survey(image)
    for source in (image, da.from_array(image, chunks=16)):
        (lazy,) = dask.optimize(upscaler.lazy(source, survey=survey, chunks=16))
        made = {
            key: task for key, task in dict(lazy.__dask_graph__()).items() if isinstance(key, tuple) and key[0] == lazy.name
        }
        assert len(made) == 64
        assert max(len(pickle.dumps(task)) for task in made.values()) < 3000


def names_the_process(image: Any, place: Any) -> np.ndarray:
    return np.full([stop - start for start, stop in place], os.getpid())


def test_a_graph_has_a_task_for_each_chunk() -> None:
    made = lazy_array(names_the_process, None, (8, 8), np.dtype(int), ((1,) * 8,) * 2, lambda place: place)
    assert len(made.__dask_graph__()) == 65
    assert set(made.compute(scheduler="threads").ravel()) == {os.getpid()}


@pytest.mark.slow
def test_processes(tmp_path: Path) -> None:
    image, upscaler = Recorded(pixels(90, 77), tmp_path / "log"), random_upscaler()
    lazy = upscaler.lazy(image, chunks=64)
    assert_same(lazy, upscaler(image.values), scheduler="processes", num_workers=1)
    pids = (tmp_path / "log").read_text().split()
    assert len(pids) == len(set(pids)) == 1


@pytest.mark.slow
def test_a_cluster(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="needs distributed")
    image, upscaler = Recorded(pixels(90, 77), tmp_path / "log"), random_upscaler()
    whole: np.ndarray = upscaler(image.values)
    lazy = upscaler.lazy(image, chunks=64)
    from_blocks = upscaler.lazy(da.from_array(image.values, chunks=40), chunks=64)
    settings = {
        "n_workers": 2,
        "threads_per_worker": 2,
        "dashboard_address": "127.0.0.1:0",
        "local_directory": str(tmp_path),
    }
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster):
        assert_same(lazy, whole)
        assert_same(from_blocks, whole)
    pids = (tmp_path / "log").read_text().split()
    assert str(os.getpid()) not in pids
    assert len(set(pids)) == len(pids) <= 2  # each of the workers that had something to do opened it once


def test_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esc_plugin.upscaler.find_spec", lambda name: None)
    with pytest.raises(Exception, match="pip install"):
        Upscaler.lazy(random_upscaler(), pixels(9, 9))
