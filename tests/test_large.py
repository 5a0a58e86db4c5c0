"""Results that are filled block by block: the same pixels, whoever fills them, and after whatever end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import esc_plugin
from esc_plugin import Upscaler
from esc_plugin.catalog.by_default import default_model
from esc_plugin.catalog.traits import Traits
from esc_plugin.files import read_picture, zarr_store
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_image import save_image
from esc_plugin.survey import Survey

from .commands import inside_the_test

zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 isn't installed; it needs Python 3.11")

BUNDLED = Path(esc_plugin.__file__).parent / "catalog" / "bundled" / "esc-nano-x2.safetensors"
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
    save_image(tmp_path / "in.ome.zarr", values, axes, name="cells")
    return tmp_path / "in.ome.zarr"


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler(default_model(Traits(deep=True)).entry.name, device="cpu")  # which commands take where none is named


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
def test_processes_started_together_make_the_same(image: Path, whole: np.ndarray, tmp_path: Path) -> None:
    script, target = tmp_path / "run.py", tmp_path / "out.ome.zarr"
    script.write_text(RUN.replace("; ", "\n"))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    subprocess.run([*torchrun, "upscale", str(image), "-o", str(target)], check=True)
    np.testing.assert_array_equal(level(target), whole)
    assert not (target / "esc").exists()


def test_what_only_a_store_can_take_is_refused_for_files(run: Callable[..., str], image: Path, tmp_path: Path) -> None:
    assert ".ome.zarr" in run("upscale", image, "-o", tmp_path / "a.tif", "--workers", 2, code=1)
    assert "of a result goes to a file" in run("upscale", image, "-o", tmp_path / "a.zarr", "--region", "0:9,0:9", code=1)
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


@pytest.mark.parametrize("target", ["in.ome.zarr", "in.ome.zarr/0", "in.ome.zarr/more/out.ome.zarr"])
@pytest.mark.parametrize("weights", [False, True], ids=["name", "file"])  # only the file itself tells its scale
def test_a_source_is_never_removed_with_a_target_around_it(
    run: Callable[..., str], image: Path, tmp_path: Path, target: str, weights: bool
) -> None:
    source = image / "0" if target == "in.ome.zarr" else image
    before = {path: path.read_bytes() for path in image.rglob("*") if path.is_file()}
    model = ["-m", shutil.copy(BUNDLED, tmp_path / "model.safetensors")] if weights else []
    said = run("upscale", source, "-o", tmp_path / target, *model, "--overwrite", code=1)
    assert "the same run reads" in said
    assert {path: path.read_bytes() for path in image.rglob("*") if path.is_file()} == before


@pytest.fixture
def no_survey(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a survey fail, which takes hours for large images: what can be known before it must be said before it."""
    monkeypatch.setattr(Upscaler, "_survey", lambda *_, **__: pytest.fail("it was surveyed"))


@pytest.mark.usefixtures("no_survey")
def test_a_place_that_is_taken_is_known_before_the_survey(run: Callable[..., str], image: Path, tmp_path: Path) -> None:
    shutil.copytree(image, tmp_path / "taken.ome.zarr")
    (tmp_path / "foreign.ome.zarr").mkdir()
    (tmp_path / "foreign.ome.zarr" / "notes.txt").write_text("mine")
    assert "is there already" in run("upscale", image, "-o", tmp_path / "taken.ome.zarr", code=1)
    assert "is there already" in run("upscale", image, "-o", tmp_path / "taken.ome.zarr", "--finish", code=1)
    assert "no image of this program" in run("upscale", image, "-o", tmp_path / "foreign.ome.zarr", code=1)
    said = run("upscale", image, "-o", tmp_path / "a.ome.zarr", "--scheduler", "nonsense", code=1)
    assert "can't reach the scheduler 'nonsense'" in said
    assert not (tmp_path / "a.ome.zarr").exists()


