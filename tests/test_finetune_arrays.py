"""Fine-tuning on arrays, as a program with layers does it: what is held out, what is told, and what stays behind."""

from __future__ import annotations

import logging
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from esc_plugin import Upscaler
from esc_plugin.catalog.load import load_model
from esc_plugin.catalog.menu import list_models
from esc_plugin.catalog.new_model import new_model_folder
from esc_plugin.errors import Cancelled, EscError, ImageError
from esc_plugin.measure.scores import mean
from esc_plugin.network import ESC
from esc_plugin.train import split as split_module
from esc_plugin.train.finetune import HeldOutGain, ImageArray, Wish, finetune
from esc_plugin.train.held_out import HeldOut
from esc_plugin.train.split import held_out_text, split
from esc_plugin.train.training import Training
from esc_plugin.weights.model import Model

from .small import FakeClock, small_config
from .test_finetune import DARK, spots


@pytest.fixture
def start(tmp_path: Path) -> str:
    """Return the path of a small model that knows nothing."""
    config = small_config()
    torch.manual_seed(0)
    model = Model(ESC(config).eval(), config, "start", "nowhere", "", {"license": "MIT", "family": "ESC-small"})
    return str(model.save_pretrained(tmp_path / "start"))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ESC_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


def stack(count: int = 20, size: int = 48) -> np.ndarray:
    """Return a dim stack (Z, Y, X) of a 16-bit camera, with a hot pixel."""
    planes = np.stack([spots(i, size) for i in range(count)]).astype(np.uint16) + 100
    planes[count // 2, 5, 5] = 60_000
    return planes


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    """Return planes (..., 64, 128) of uint8, each full of its number."""
    numbers = np.arange(np.prod(shape), dtype=np.uint8).reshape(*shape, 1, 1)
    return np.broadcast_to(numbers, (*shape, 64, 128)).copy()


def numbers_in(images: Any) -> list[int]:
    return [int(plane[0, 0, 0]) for plane in images]


@pytest.mark.parametrize("count", [5, 6, 8, 12, 31, 100])
def test_neighbours_of_what_is_held_out_are_not_trained_on(count: int, tmp_path: Path) -> None:
    seen, unseen = (numbers_in(images) for images in split([ImageArray("a", numbered((count,)), "ZYX")], tmp_path))
    assert seen
    assert unseen
    assert all(b == a + 1 for a, b in pairwise(unseen))
    between = min(abs(a - b) for a in seen for b in unseen) - 1
    assert between >= (2 if count > 8 else 1 if count > 5 else 0)
    assert between >= (0.1 * count if count > 8 else 0)
    assert len(seen) >= len(unseen)


def test_stacks_of_files_are_divided_alike(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbered((12,)), photometric="minisblack", metadata={"axes": "ZYX"})
    seen, unseen = (numbers_in(images) for images in split([tmp_path / "a.tif"], tmp_path / "parts"))
    assert (seen, unseen) == ([0, 1, 2, 9, 10, 11], [5, 6])


@pytest.mark.parametrize(("axes", "shape"), [("TYX", (12,)), ("CYX", (7,)), ("TCYX", (6, 5)), ("TZYX", (6, 4))])
def test_frames_and_channels_show_the_same_things_and_are_cut_alike(
    axes: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    images = numbered(shape)
    images[..., 96:] += 100
    seen, unseen = split([ImageArray("a", images, axes)], tmp_path)
    assert {plane.shape for plane in seen} == {(64, 96, 1)}
    assert {plane.shape for plane in unseen} == {(64, 32, 1)}
    assert numbers_in(seen) == [number - 100 for number in numbers_in(unseen)] == list(range(np.prod(shape)))


def test_z_is_divided_for_all_frames_and_channels(tmp_path: Path) -> None:
    seen, unseen = (numbers_in(images) for images in split([ImageArray("a", numbered((2, 10, 3)), "TZCYX")], tmp_path))
    plane = lambda number: number // 3 % 10  # noqa: E731
    assert {plane(n) for n in unseen} == {4, 5}
    assert {plane(n) for n in seen} == {0, 1, 8, 9}
    assert (len(seen), len(unseen)) == (4 * 6, 2 * 6)


def test_of_many_arrays_whole_ones_are_held_out_unless_they_are_stacks(tmp_path: Path) -> None:
    flat = [ImageArray(str(i), numbered((1,))[0] + i, "YX") for i in range(10)]
    seen, unseen = split(flat, tmp_path / "flat")
    assert (len(seen), len(unseen)) == (8, 2)
    assert sorted(numbers_in(seen) + numbers_in(unseen)) == list(range(10))
    # Layers of one sample: what is held out of one must not be seen in another.
    channels = [ImageArray(str(i), numbered((10,)), "ZYX") for i in range(5)]
    seen, unseen = split(channels, tmp_path / "channels")
    assert set(numbers_in(seen)).isdisjoint(numbers_in(unseen))
    assert {entry.name for entry in seen.entries} == {entry.name for entry in unseen.entries} == set("01234")


@pytest.mark.parametrize("from_file", [True, False])
@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_parts_keep_the_levels_of_the_whole(axes: str, from_file: bool, tmp_path: Path) -> None:
    image = stack()
    image[..., 40:] = 100 + (image[..., 40:] - 100) // 8  # dim where a part of each plane is held out,
    image[9:11] = 100 + (image[9:11] - 100) // 8  # and where planes are
    image[10, 5, 5] = 60_000
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="minisblack", metadata={"axes": axes})
    parts = split([path if from_file else ImageArray("a", image, axes)], tmp_path / "parts")
    low, high = Upscaler.levels(image, axes=axes)[0].pair
    assert high < 1000  # whatever the hot pixel says
    unit = np.rint(((image - np.float32(low)) / np.float32(high - low)).clip(0, 1) * 65535)
    unseen = np.stack([plane[..., 0] for plane in parts[1]])
    expected = unit[8:12] if axes == "ZYX" else unit[..., 36:]
    assert np.abs(unseen - expected).max() <= 1


def test_each_channel_has_levels_of_its_own(tmp_path: Path) -> None:
    bright = spots(0, 128).astype(np.float32) * 100
    channels = np.stack([bright, bright / 1000])
    together = split([ImageArray("a", channels, "CYX")], tmp_path / "a")[0]
    apart = split([ImageArray(str(i), c, "YX") for i, c in enumerate(channels)], tmp_path / "b")[0]
    for images in (together, apart):
        assert all(plane.max() > 0.8 * 65535 and plane.min() < 0.2 * 65535 for plane in images)


def test_stated_levels_are_those_of_the_network(tmp_path: Path) -> None:
    image = spots(0, 128)
    (plane,) = split([ImageArray("a", image, "YX", (10, 110))], tmp_path)[0]
    expected = ((image[:, :96].astype(np.float64) - 10) / 100).clip(0, 1) * 65535
    assert np.abs(plane[..., 0] - expected).max() <= 1
    (plane,) = split([ImageArray("a", image, "YX")], tmp_path)[0]
    assert np.array_equal(plane[..., 0], image[:, :96])  # 8 bits are as they are


class Recorded:
    """An array that counts the pixels that are read of it."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype, self.read = shape, np.dtype(np.uint8), 0

    def __getitem__(self, index: Any) -> np.ndarray:
        part = np.broadcast_to(np.uint8(7), self.shape)[index]
        self.read += part.size
        return part


@pytest.mark.parametrize("shape", [(1000, 64, 64), (1, 3000, 4000)])
def test_of_what_is_large_a_part_is_read(shape: tuple[int, ...], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(split_module, "MOST_PIXELS", 2**18)
    images = Recorded(shape)
    seen, unseen = split([ImageArray("a", images, "ZYX")], tmp_path)
    assert 2**17 <= images.read <= 2**19 + 2**15
    assert min(unseen[0].shape[:2]) >= 64
    assert len(seen) >= len(unseen) >= 1


def test_a_model_of_layers_is_in_the_menu_at_once(start: str, models: Path) -> None:
    gains: list[HeldOutGain] = []
    folder = new_model_folder("cells-x2")
    images = [ImageArray("DAPI\n/ raw", stack(), "ZYX"), ImageArray("GFP", stack()[::-1] // 4, "ZYX")]
    wish = Wish(start, iterations=40, options=DARK, purpose="fluorescence")
    outcome = finetune(images, wish, folder, gain=gains.append)
    assert outcome.problem == ""
    found = mean(outcome.scores)
    assert [score.image for score in outcome.scores] == ["DAPI / raw", "GFP"]
    assert (gains[0].iteration, gains[0].now) == (0, gains[0].start)
    assert gains[-1] == HeldOutGain(40, found.after, found.before, found.bicubic)
    entry = next(entry for entry in list_models() if entry.name == "cells-x2")
    assert (entry.scale, entry.purpose, entry.license, entry.family) == (2, "fluorescence", "MIT", "ESC-small")
    assert "12 planes of DAPI / raw, GFP" in entry.training or "24 planes of DAPI / raw, GFP" in entry.training
    assert f"crops held out of DAPI / raw, GFP, mean PSNR {found.after:.2f} dB" in entry.training
    assert entry.gains[0].db == round(found.after - found.bicubic, 2)
    model = load_model("cells-x2")
    assert (model.name, model.scale, model.card["purpose"]) == ("cells-x2", 2, "fluorescence")
    assert {path.name for path in models.iterdir()} == {"cells-x2"}
    for again in ("cells-x2", "Cells-X2"):
        with pytest.raises(EscError, match=r"there is a model 'cells-x2' already; choose another name"):
            new_model_folder(again)
    before = (folder / "cells-x2.safetensors").read_bytes()
    with pytest.raises(EscError, match="would be overwritten"):
        finetune(images, wish, folder)
    assert (folder / "cells-x2.safetensors").read_bytes() == before


def test_a_folder_that_somebody_made_meanwhile_is_left_alone(start: str, models: Path) -> None:
    folder = new_model_folder("cells-x2")

    def made(found: HeldOutGain) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("theirs")

    with pytest.raises(EscError, match=r"holds 'config\.json', which would be overwritten"):
        finetune([ImageArray("a", stack(), "ZYX")], Wish(start, iterations=2, keep=True), folder, gain=made)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"config.json": "theirs"}
    assert list(models.iterdir()) == [folder]


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a/b",
        "a\\b",
        "..",
        ".hidden",
        "-x",
        "a.",
        "con",
        "NUL.x2",
        "x" * 51,
        "esc-nano-x2",
        "ESC-Nano-X2",
        "a:b",
    ],
)
def test_names_that_models_cannot_have(name: str, models: Path) -> None:
    with pytest.raises(EscError) as caught:
        new_model_folder(name)
    assert repr(name) in str(caught.value)
    assert not models.exists()


def test_a_name_that_is_taken_by_a_file_or_folder(models: Path) -> None:
    (models / "mine").mkdir(parents=True)
    with pytest.raises(EscError, match="is there already"):
        new_model_folder("mine")
    assert new_model_folder("Zellen-äöü_2.x2") == models / "Zellen-äöü_2.x2"


def test_the_gain_is_told_while_it_trains_and_costs_little(start: str, tmp_path: Path, monkeypatch) -> None:
    clock, told = FakeClock(monkeypatch), []
    clock.takes(0.25, HeldOut, "_upscaled")
    clock.takes(1, Training, "training_step")
    wish = Wish(start, minutes=3, keep=True)
    finetune([ImageArray("a", stack(), "ZYX")], wish, tmp_path / "out", gain=lambda g: told.append((clock.now, g)))
    assert clock.now <= 180
    assert 4 < len(told) < 12
    assert [g.iteration for _, g in told] == sorted(g.iteration for _, g in told)
    assert 8 * 0.25 * len(told) < 0.12 * 180
    for _, found in told:
        assert found.start < found.bicubic
    assert told[-2][1].now > told[-2][1].start


class After:
    """True from the given call on."""

    def __init__(self, calls: int) -> None:
        self.calls, self.asked = calls, 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked > self.calls


def test_cancelled_wherever_it_is_nothing_is_left(start: str, models: Path) -> None:
    images, wish = [ImageArray("a", stack(10), "ZYX")], Wish(start, iterations=4, keep=True)
    counting = After(10**9)
    finetune(images, wish, new_model_folder("whole"), cancel=counting)
    assert counting.asked > 10 + 2 * 4 + 4  # planes, crops before and after, iterations
    for calls in range(0, counting.asked, 5):
        with pytest.raises(Cancelled):
            finetune(images, wish, new_model_folder("cancelled"), cancel=After(calls))
    assert [path.name for path in models.iterdir()] == ["whole"]


def test_a_training_is_cancelled_after_the_iteration(start: str, tmp_path: Path, monkeypatch) -> None:
    done, count = [], Training.count
    monkeypatch.setattr(Training, "count", lambda training: done.append(1) or count(training))
    wish = Wish(start, iterations=500)
    with pytest.raises(Cancelled):
        finetune([ImageArray("a", stack(), "ZYX")], wish, tmp_path / "out", cancel=lambda: len(done) >= 3)
    assert len(done) == 3


@pytest.mark.parametrize("calls", [0, 9])
def test_stopped_it_keeps_what_it_learned(calls: int, start: str, tmp_path: Path) -> None:
    wish = Wish(start, iterations=500, keep=True)
    outcome = finetune([ImageArray("a", stack(), "ZYX")], wish, tmp_path / "out", stop=After(calls))
    assert (outcome.iterations, outcome.interrupted) == (calls + 1, True)
    assert bool(outcome.weights) == outcome.gained == (tmp_path / "out").exists()
    assert outcome.gained or not calls


def state() -> dict[str, Any]:
    """Return what belongs to the whole program."""
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "gradients": torch.is_grad_enabled(),
        "chance": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002  # it must not be touched
        "filters": list(warnings.filters),
        "show": warnings.showwarning,
        "levels": [logging.getLogger(name).level for name in ("", "lightning", "lightning.pytorch", "lightning.fabric")],
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "environment": dict(os.environ),
        "hook": threading.excepthook,
        "alive": {thread.name for thread in threading.enumerate()},
        "children": multiprocessing.active_children(),
    }


def in_a_thread(function: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("place", [in_a_thread, lambda function: function()], ids=["thread", "here"])
def test_it_leaves_the_program_as_it_was(place: Callable, start: str, tmp_path: Path, capfd) -> None:
    during: list[dict[str, Any]] = []

    def noted() -> bool:
        during.append(state())
        return False

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = state()
        outcome = place(
            lambda: finetune(
                [ImageArray("a", stack(), "ZYX")], Wish(start, iterations=3, keep=True), tmp_path / "out", cancel=noted
            )
        )
        after = state()
    assert outcome.iterations == 3
    assert {name for name in before if after[name] != before[name]} == set()
    assert not [str(warning.message) for warning in caught if "lightning" in warning.filename]
    assert capfd.readouterr() == ("", "")
    for name in ("dtype", "deterministic", "benchmark", "children", "environment"):
        assert all(found[name] == before[name] for found in during)
    if place is in_a_thread:
        assert all(found["signals"] == before["signals"] for found in during)


def test_a_thread_may_change_the_filters_meanwhile(start: str, tmp_path: Path) -> None:
    """Filters of the program that are set while it trains stay, and those that are taken back stay away."""

    def changed(found: HeldOutGain) -> None:
        warnings.filterwarnings("ignore", message="set meanwhile")

    with warnings.catch_warnings():
        finetune([ImageArray("a", stack(), "ZYX")], Wish(start, iterations=2), tmp_path / "out", gain=changed)
        assert any(entry[1] and entry[1].pattern == "set meanwhile" for entry in warnings.filters)


def test_what_cannot_be_learned_from_is_one_line_before_work(start: str, tmp_path: Path) -> None:
    def refused(images: list[Any]) -> str:
        with pytest.raises(ImageError) as caught:
            finetune(images, Wish(start, iterations=1), tmp_path / "out")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no image to learn from" in refused([])
    twice = ImageArray("DAPI", stack(), "ZYX")
    assert "two images are called 'DAPI'" in refused([twice, twice])
    broken = np.full((20, 48, 48), np.nan, np.float32)
    assert refused([ImageArray("DAPI", broken, "ZYX")]).startswith("can't train on 'DAPI': the image holds NaN")
    assert "can't train on 'DAPI': axes 'YX' of shape" in refused([ImageArray("DAPI", stack(), "YX")])
    assert "'DAPI' leaves 20 x 80 pixels; 32 x 32 are the least" in refused([ImageArray("DAPI", spots(0), "YX")])
    assert not (tmp_path / "out").exists()


def child(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_the_extra_it_says_what_to_install() -> None:
    told = child(
        "import sys, importlib.util as u, esc_plugin.errors as e\n"
        "e.find_spec = lambda name: None if name == 'lightning' else u.find_spec(name)\n"
        "try:\n import esc_plugin.train.finetune\n"
        "except e.EscError as error: print(error)\n"
        "assert 'torch' not in sys.modules\n"
    )
    lacking = "'train' needs packages that aren't installed (from a clone: pip install -e '.[train]')"
    assert told == f"{lacking}; install them with: pip install lightning"


@pytest.mark.parametrize("module", ["finetune", "callback", "training", "run"])
def test_a_torchvision_for_another_torch_is_one_line(module: str, tmp_path: Path) -> None:
    (tmp_path / "lightning.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    told = child(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from esc_plugin.errors import EscError\n"
        f"try:\n import esc_plugin.train.{module}\n"
        "except EscError as error: print(error)\n"
    )
    assert told.startswith("Lightning can't be imported (operator torchvision::nms does not exist); reinstall torch")


def test_the_example_of_the_docs_runs(models: Path, monkeypatch, capsys, tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "finetuning.md").read_text(encoding="utf-8")
    code = text.partition("## From Python")[2].partition("```python\n")[2].partition("```")[0]
    monkeypatch.setattr("esc_plugin.train.finetune.finetune", partial(quick, finetune))
    example = tmp_path / "example.py"
    example.write_text(code, encoding="utf-8")
    names = runpy.run_path(str(example), {"dapi": stack(), "gfp": stack()[::-1]})
    assert names["outcome"].iterations == 2
    assert "dB on what is held out; start " in capsys.readouterr().out
    assert models.is_dir()


def quick(run: Callable, images: list[ImageArray], wish: Wish, output: Path, **options: Any) -> Any:
    return run(images, replace(wish, iterations=2, keep=True), output, **options)


@pytest.mark.parametrize(
    ("shapes", "axes", "told"),
    [
        ([(12,)], "ZYX", "the middle fifth of the planes of a stack"),
        ([(12,)], "TYX", "a quarter of each plane"),
        ([(12,), (3,)], "ZYX", "the middle fifth of the planes of a stack and a quarter of each plane"),
        ([(1,)] * 10, "ZYX", "one in 5 of 10 images"),
    ],
)
def test_what_will_be_held_out_is_said(shapes: list[tuple[int, ...]], axes: str, told: str) -> None:
    assert held_out_text([ImageArray(str(i), numbered(shape), axes) for i, shape in enumerate(shapes)]) == told


def test_what_can_not_be_held_out_is_named() -> None:
    with pytest.raises(ImageError, match=r"'counts'.*int64"):
        held_out_text([ImageArray("counts", np.zeros((9, 9), np.int64))])
