"""Results that are filled block by block: the same pixels, whoever fills them, and after whatever end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esc_plugin import Upscaler
from esc_plugin.files import read_picture, zarr_store
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_zarr import save_ome_zarr
from esc_plugin.survey import Survey

from .commands import inside_the_test

zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 isn't installed; it needs Python 3.11")

#: So that an image of some hundred pixels has several blocks.
SMALL_SHARDS = (
    "import esc_plugin.files.zarr_store as store; store.SHARDS['0.5'] = 128; "
    "store.ShardedImage.create.__func__.__kwdefaults__['chunk'] = 64; "
)
RUN = SMALL_SHARDS + "from esc_plugin.cli import main; main()"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 4000, (2, 90, 150)).astype(np.uint16)
    axes = Axes("cyx", (1.0, 0.5, 0.25), (0.0, 10.0, 20.0), ("", "micrometer", "micrometer"))
    save_ome_zarr(tmp_path / "in.ome.zarr", values, axes, name="cells")
    return tmp_path / "in.ome.zarr"


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler("esc-nano-x2", device="cpu")


@pytest.fixture
def whole(image: Path, upscaler: Upscaler) -> np.ndarray:
    result: np.ndarray = upscaler(np.asarray(read_picture(image).pixels[...]), axes="CYX")
    return result


def command(*arguments: object, before: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, *before, "-c", RUN, *map(str, arguments)]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    monkeypatch.setitem(zarr_store.SHARDS, "0.5", 128)
    monkeypatch.setitem(zarr_store.ShardedImage.create.__func__.__kwdefaults__, "chunk", 64)  # type: ignore[attr-defined]
    return inside_the_test(monkeypatch, capsys)


def level(path: Path, name: str = "0") -> np.ndarray:
    values: np.ndarray = zarr.open_group(str(path), mode="r")[name][...]
    return values


def test_a_store_is_what_the_call_returns_and_says_how_it_was_made(
    run: Callable[..., str], image: Path, whole: np.ndarray, tmp_path: Path
) -> None:
    target = tmp_path / "out.ome.zarr"
    assert "300 x 180" in run("upscale", image, "-o", target)
    np.testing.assert_array_equal(level(target), whole)
    about = json.loads((target / "zarr.json").read_text())["attributes"]
    [multiscale] = about["ome"]["multiscales"]
    scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
    assert multiscale["name"] == "cells"
    assert scale["scale"] == [1.0, 0.25, 0.125]
    # The corner of the first pixel lies where it lay.
    assert translation["translation"] == [0.0, 10.0 - 0.25 + 0.125, 20.0 - 0.125 + 0.0625]
    assert Survey.from_json(json.dumps(about["esc"]["survey"])).method == "exact"
    assert not (target / "esc").exists()
    assert "is there already" in run("upscale", image, "-o", target, code=1)
    assert "skipped" in run("upscale", image, "-o", target, "--skip-existing")
    run("upscale", image, "-o", target, "--overwrite")


@pytest.mark.slow
def test_workers_make_the_same(run: Callable[..., str], image: Path, whole: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="dask.distributed isn't installed")
    run("upscale", image, "-o", tmp_path / "out.ome.zarr", "--workers", 2)
    np.testing.assert_array_equal(level(tmp_path / "out.ome.zarr"), whole)


def test_parts_in_any_order_are_finished_once_all_are_there(
    run: Callable[..., str], image: Path, whole: np.ndarray, tmp_path: Path
) -> None:
    target, survey = tmp_path / "out.ome.zarr", tmp_path / "survey.json"
    assert "survey" in run("upscale", image, "-o", target, "--part", "1/3", code=1)
    run("survey", image, "-o", survey)
    for part in ("3/3", "1/3"):
        run("upscale", image, "-o", target, "--survey", survey, "--part", part)
    assert "blocks" in run("upscale", image, "-o", target, "--survey", survey, "--finish", code=1)
    assert "isn't finished" in run("check", image, target, code=1)  # it is no image before it is whole
    run("upscale", image, "-o", target, "--part", "2/3")  # the survey is in the store
    run("upscale", image, "-o", target, "--finish")
    np.testing.assert_array_equal(level(target), whole)
    assert not (target / "esc").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_whoever_is_killed_goes_on(run: Callable[..., str], image: Path, whole: np.ndarray, tmp_path: Path) -> None:
    target = tmp_path / "out.ome.zarr"
    for _ in range(3):
        process = subprocess.Popen(command("upscale", image, "-o", target), stdout=-3, stderr=-3)
        ended = process.poll
        wait_for(lambda ended=ended: any(target.glob("esc/done/0/*")) or ended() is not None)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    if target.exists() and (target / "esc").exists():
        run("upscale", image, "-o", target)
    np.testing.assert_array_equal(level(target), whole)
    assert not (target / "esc").exists()


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_processes_started_together_make_the_same(image: Path, whole: np.ndarray, tmp_path: Path, count: int) -> None:
    script, target = tmp_path / "run.py", tmp_path / "out.ome.zarr"
    script.write_text(RUN.replace("; ", "\n"))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), str(script)]
    subprocess.run([*torchrun, "upscale", str(image), "-o", str(target)], check=True)
    np.testing.assert_array_equal(level(target), whole)
    assert not (target / "esc").exists()


def test_what_only_a_store_can_take_is_refused_for_files(run: Callable[..., str], image: Path, tmp_path: Path) -> None:
    assert ".ome.zarr" in run("upscale", image, "-o", tmp_path / "a.tif", "--workers", 2, code=1)
    assert "a region goes to a file" in run("upscale", image, "-o", tmp_path / "a.zarr", "--region", "0:9,0:9", code=1)
    assert "such as 3/16" in run("upscale", image, "-o", tmp_path / "a.zarr", "--part", "4/3", code=1)
    assert "reads it" in run("upscale", image, "-o", image, "--overwrite", code=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.ome.zarr"]


def test_another_job_does_not_go_on_with_it(run: Callable[..., str], image: Path, tmp_path: Path) -> None:
    target, survey = tmp_path / "out.ome.zarr", tmp_path / "survey.json"
    run("survey", image, "-o", survey)
    run("upscale", image, "-o", target, "--survey", survey, "--part", "1/2")
    said = run("upscale", image, "-o", target, "--consistency", code=1)
    assert "consistency" in said
    other = run("upscale", image, "-o", target, "--survey", survey, "--scale", 3, "--part", "1/2", code=1)
    assert "size" in other or "target" in other


def wait_for(ready: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not ready() and time.monotonic() < end:
        time.sleep(0.02)