@pytest.mark.usefixtures("no_survey")
def test_an_address_that_fails_is_one_line(run: Callable[..., str], image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionError("nobody listens")

    monkeypatch.setattr("esc_plugin.files.objects.Objects.names", refuse)
    said = run("upscale", image, "-o", "memory://bucket/out.ome.zarr", code=1)
    assert "can't write 'memory://bucket/out.ome.zarr': nobody listens" in said


def test_a_survey_and_what_contradicts_it(run: Callable[..., str], image: Path, tmp_path: Path) -> None:
    run("survey", image, "-o", tmp_path / "s.json")
    given = "upscale", image, "--survey", tmp_path / "s.json", "-o", tmp_path / "a.tif"
    assert "not both" in run(*given, "--sampled", 20_000, code=1)
    assert "leave --precision out" in run(*given, "--precision", "bfloat16", code=1)
    target = tmp_path / "out.ome.zarr"
    assert "leave that out" in run("upscale", image, "-o", target, "--finish", "--sampled", 20_000, code=1)
    run("upscale", image, "-o", target, "--survey", tmp_path / "s.json", "--part", "1/2")
    assert "a survey that is exact, not sampled" in run("upscale", image, "-o", target, "--sampled", 20_000, code=1)
    assert "block" in run("upscale", image, "-o", target)


@pytest.mark.parametrize("damage", [lambda data: b"\xff" + data, lambda data: data[:-9], lambda _: b"[" * 100_000])
def test_a_damaged_survey_in_a_store_is_one_line(
    damage: Callable[[bytes], bytes], run: Callable[..., str], image: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.ome.zarr"
    run("survey", image, "-o", tmp_path / "s.json")
    run("upscale", image, "-o", target, "--survey", tmp_path / "s.json", "--part", "1/2")
    kept = target / "esc" / "survey.json"
    kept.write_bytes(damage(kept.read_bytes()))
    assert "whose survey is damaged" in run("upscale", image, "-o", target, code=1)
    run("upscale", image, "-o", target, "--survey", tmp_path / "s.json")


def test_the_record_names_the_precision_of_the_survey(run: Callable[..., str], image: Path, tmp_path: Path) -> None:
    run("survey", image, "-o", tmp_path / "s.json", "--precision", "bfloat16")
    said = run("upscale", image, "--survey", tmp_path / "s.json", "-o", tmp_path / "a.tif", "--region", "0:9,0:9", "-v")
    assert "precision bfloat16" in said
    assert "precision bfloat16" in run("upscale", image, "--survey", tmp_path / "s.json", "-o", tmp_path / "a.zarr", "-v")


def test_colours_stay_colours_and_what_is_lost_is_said(run: Callable[..., str], tmp_path: Path) -> None:
    image, target = np.random.default_rng(0).integers(0, 256, (40, 50, 4), np.uint8), tmp_path / "new" / "photo_x2.zarr"
    Image.fromarray(image).save(tmp_path / "photo.png", icc_profile=b"a profile", dpi=(300, 300))
    # The folder is made, as it is for files.
    said = run("upscale", tmp_path / "photo.png", "-o", f"{target.parent}/", "--format", "zarr")
    assert "1 block" in said
    assert "1 blocks" not in said
    assert "OME-Zarr has no place for its colour profile, resolution" in said
    channels = json.loads((target / "zarr.json").read_text())["attributes"]["ome"]["omero"]["channels"]
    shown = {channel["label"]: channel["color"] for channel in channels if channel["active"]}
    assert shown == {"red": "FF0000", "green": "00FF00", "blue": "0000FF"}
    assert channels[3]["label"] == "alpha"
    assert [channel["window"]["end"] for channel in channels] == [255] * 4
    assert len(json.loads(run("check", tmp_path / "photo.png", target, "--json"))) == 4


def test_a_result_is_compared_whatever_the_order_of_its_axes(run: Callable[..., str], tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (2, 3, 20, 30)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata={"axes": "ZCYX"})
    run("upscale", tmp_path / "a.tif", "-o", tmp_path / "a.ome.zarr", "--consistency")
    assert level(tmp_path / "a.ome.zarr").shape == (3, 2, 40, 60)
    found = json.loads(run("check", tmp_path / "a.tif", tmp_path / "a.ome.zarr", "--json"))
    assert [entry["worst"] for entry in found] == [0, 0, 0]


def test_a_store_ends_in_its_suffix_whatever_a_shell_adds(run: Callable[..., str], image: Path, tmp_path: Path) -> None:
    run("upscale", image, "-o", f"{tmp_path}/out.ome.zarr/", "-s", 0.5)
    assert "is there already" in run("upscale", image, "-o", f"{tmp_path}/out.ome.zarr/", "-s", 0.5, code=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.ome.zarr", "out.ome.zarr"]


@pytest.mark.parametrize("positions", [{}, {"PositionX": [7.0] * 2, "PositionXUnit": ["µm"] * 2}])
def test_a_region_of_an_ome_tiff_lies_where_it_lay(
    run: Callable[..., str], tmp_path: Path, positions: dict[str, Any]
) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (2, 60, 80)).astype(np.uint16)
    about = {
        "axes": "CYX",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.25,
        "PhysicalSizeYUnit": "µm",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", image, metadata=about | {"Plane": positions})
    run("upscale", tmp_path / "a.ome.tif", "-o", tmp_path / "b.ome.tif", "--region", "20:50,40:90")
    ome_types = pytest.importorskip("ome_types", reason="needs ome-types to check OME-XML against its schema")
    planes = ome_types.from_tiff(tmp_path / "b.ome.tif").images[0].pixels.planes
    first = positions.get("PositionX", [0.0])[0]
    assert [(plane.the_c, plane.position_x, plane.position_y) for plane in planes] == [
        (c, first + 40 * 0.25, 20 * 0.125) for c in (0, 1)
    ]
    assert {plane.position_x_unit.value for plane in planes} == {"µm"}


def wait_for(ready: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not ready() and time.monotonic() < end:
        time.sleep(0.02)
