"""The page's engine, in node: its parts against the package's own arithmetic, and all of it against `Upscaler`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from PIL import Image

from esc_plugin import Upscaler
from esc_plugin.export.export import export
from esc_plugin.export.order import Order
from esc_plugin.files import read_provenance
from esc_plugin.network import EscConfig
from esc_plugin.provenance import facts_of

from ..small import small_config
from ..test_export import CONFIGS, random_model
from .engine_cases import file_of, write_grid, write_json, write_model, write_pictures, write_pngs, write_values

ROOT = Path(__file__).parents[2]
TESTS = Path(__file__).parent / "engine"
#: The first version that has what browsers have.
NODE = 20
#: Pictures whose sides are no multiples of four are filled up by it.
FOLDING = CONFIGS["ESC-RIB, nearest+conv x1, unshuffle"]
#: A run that takes longer hangs.
SECONDS = 300


@pytest.fixture(scope="session")
def node() -> str:
    """Return the program that runs JavaScript."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("needs node, which runs the engine's tests in JavaScript")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version[1:].split(".")[0]) < NODE:
        pytest.skip(f"needs node {NODE} or later, not {version.strip()}")
    return found


@pytest.fixture(scope="session")
def runtime(runtime_files: dict[str, Path]) -> Path:
    """Return the folder of ONNX Runtime Web."""
    return runtime_files["ort.wasm.min.mjs"].parent


def run(node: str, name: str, folder: Path) -> None:
    """Run a file of tests with the cases of a folder."""
    environment = os.environ | {"ESC_ENGINE_CASES": str(folder), "NODE_NO_WARNINGS": "1"}
    done = subprocess.run(
        [node, "--test", str(TESTS / name)], env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# skipped 0" in done.stdout


def test_pictures_are_cut_as_here(node: str, tmp_path: Path) -> None:
    write_grid(tmp_path)
    run(node, "grid.test.js", tmp_path)


def test_values_and_pixels_are_those_of_here(node: str, tmp_path: Path) -> None:
    write_values(tmp_path)
    run(node, "values.test.js", tmp_path)


def test_regions_are_the_whole(node: str, tmp_path: Path) -> None:
    run(node, "upscale.test.js", tmp_path)


def test_a_model_opens_or_says_why_not(node: str, tmp_path: Path) -> None:
    run(node, "network.test.js", tmp_path)


def test_png_is_read_and_written(node: str, tmp_path: Path) -> None:
    write_pngs(tmp_path)
    run(node, "png.test.js", tmp_path)
    for samples in (1, 2, 3, 4):
        path = tmp_path / f"written{samples}.png"
        with Image.open(path) as image:
            image.load()
            assert image.tobytes() == (tmp_path / f"written{samples}.pixels").read_bytes()
        record = json.loads((tmp_path / f"written{samples}.json").read_text(encoding="utf-8"))
        assert read_provenance(path) == record
        assert facts_of(record)["Image"] == record["image"]


@pytest.mark.parametrize("config", [small_config(), FOLDING], ids=["classic x2", "unshuffle 4, x1"])
def test_pixels_are_those_of_the_upscaler(config: EscConfig, node: str, runtime: Path, tmp_path: Path) -> None:
    model = random_model(config, "small")
    about = write_model(tmp_path, model, runtime)
    about["pictures"] = write_pictures(tmp_path, Upscaler(model, device="cpu", precision="float32"))
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    about["broken"] = file_of(tmp_path / "broken.onnx")
    write_json(tmp_path / "worker.json", about)
    run(node, "worker.test.js", tmp_path)
    for picture in about["pictures"]:
        record = read_provenance(tmp_path / f"{picture['name']}.result.png")
        assert record["model"] == model.name
        assert record["sha256"] == model.sha256
        assert record["image"] == f"{picture['name']}.png"
        assert record.get("survey", {}).get("method") == picture.get("method")


def test_the_recipe_on_the_page_about_exports_works(node: str, runtime: Path, tmp_path: Path) -> None:
    model, scale = random_model(small_config(), "small"), 2
    export(model, tmp_path / "regions.onnx", form="regions", check_it=False)
    order = Order(model, "regions")
    height, width = 3 * order.reach + 5, 2 * order.reach + order.window + 3
    image = torch.rand(1, 3, height, width)
    (tmp_path / "picture.raw").write_bytes(image.numpy().tobytes())
    (tmp_path / "expected.raw").write_bytes(model.network(image).numpy().tobytes())
    (layers, channels), step = order.means, order.reach + order.window // 2
    about = {"height": height, "width": width, "scale": scale, "layers": layers, "channels": channels, "step": step}
    write_json(tmp_path / "recipe.json", about | {"reach": order.reach, "window": order.window, "runtime": str(runtime)})
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (tmp_path / "recipe.js").write_text(text.partition("```js\n")[2].partition("```")[0], encoding="utf-8")
    run(node, "recipe.test.mjs", tmp_path)
